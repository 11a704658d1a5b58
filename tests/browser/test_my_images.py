"""One's own pictures: finding them, ticking several, changing and deleting those."""

from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import UPLOAD, until, wait_for
from tests.browser.conftest import Open
from tests.browser.everyday import soaked
from tests.browser.people import Visitor, sign_in, signed_up, uploaded
from tests.factories.pictures import jpeg
from tests.factories.servers import Server
from tests.faults.people import Person

#: One page has 40.
COUNT = 43


@dataclass(frozen=True, slots=True)
class Collection:
    """A person and their pictures: `picture-0.jpg`, the oldest and smallest, to `picture-42.jpg`."""

    person: Person
    ids: tuple[str, ...]


@pytest.fixture(scope="module")
def collection(site: Server) -> Collection:
    person = signed_up(site.url, "collector@example.org")
    ids = []
    with httpx.Client(base_url=site.url, timeout=60, headers=person.headers) as client:
        for number in range(COUNT):
            files = {"file": (f"picture-{number}.jpg", jpeg(32 + 8 * number, 32, seed=number, grain=0.5))}
            answer = client.post(UPLOAD, files=files, data={"visibility": "unlisted"})
            assert answer.status_code == 201, answer.text
            ids.append(answer.json()["id"])
    return Collection(person, tuple(ids))


def _at(visit: Open, collection: Collection, path: str = "/my-images", **options: object) -> Visitor:
    visitor = visit(**options)
    sign_in(visitor, collection.person)
    visitor.open(path)
    return visitor


def _names(page: Page) -> list[str]:
    return page.locator("#gallery label > span").all_inner_texts()


def _box(page: Page, name: str) -> str:
    return f"#gallery label:has(span:text-is('{name}')) input"


def _visibility(visitor: Visitor, image_id: str) -> str:
    assert visitor.person is not None
    answer = httpx.get(f"{visitor.url}/api/v1/images/{image_id}", headers=visitor.person.headers)
    visibility: str = answer.json()["visibility"]
    return visibility


@pytest.mark.parametrize(("size", "script"), [("phone", True), soaked("desktop", False)])
def test_pictures_are_found_by_name_and_shown_in_the_order_that_was_chosen(
    visit: Open, collection: Collection, size: str, script: bool
) -> None:
    page = _at(visit, collection, size=size, java_script_enabled=script).page
    assert _names(page)[:2] == ["picture-42.jpg", "picture-41.jpg"]
    show = page.get_by_role("button", name="Show", exact=True)
    for order, first in (("oldest", "picture-0.jpg"), ("name", "picture-0.jpg"), ("size", "picture-42.jpg")):
        page.get_by_label("Order").select_option(order)
        show.click()
        page.wait_for_url(f"**sort={order}*")
        assert _names(page)[0] == first
    page.get_by_label("File name").fill("PICTURE-1")
    page.get_by_label("Order").select_option("oldest")
    show.click()
    page.wait_for_url("**name=PICTURE-1*")
    assert _names(page) == ["picture-1.jpg", *(f"picture-{number}.jpg" for number in range(10, 20))]
    # What was asked for still stands in the fields.
    expect(page.get_by_label("File name")).to_have_value("PICTURE-1")
    expect(page.get_by_label("Order")).to_have_value("oldest")
    page.get_by_label("File name").fill("<b>%_")
    show.click()
    expect(page.get_by_role("heading", name="No file name contains “<b>%_”")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    assert len(_names(page)) == 40


@pytest.mark.parametrize("order", ["newest", soaked("oldest"), "name", soaked("size")])
def test_every_order_is_paged_through_without_holes(visit: Open, collection: Collection, order: str) -> None:
    page = _at(visit, collection, f"/my-images?sort={order}").page
    page.locator("#load-more a").scroll_into_view_if_needed()
    expect(page.locator("#gallery > li")).to_have_count(COUNT)
    names = _names(page)
    assert sorted(names) == sorted(f"picture-{number}.jpg" for number in range(COUNT))
    if order == "name":
        assert names == sorted(names)
    if order == "size":
        assert names[0] == "picture-42.jpg"


def test_several_are_ticked_by_touch_across_pages_and_changed_together(visit: Open, collection: Collection) -> None:
    visitor = _at(visit, collection, size="phone")
    page = visitor.page
    chosen = page.locator("#chosen")
    expect(chosen).to_have_text("Tick pictures to change or delete them together.")
    page.locator(_box(page, "picture-42.jpg")).tap()
    expect(chosen).to_have_text("1 chosen")
    # More pictures come, and what is ticked stays so.
    page.locator("#load-more a").scroll_into_view_if_needed()
    expect(page.locator("#gallery > li")).to_have_count(COUNT)
    expect(page.locator(_box(page, "picture-42.jpg"))).to_be_checked()
    page.locator(_box(page, "picture-0.jpg")).tap()
    expect(chosen).to_have_text("2 chosen")
    page.get_by_label("Who sees them?").select_option("public")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("2 changed.")).to_be_visible()
    assert [_visibility(visitor, collection.ids[n]) for n in (0, 1, 41, 42)] == [
        "public", "unlisted", "unlisted", "public",
    ]  # fmt: skip


@pytest.mark.parametrize("script", [True, soaked(False)])
def test_several_are_ticked_by_keyboard_and_deleted_after_they_were_shown(visit: Open, script: bool) -> None:
    visitor = visit(member=True, java_script_enabled=script)
    ids = {
        name: uploaded(visitor.url, jpeg(64, 48, seed=seed), name=name, person=visitor.person)["id"]
        for seed, name in enumerate(["keep.jpg", "first.jpg", "second.jpg"], 50)
    }
    page = visitor.open("/my-images")
    for name in ("first.jpg", "second.jpg"):
        page.locator(_box(page, name)).focus()
        page.keyboard.press("Space")
    page.locator("button[value=delete]").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Delete these pictures?")).to_be_visible()
    shown = page.locator("main li").all_inner_texts()
    assert sorted(shown) == ["first.jpg", "second.jpg"]
    # Who was only asked has lost nothing.
    assert _statuses(visitor, ids) == {"keep.jpg": 200, "first.jpg": 200, "second.jpg": 200}
    page.get_by_role("button", name="Delete 2").click()
    expect(page.get_by_text("2 deleted.")).to_be_visible()
    assert _statuses(visitor, ids) == {"keep.jpg": 200, "first.jpg": 404, "second.jpg": 404}
    assert _names(page) == ["keep.jpg"]


def _statuses(visitor: Visitor, ids: dict[str, str]) -> dict[str, int]:
    return {name: httpx.get(f"{visitor.url}/api/v1/images/{each}").status_code for name, each in ids.items()}


def test_nothing_ticked_changes_nothing_and_says_so(visit: Open, collection: Collection) -> None:
    page = _at(visit, collection).page
    for value in ("visibility", "delete"):
        page.locator(f"button[value={value}]").click()
        expect(page.get_by_text("Tick at least one picture first.")).to_be_visible()
        assert len(_names(page)) == 40


def test_coming_back_from_a_picture_far_down_leads_there(visit: Open, collection: Collection) -> None:
    page = _at(visit, collection, size="phone").page
    page.locator("#load-more a").scroll_into_view_if_needed()
    expect(page.locator("#gallery > li")).to_have_count(COUNT)
    last = page.locator("#gallery > li").last.locator("a")
    # Out from under the bar that floats over the list.
    last.hover()
    before = last.bounding_box()
    last.click()
    page.wait_for_url("**/image/*")
    page.go_back()
    until(page, lambda: last.bounding_box() == before)
    wait_for(page, "document.querySelectorAll('#gallery > li').length === 43")


def test_who_has_nothing_is_told_where_to_begin(visit: Open) -> None:
    page = visit(size="phone", member=True).open("/my-images")
    expect(page.get_by_role("heading", name="You have not uploaded anything yet")).to_be_visible()
    page.locator("main").get_by_role("link", name="Upload a picture").click()
    page.wait_for_url("**/upload")

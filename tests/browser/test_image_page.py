"""The page of an image: zoom, sharing, download, editing and deleting, and what other sites read of it."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.actions import CLIPBOARD, copied, until
from tests.browser.conftest import Open
from tests.browser.everyday import soaked
from tests.browser.people import Visitor, uploaded
from tests.factories.pictures import jpeg

PICTURE = jpeg(1600, 1200, seed=11)


@pytest.fixture(scope="module")
def shared(site: Any) -> dict[str, Any]:
    """A public image without an owner."""
    image: dict[str, Any] = uploaded(site.url, PICTURE, name="Mouse & cat [1].jpg")
    return image


def _own(visitor: Visitor, name: str, *, visibility: str = "public", seed: int = 3) -> str:
    """An image of whoever is signed in; its id."""
    data = jpeg(320, 240, seed=seed)
    image_id: str = uploaded(visitor.url, data, name=name, person=visitor.person, visibility=visibility)["id"]
    return image_id


def _width(image: Locator) -> float:
    width: float = image.evaluate("image => image.getBoundingClientRect().width")
    return width


@pytest.mark.parametrize("size", ["phone", soaked("tablet"), "desktop"])
def test_the_full_size_is_looked_at_closely_and_left_again(visit: Open, shared: dict[str, Any], size: str) -> None:
    visitor = visit(size=size)
    page = visitor.open(f"/image/{shared['id']}")
    opener = page.get_by_role("link", name="Full size")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Full size")
    image = dialog.locator("img")
    until(page, lambda: image.evaluate("image => image.naturalWidth") == 1600)
    width, height = page.viewport_size["width"], page.viewport_size["height"]  # type: ignore[index]
    # It fits at first, as a whole.
    until(page, lambda: 0 < _width(image) <= width)
    fit = _width(image)
    assert fit == pytest.approx(min(width, height * 4 / 3, 1600), rel=0.12)
    steps: list[tuple[Any, bool]] = [
        (lambda: dialog.get_by_role("button", name="Larger").click(), True),
        (lambda: page.keyboard.press("+"), True),
        (lambda: page.keyboard.press("-"), False),
        (lambda: dialog.get_by_role("button", name="Smaller").click(), False),
        (lambda: _wheel(page, -120), True),
        (lambda: _wheel(page, 120), False),
        (image.dblclick, True),
        (lambda: page.keyboard.press("0"), False),
    ]
    for step, larger in steps:
        before = _width(image)
        step()
        until(
            page, lambda before=before, larger=larger: (_width(image) > before) if larger else (_width(image) < before)
        )
    assert _width(image) == pytest.approx(fit, abs=1)
    for _ in range(30):
        page.keyboard.press("+")
    assert _width(image) <= 1600 * 8 + 1
    # Whatever was enlarged can be moved to its corners.
    assert dialog.locator(".zoom-stage").evaluate(
        "it => it.scrollWidth > it.clientWidth && it.scrollHeight > it.clientHeight"
    )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    opener.click()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def _wheel(page: Page, down: int) -> None:
    """The wheel with Ctrl, as pinching a touchpad sends it."""
    width, height = page.viewport_size["width"], page.viewport_size["height"]  # type: ignore[index]
    page.mouse.move(width / 2, height / 2)
    page.keyboard.down("Control")
    page.mouse.wheel(0, down)
    page.keyboard.up("Control")


def test_a_picture_that_cannot_be_loaded_does_not_lock_anybody_in(visit: Open, shared: dict[str, Any]) -> None:
    visitor = visit()
    page = visitor.open(f"/image/{shared['id']}")
    page.route("**/i/*.jpg?v=*", lambda route: route.abort())
    page.evaluate("document.querySelector('a[data-zoom]').href += '&again=1'")
    page.get_by_role("link", name="Full size").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("link", name="Full size")).to_be_focused()
    visitor.complaints.clear()


@pytest.mark.parametrize("size", ["phone", soaked("desktop")])
def test_every_form_of_the_link_is_copied_and_shows_the_picture_where_it_is_pasted(
    visit: Open, shared: dict[str, Any], size: str
) -> None:
    visitor = visit(size=size, **CLIPBOARD)
    page = visitor.open(f"/image/{shared['id']}")
    texts = {}
    for form in ("Page", "Direct link", "Markdown", "HTML", "BBCode"):
        button = page.get_by_role("button", name=f"Copy: {form}", exact=True)
        button.click()
        until(page, lambda button=button: button.inner_text() == "Copied")
        texts[form] = copied(page)
        assert texts[form] == page.get_by_label(form, exact=True).input_value()
    address, direct = texts["Page"], texts["Direct link"]
    assert address == f"{visitor.url}/image/{shared['id']}"
    assert texts["Markdown"] == f"[![Mouse \\& cat \\[1\\].jpg]({direct})]({address})"
    assert texts["BBCode"] == f"[url={address}][img]{direct}[/img][/url]"
    assert httpx.get(direct).content == httpx.get(shared["url"]).content
    # Pasted into another page, the HTML shows the picture and leads to its page.
    blank = visitor.context.new_page()
    blank.goto(f"{visitor.url}/login")
    blank.evaluate("html => { document.body.innerHTML = html; }", texts["HTML"])
    until(blank, lambda: blank.evaluate("document.images[0].naturalWidth") == 1600)
    assert blank.locator("img").get_attribute("alt") == "Mouse & cat [1].jpg"
    blank.locator("a").click()
    blank.wait_for_url(address)
    # Whoever has no script selects the text: it is selected by itself with one.
    page.get_by_label("Markdown", exact=True).focus()
    selected = page.evaluate("() => { const f = document.activeElement; return [f.selectionStart, f.selectionEnd]; }")
    assert selected == [0, len(texts["Markdown"])]


def test_the_download_has_its_name_and_the_bytes_that_are_kept(visit: Open, shared: dict[str, Any]) -> None:
    page = visit(size="phone").open(f"/image/{shared['id']}")
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download").click()
    assert saving.value.suggested_filename == "Mouse & cat [1].jpg"
    assert hashlib.sha256(Path(saving.value.path()).read_bytes()).hexdigest() == shared["sha256"]


def test_what_is_known_of_a_picture_stands_beside_it(visit: Open, shared: dict[str, Any]) -> None:
    page = visit().open(f"/image/{shared['id']}")
    facts = dict(
        zip(page.locator(".facts dt").all_inner_texts(), page.locator(".facts dd").all_inner_texts(), strict=True)
    )
    assert facts["File name"] == "Mouse & cat [1].jpg"
    assert facts["Dimensions"] == "1600 × 1200"
    assert facts["Format"] == "JPEG"
    assert facts["SHA-256"] == shared["sha256"]
    assert facts["Size"] == f"{round(shared['file_size'] / 1024)} kB"
    assert page.locator(".facts time").get_attribute("datetime") == shared["created_at"]


def _metas(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        """() => Object.fromEntries(Array.from(document.querySelectorAll("meta[property], meta[name]"),
               (meta) => [meta.getAttribute("property") ?? meta.name, meta.content]))"""
    )
    return found


def test_other_sites_find_what_they_embed(visit: Open, shared: dict[str, Any]) -> None:
    visitor = visit()
    page = visitor.open(f"/image/{shared['id']}")
    metas = _metas(page)
    assert metas["og:title"] == "Mouse & cat [1].jpg"
    assert metas["og:url"] == page.locator('link[rel="canonical"]').get_attribute("href") == page.url
    assert (metas["og:image:width"], metas["og:image:height"]) == ("1600", "1200")
    assert metas["twitter:card"] == "summary_large_image"
    assert hashlib.sha256(httpx.get(metas["og:image"]).content).hexdigest() == shared["sha256"]
    discovered = page.locator('link[type="application/json+oembed"]').get_attribute("href") or ""
    embed = json.loads(httpx.get(discovered).content)
    assert embed["type"] == "photo"
    assert httpx.get(embed["url"]).headers["content-type"] == "image/jpeg"
    assert "robots" not in metas


@pytest.mark.parametrize("visibility", ["unlisted", "private"])
def test_only_public_pages_are_for_search_engines(visit: Open, visibility: str) -> None:
    visitor = visit(member=True)
    image_id = _own(visitor, f"{visibility}.jpg", visibility=visibility)
    page = visitor.open(f"/image/{image_id}")
    metas = _metas(page)
    assert metas["robots"] == "noindex"
    # What is private says nothing to other sites at all.
    assert ("og:image" in metas) == (visibility == "unlisted")
    assert (page.locator('link[type="application/json+oembed"]').count() == 1) == (visibility == "unlisted")


@pytest.mark.parametrize(("script", "size"), [(True, "phone"), soaked(True, "desktop"), (False, "phone")])
def test_owners_change_what_is_said_of_a_picture_and_who_sees_it(visit: Open, script: bool, size: str) -> None:
    visitor = visit(size=size, member=True, java_script_enabled=script)
    image_id = _own(visitor, "edited.jpg")
    page = visitor.open(f"/image/{image_id}")
    page.get_by_label("Title").fill("Evening <b>in</b> Guntur")
    page.get_by_label("Description").fill("First line\nSecond line")
    page.get_by_label("Who sees it?").select_option("private")
    navigations: list[str] = []
    page.on("framenavigated", lambda frame: navigations.append(frame.url))
    page.get_by_role("button", name="Save").click()
    if script:
        # The part of the page that was changed is replaced, and says so.
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert navigations == []
    else:
        until(page, lambda: bool(navigations))
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Evening <b>in</b> Guntur")
    expect(page.get_by_label("Description")).to_have_value("First line\nSecond line")
    expect(page.get_by_label("Who sees it?")).to_have_value("private")
    assert httpx.get(f"{visitor.url}/api/v1/images/{image_id}").status_code == 404


@pytest.mark.parametrize("script", [True, soaked(False)])
def test_what_does_not_fit_is_told_beside_its_field_and_stays_typed(visit: Open, script: bool) -> None:
    visitor = visit(member=True, java_script_enabled=script)
    page = visitor.open(f"/image/{_own(visitor, 'long.jpg')}")
    title = page.get_by_label("Title")
    if script:
        # The field keeps people from typing so much; programs and old browsers can send it all the same.
        assert title.get_attribute("maxlength") == "200"
        title.evaluate("field => field.removeAttribute('maxlength')")
        title.fill("x" * 201)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#title-error")).to_contain_text("at most 200 characters", ignore_case=True)
        expect(title).to_have_attribute("aria-describedby", "title-error")
        expect(title).to_have_value("x" * 201)
    else:
        title.fill("x" * 200)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("x" * 200)


@pytest.mark.parametrize(("script", "size"), [soaked(True, "phone"), (False, "desktop")])
def test_owners_delete_after_they_were_asked(visit: Open, script: bool, size: str) -> None:
    visitor = visit(size=size, member=True, java_script_enabled=script)
    image_id = _own(visitor, "going.jpg")
    page = visitor.open(f"/image/{image_id}")
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete this picture?")).to_be_visible()
    expect(page.locator("figure img")).to_have_attribute("alt", re.compile("^going.jpg"))
    assert httpx.get(f"{visitor.url}/api/v1/images/{image_id}").status_code == 200
    page.get_by_role("link", name="Keep it").click()
    page.wait_for_url(f"**/image/{image_id}")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/my-images?deleted=1")
    expect(page.get_by_text("1 deleted.")).to_be_visible()
    assert httpx.get(f"{visitor.url}/api/v1/images/{image_id}").status_code == 404


def test_strangers_are_offered_no_changes(visit: Open) -> None:
    owner = visit(member=True)
    image_id = _own(owner, "theirs.jpg")
    for member in (False, True):
        page = visit(member=member).open(f"/image/{image_id}")
        expect(page.get_by_role("heading", name="theirs.jpg")).to_be_visible()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)

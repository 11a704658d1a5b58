"""The gallery: pictures in reading order that stand still while they come, page after page, with and without script."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.actions import UPLOAD, Held, until, wait_for
from tests.browser.conftest import SETTINGS, Open
from tests.browser.everyday import soaked
from tests.factories.pictures import jpeg
from tests.factories.servers import Server, running_server

#: More than two pages of 24, of every shape: lying, upright, square, very wide, very tall.
SHAPES = ((64, 48), (48, 64), (64, 64), (96, 32), (32, 96), (700, 500))
COUNT = 51

#: What moved on the page although nobody touched it, as the browser itself measures it.
SHIFTS = """() => new Promise((resolve) => {
    let sum = 0;
    const add = (entries) => { for (const each of entries) if (!each.hadRecentInput) sum += each.value; };
    const observer = new PerformanceObserver((list) => add(list.getEntries()));
    observer.observe({ type: "layout-shift", buffered: true });
    requestAnimationFrame(() => requestAnimationFrame(() => { add(observer.takeRecords()); resolve(sum); }));
})"""
SHOWN = """() => Array.from(document.querySelectorAll(".tile img"), (image) => {
    const { width, height } = image.getBoundingClientRect();
    return [height / width, image.getAttribute("height") / image.getAttribute("width")];
})"""
BOXES = """() => Array.from(document.querySelectorAll(".tile"), (tile) => {
    const { left, top, width, height } = tile.getBoundingClientRect();
    return { left, top: top + scrollY, width, height };
})"""
PLACES = "() => Array.from(document.querySelectorAll('.tile > a'), (link) => link.getAttribute('href'))"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str]]]:
    """A server with pictures, and the addresses of their pages, newest first."""
    with running_server(tmp_path_factory.mktemp("full"), **SETTINGS) as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            pages = [_page_of(client, number) for number in range(COUNT)]
        yield server, pages[::-1]


def _page_of(client: httpx.Client, number: int) -> str:
    width, height = SHAPES[number % len(SHAPES)]
    files = {"file": (f"picture-{number}.jpg", jpeg(width, height, seed=number))}
    answer = client.post(UPLOAD, files=files, data={"visibility": "public"})
    assert answer.status_code == 201, answer.text
    return f"/image/{answer.json()['id']}"


@pytest.mark.parametrize(("size", "columns"), [("phone", 1), ("tablet", 2), ("desktop", 4)])
def test_tiles_stand_in_reading_order_without_holes_or_overlap(
    visit: Open, full: tuple[Server, list[str]], size: str, columns: int
) -> None:
    server, pages = full
    page = visit(size=size, url=server.url).open("/")
    assert page.evaluate(PLACES)[:24] == pages[:24]
    boxes: list[dict[str, float]] = page.evaluate(BOXES)[:24]
    lefts = sorted({round(box["left"]) for box in boxes})
    assert len(lefts) == columns
    # The eye goes from the left to the right: the first row is the first pictures, and each next one stands no higher
    # in its column than those before it.
    assert [round(box["left"]) for box in boxes[:columns]] == lefts
    assert len({round(box["top"]) for box in boxes[:columns]}) == 1
    for left in lefts:
        column = [box for box in boxes if round(box["left"]) == left]
        for above, below in itertools.pairwise(column):
            assert below["top"] == pytest.approx(above["top"] + above["height"], abs=1.5)
    # Each in its own shape, as far as a column can show it.
    for shown, own in page.evaluate(SHOWN):
        assert shown == pytest.approx(own, abs=0.09)
    # As wide as the screen lets them be, and not wider.
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


@pytest.mark.parametrize("size", ["phone", soaked("desktop")])
def test_placeholders_become_thumbnails_without_moving_anything(
    visit: Open, full: tuple[Server, list[str]], size: str
) -> None:
    server, _ = full
    visitor = visit(size=size, url=server.url)
    page = visitor.page
    held = Held(page, "**/i/*/*.jpg?v=*")
    page.goto(server.url, wait_until="domcontentloaded")
    first = page.locator(".tile > a").first
    # The colours come before the bytes: drawn by the script out of what stands in the page.
    wait_for(page, "document.querySelector('.tile > a').style.backgroundImage.startsWith('url(\"data:image/png')")
    before: list[dict[str, float]] = page.evaluate(BOXES)
    assert all(box["height"] > 100 for box in before)
    assert not first.locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
    held.release()
    wait_for(page, "Array.from(document.images).slice(0, 4).every((image) => image.complete && image.naturalWidth)")
    wait_for(page, "!document.querySelector('.tile > a').style.backgroundImage")
    assert page.evaluate(BOXES)[: len(before)] == before
    assert page.evaluate(SHIFTS) < 0.001


def test_the_layout_shift_of_this_test_is_seen(visit: Open, full: tuple[Server, list[str]]) -> None:
    """Whoever measures nothing finds nothing: a page that moves has to be noticed."""
    page = visit(url=full[0].url).open("/")
    wait_for(page, "document.images[0].complete")
    page.evaluate("document.querySelector('.page-head').after(Object.assign(document.createElement('p'), "
                  "{ textContent: 'push', id: 'push' }))")  # fmt: skip
    page.evaluate("document.getElementById('push').style.height = '300px'")
    assert page.evaluate(SHIFTS) > 0.01


@pytest.mark.parametrize(
    ("size", "ratio", "fitting"),
    [("phone", 2, 600), soaked("desktop", 1, 600), ("desktop", 0.5, 300)],
)
def test_the_smallest_thumbnail_that_fills_its_tile_is_loaded(
    visit: Open, full: tuple[Server, list[str]], size: str, ratio: float, fitting: int
) -> None:
    page = visit(size=size, url=full[0].url, device_scale_factor=ratio).open("/")
    large = next(place for place in range(COUNT) if SHAPES[(COUNT - 1 - place) % len(SHAPES)][0] > 600)
    image = page.locator(".tile img").nth(large)
    image.scroll_into_view_if_needed()
    wait_for(page, "(n) => document.querySelectorAll('.tile img')[n].naturalWidth", large)
    source: str = image.evaluate("image => image.currentSrc")
    assert f"/{fitting}.jpg" in source
    # Nothing is loaded that has less than the tile's pixels while there is something larger.
    shown = image.evaluate("image => image.clientWidth") * ratio
    assert fitting >= min(shown, 600) * 0.8


def test_scrolling_brings_every_picture_once_and_the_way_back_leads_where_one_was(
    visit: Open, full: tuple[Server, list[str]]
) -> None:
    server, pages = full
    visitor = visit(size="phone", url=server.url)
    page, asked = visitor.page, []
    page.on("request", lambda request: asked.append(request.url) if "/i/" in request.url else None)
    visitor.open("/")
    for _ in range(2):
        count = page.locator(".tile").count()
        page.locator("#load-more").scroll_into_view_if_needed()
        wait_for(page, "(count) => document.querySelectorAll('.tile').length > count", count)
    expect(page.locator("#load-more")).to_have_count(0)
    assert page.evaluate(PLACES) == pages
    # What came later has placeholders and pictures of its own, and none is asked for twice.
    page.locator(".tile").last.scroll_into_view_if_needed()
    wait_for(page, "Array.from(document.querySelectorAll('.tile img')).at(-1).naturalWidth")
    assert len(asked) == len(set(asked))

    far = page.locator(f'.tile > a[href="{pages[40]}"]')
    far.scroll_into_view_if_needed()
    before = far.bounding_box()
    far.click()
    page.wait_for_url(f"**{pages[40]}")
    page.go_back()
    until(page, lambda: far.count() == 1 and far.bounding_box() == before)
    assert page.evaluate(PLACES) == pages[: page.locator(".tile").count()]


def test_load_more_is_a_link_that_leads_through_everything_without_script(
    visit: Open, full: tuple[Server, list[str]]
) -> None:
    server, pages = full
    page = visit(size="phone", url=server.url, java_script_enabled=False).open("/")
    seen: list[Any] = []
    while True:
        seen += [link.get_attribute("href") for link in page.locator(".tile > a").all()]
        more = page.locator('#load-more a[rel="next"]')
        if not more.count():
            break
        more.click()
        expect(page.locator(f'.tile > a[href="{seen[-1]}"]')).to_have_count(0)
    assert seen == pages
    # The pictures are there without script as well, and tell what they are.
    first = page.locator(".tile img").first
    assert (first.get_attribute("alt") or "").startswith("picture-")


def test_load_more_can_be_pressed_and_failing_to_load_can_be_tried_again(
    visit: Open, full: tuple[Server, list[str]]
) -> None:
    server, pages = full
    visitor = visit(url=server.url)
    page = visitor.page
    page.route("**/?cursor=*", lambda route: route.abort())
    visitor.open("/")
    more = page.locator("#load-more a")
    more.scroll_into_view_if_needed()
    expect(page.get_by_text("The server cannot be reached.").first).to_be_visible()
    assert page.locator(".tile").count() == 24
    page.unroute("**/?cursor=*")
    more.click()
    expect(page.locator(".tile")).not_to_have_count(24)
    assert page.evaluate(PLACES)[:48] == pages[:48]
    assert visitor.complaints
    visitor.complaints.clear()


def test_who_stands_on_load_more_goes_on_at_the_first_of_what_came(visit: Open, full: tuple[Server, list[str]]) -> None:
    server, pages = full
    page = visit(url=server.url).page
    held = Held(page, "**/?cursor=*")
    page.goto(server.url)
    page.locator("#load-more a").focus()
    held.arrived()
    expect(page.locator("#load-more a")).to_be_focused()
    held.release()
    expect(page.locator(f'.tile > a[href="{pages[24]}"]')).to_be_focused()
    # Also at the end of the list, where no other button comes.
    page.locator("#load-more a").focus()
    expect(page.locator(f'.tile > a[href="{pages[48]}"]')).to_be_focused()
    expect(page.locator("#load-more")).to_have_count(0)


def test_a_fresh_server_says_what_to_do(visit: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_server(tmp_path_factory.mktemp("fresh"), **SETTINGS) as server:
        for script in (True, False):
            page = visit(size="phone", url=server.url, java_script_enabled=script).open("/")
            expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
            page.locator("main").get_by_role("link", name="Upload a picture").click()
            page.wait_for_url("**/upload")
            expect(page.get_by_label("Choose a picture")).to_be_visible()

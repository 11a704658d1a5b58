"""Whoever has no pointer: uploading and deleting by Tab, Enter and Space alone, and seeing where one is."""

import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import FileChooser, Page, expect

from tests.browser.actions import row, until
from tests.browser.conftest import Open
from tests.browser.everyday import soaked
from tests.browser.people import files, uploaded
from tests.factories.pictures import jpeg

#: What shows where one is: a ring that is painted, or a shadow.
LOOK = """const look = (it) => {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(it);
    const painted = outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
    return [painted ? `${outlineStyle} ${outlineWidth} ${outlineColor}` : "", boxShadow].join(" ");
};"""
#: Of the element in focus: what it is, where it stands, and how it looks with the focus and without.
STOP = """() => {
    const it = document.activeElement;
    if (!it || it === document.body) return null;
    %s
    const { left, top, width, height } = it.getBoundingClientRect();
    const words = it.getAttribute("aria-label") || it.id || it.name || it.textContent.trim().replace(/\\s+/g, " ");
    const stop = {
        name: `${it.localName} ${words}`,
        place: [Math.round(top + scrollY), Math.round(left)],
        size: [width, height],
        look: look(it),
    };
    it.blur();
    stop.unfocused = look(it);
    it.focus({ focusVisible: true, preventScroll: true });
    return stop;
}"""
#: Everything that can be reached, in the order of the document.
REACHABLE = """() => Array.from(document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex='0']"))
    .filter((it) => !it.disabled && it.tabIndex >= 0 && it.type !== "hidden" && it.checkVisibility()
        && !(it.type === "radio" && !it.checked) && !it.closest("dialog:not([open])"))
    .length"""


def _tour(page: Page) -> list[dict[str, Any]]:
    """Tab through the page from its beginning to its end."""
    page.evaluate("document.activeElement.blur()")
    stops: list[dict[str, Any]] = []
    for _ in range(page.evaluate(REACHABLE)):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP % LOOK)
        assert stop is not None, f"nothing has the focus after {stops[-1:]}"
        stops.append(stop)
    return stops


def _with_everything(page: Page) -> Page:
    """The page once all parts of its gallery are there: a part that comes on the way puts the focus elsewhere."""
    more = page.locator("#load-more")
    while more.count():
        # In a script, for it goes while one looks: each sight of it brings the next part.
        page.evaluate("document.querySelector('#load-more')?.scrollIntoView()")
        page.wait_for_timeout(50)
    page.evaluate("scrollTo(0, 0)")
    return page


def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    target = page.locator(selector)
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate_all("all => all.includes(document.activeElement)"):
            return
    raise AssertionError(f"{selector} cannot be reached")


@pytest.mark.parametrize("size", [soaked("phone"), "desktop"])
def test_focus_is_seen_at_every_stop_and_goes_as_one_reads(visit: Open, size: str) -> None:
    stranger, member = visit(size=size), visit(size=size, member=True)
    image = uploaded(member.url, jpeg(200, 150, seed=71), name="tour.jpg", person=member.person)["id"]
    for path in ("/", "/upload", "/login", "/register"):
        _check(_tour(_with_everything(stranger.open(path))))
    for path in (f"/image/{image}", f"/image/{image}/delete", "/my-images", "/account"):
        _check(_tour(_with_everything(member.open(path))))


def _check(stops: list[dict[str, Any]]) -> None:
    assert stops[0]["name"] == "a Skip to the content"
    for stop in stops:
        assert stop["look"] != stop["unfocused"], f"nobody sees that {stop['name']} has the focus"
    # No stop twice, none left out.
    places = [(stop["name"], *stop["place"]) for stop in stops]
    assert len(set(places)) == len(places)
    # The next stop stands below, or on the same line further right, or at the top of the next column.
    for before, after in itertools.pairwise(stops[1:]):
        (top, left), (next_top, next_left) = before["place"], after["place"]
        lower = next_top + after["size"][1] / 2 >= top
        assert lower or next_left > left, f"{after['name']} comes after {before['name']}, and stands before it"


def test_the_first_stop_skips_to_the_content(visit: Open) -> None:
    page = visit().open("/upload")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    assert skip.evaluate("link => link.getBoundingClientRect().width") > 44
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    # The first thing of the form, past the whole bar.
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_picture_is_uploaded_and_deleted_by_keyboard_alone(visit: Open, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.open("/")
    choosers: list[FileChooser] = []
    # Long before it is opened: on a loaded machine the browser hears too late that nobody is to be asked.
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # noqa: PLW0108 - playwright marks what it is given
    _tab_to(page, ".site-nav a[href='/upload']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/upload")
    _tab_to(page, "input[name=visibility]")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Everybody")).to_be_checked()
    _tab_to(page, "#file")
    page.keyboard.press("Space")
    until(page, lambda: bool(choosers))
    choosers[0].set_files(files(tmp_path, ["by-keyboard.jpg"])[0])
    expect(row(page, "by-keyboard.jpg").locator("[data-state]")).to_have_text("Done")
    # The way on is the next stops, not the top of the page.
    _tab_to(page, "#upload-list [data-open]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/image/*")
    image_id = page.url.rsplit("/", 1)[1]
    _tab_to(page, "a[href$='/delete']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/delete")
    until(page, lambda: len(page.get_by_label("Delete token").input_value()) == 43)
    _tab_to(page, "#delete-form button")
    page.keyboard.press("Space")
    page.wait_for_url("**/?deleted=*")
    assert httpx.get(f"{visitor.url}/api/v1/images/{image_id}").status_code == 404


def test_the_menu_and_the_full_size_close_with_escape_and_give_the_focus_back(visit: Open) -> None:
    visitor = visit(size="phone")
    image = uploaded(visitor.url, jpeg(400, 300, seed=72))["id"]
    page = visitor.open(f"/image/{image}")
    _tab_to(page, "details.menu > summary")
    page.keyboard.press("Enter")
    menu = page.locator("details.menu")
    expect(menu.get_by_role("link", name="Upload")).to_be_visible()
    page.keyboard.press("Tab")
    expect(menu.get_by_role("link", name="Home")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu.get_by_role("link", name="Upload")).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()
    _tab_to(page, "a[data-zoom]")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    until(page, lambda: dialog.locator("img").evaluate("image => image.naturalWidth") == 400)
    # The focus is inside and stays there.
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="Full size")).to_be_focused()


def test_a_menu_closes_when_something_else_is_touched(visit: Open) -> None:
    page = visit(size="phone").open("/upload")
    menu = page.locator("details.menu")
    menu.locator("summary").tap()
    expect(menu.get_by_role("link", name="Home")).to_be_visible()
    page.get_by_role("heading", level=1).tap()
    expect(menu.get_by_role("link", name="Home")).to_be_hidden()

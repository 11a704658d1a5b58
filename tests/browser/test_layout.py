"""Pages fit, hold still, can be touched, and are dark where dark was asked for.

Each stop of the tour is looked at where it is looked at for everything else, by
tests/browser/test_accessibility.py::test_everybody_can_use_it: getting there takes longer than looking.

That it can fail was seen with an element wider than the window, a button lower than a finger, a picture without its
measures, one pulled out of shape, a card that is white in the dark, and the theme set after the page was painted.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.everyday import soaked
from tests.browser.people import Visitor
from tests.browser.stage import Company, Stage, company
from tests.browser.tour import DESKTOP, PHONE, TABLET, Stop, settle

#: The narrowest phone beside the usual widths.
WIDTHS = (320, PHONE, TABLET, DESKTOP)
#: What moved less than this moved by rounding, or by a heading whose font came late.
SHIFT = 0.002
#: As small as a thing may be that is pressed with a finger, in CSS pixels.
FINGER = 44
KEY = "chitram-theme"
#: Where something comes because somebody scrolled, chose a file, or uploaded before, and pushes down what is below.
GROWING = {"more of the gallery", "more of my images", "uploads", "upload refused"}

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

SMALL = """(finger) => [...document.querySelectorAll(
    "button, .button, summary, nav a, .wordmark, .site-footer a, select, textarea, input:not([type=hidden])")]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest(".sr-only, .skip-link"))
  .map((each) => [each, (/checkbox|radio/.test(each.type) ? each.closest("label") : each).getBoundingClientRect()])
  .filter(([, box]) => box.width < finger - 0.5 || box.height < finger - 0.5)
  .map(([each, box]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${each.outerHTML.slice(0, 140)}`)"""

DISTORTED = """() => [...document.images].filter((image) => {
    const box = image.getBoundingClientRect();
    if (!image.naturalWidth || !box.width || getComputedStyle(image).objectFit !== "fill") return false;
    const shown = box.width / box.height, natural = image.naturalWidth / image.naturalHeight;
    // Within a pixel of rounding on the shorter side.
    return Math.abs(shown / natural - 1) > 0.02 + 1.5 / Math.min(box.width, box.height);
  }).map((image) => `${image.currentSrc} ${image.width} x ${image.height}`)"""

#: Pictures that get their size with their bytes, and push away what is below.
UNMEASURED = """() => [...document.images].filter((image) => image.checkVisibility()
    && !(image.hasAttribute("width") && image.hasAttribute("height")) && !image.matches(".zoom img, .upload-preview"))
  .map((image) => image.outerHTML)"""

LIGHT = """() => {
  const parts = (colour) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  return [document.documentElement, ...document.querySelectorAll("body, body *")].filter((element) => {
    if (!element.checkVisibility({ opacityProperty: true })) return false;
    if (element.closest("progress, meter, img, .button-primary")) return false;
    const [red, green, blue, alpha] = parts(getComputedStyle(element).backgroundColor);
    return alpha > 128 && 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.72 * 255;
  }).map((element) => `${getComputedStyle(element).backgroundColor}: ${element.outerHTML.slice(0, 120)}`);
}"""


@pytest.fixture(scope="module")
def people(chromium: Browser, stage: Stage) -> Iterator[Company]:
    with company(chromium, stage) as everybody:
        yield everybody


def moved(page: Page) -> list[str]:
    """What was pushed about while the page loaded, once its pictures are there."""
    page.evaluate(
        """() => Promise.all([...document.images].filter((image) => image.loading !== "lazy")
                   .map((image) => image.decode().catch(() => 0)))
             .then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0)))))"""
    )
    shifts: list[tuple[float, str]] = page.evaluate("window.shifts")
    return [f"moved by {share:.4f}: {what}" for share, what in shifts] if sum(s for s, _ in shifts) > SHIFT else []


def misfits(visitor: Visitor, *, width: int) -> list[str]:
    """What does not fit at this width."""
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 900})
    problems = [f"{pixels} px too wide" for pixels in [page.evaluate(SIDEWAYS)] if pixels > 0]
    problems += [f"too small for a finger: {each}" for each in page.evaluate(SMALL, FINGER)]
    problems += [f"distorted: {each}" for each in page.evaluate(DISTORTED)]
    return [f"{width} px: {problem}" for problem in problems]


def fits_and_holds_still(visitor: Visitor, stop: Stop) -> list[str]:
    """What is wrong with the layout of a stop at which somebody has just arrived."""
    page = visitor.page
    problems = [] if stop.name in GROWING else moved(page)
    problems += [f"without its measures: {each}" for each in page.evaluate(UNMEASURED)]
    page.emulate_media(color_scheme="dark")
    settle(page)
    problems += [f"light in the dark: {each}" for each in page.evaluate(LIGHT)]
    for width in WIDTHS if len(stop.widths) > 1 else stop.widths:
        problems += misfits(visitor, width=width)
    page.emulate_media(color_scheme="light")
    return problems


@pytest.mark.parametrize("path", ["/", "/image/{public}", "/image/{tall}", "/my-images", "/account", "/upload"])
@pytest.mark.parametrize("line", [soaked("quick"), "slow"])
def test_nothing_moves_on_a_wide_screen(people: Company, stage: Stage, path: str, line: str):
    """On a slow line too, on which the page is painted long before its pictures are there, and its fonts never come:
    one that comes in the moment of the first painting may change where lines end, as browsers please.
    """
    with people.page("owner", width=DESKTOP) as visitor:
        page = visitor.page
        if line == "slow":
            conditions = {"offline": False, "latency": 40, "downloadThroughput": 400_000, "uploadThroughput": 400_000}
            session = page.context.new_cdp_session(page)
            session.send("Network.enable")
            session.send("Network.setCacheDisabled", {"cacheDisabled": True})
            session.send("Network.setBlockedURLs", {"urls": ["*.woff2*"]})
            session.send("Network.emulateNetworkConditions", conditions)
        visitor.open(path.format(public=stage.public, tall=stage.tall))
        page.evaluate("document.fonts.ready.then(() => 0)")
        assert not (problems := moved(page)), "\n".join(problems)
        if line == "slow":
            loaded = page.evaluate("[...document.fonts].filter((font) => font.status === 'loaded').length")
            assert loaded == 0, "fonts came after all"


def ground(page: Page) -> Any:
    return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")


def test_the_systems_theme_is_followed_until_one_is_chosen(people: Company):
    with people.page("newcomer") as visitor:
        page = visitor.page
        page.emulate_media(color_scheme="light")
        visitor.open("/upload")
        light = ground(page)
        page.emulate_media(color_scheme="dark")
        dark = ground(page)
        assert light != dark
        page.locator("#theme").select_option("light")
        assert ground(page) == light
        page.emulate_media(color_scheme="light")
        page.locator("#theme").select_option("dark")
        assert ground(page) == dark
        page.locator("#theme").select_option("")
        assert ground(page) == light
        assert page.evaluate("key => localStorage.getItem(key)", KEY) is None


#: When the theme was set, and whether it was when the body began, which is before anything is painted.
EARLY = """
new MutationObserver(() => {
  if (document.documentElement?.dataset.theme) window.themed ??= performance.now();
  if (document.body) window.atBody ??= document.documentElement.dataset.theme ?? "";
}).observe(document, { childList: true, subtree: true, attributes: true });
"""
#: When something was painted first.
PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => done(list.getEntries()[0].startTime))
  .observe({ type: "paint", buffered: true }))"""


@pytest.mark.parametrize(("system", "chosen"), [("light", "dark"), soaked("dark", "light")])
def test_a_chosen_theme_stays_and_never_flashes(people: Company, system: Any, chosen: str):
    with people.page("newcomer") as visitor:
        page = visitor.page
        page.emulate_media(color_scheme=system)
        visitor.open("/")
        page.locator("#theme").select_option(chosen)
        wanted = ground(page)
        page.add_init_script(EARLY)
        for path in ("/", "/login", "/nowhere"):
            visitor.open(path)
            assert page.evaluate("window.atBody") == chosen
            assert page.evaluate(PAINTED) > page.evaluate("window.themed")
            assert ground(page) == wanted
        expect(page.locator("#theme")).to_have_value(chosen)
        page.locator("#theme").select_option("")

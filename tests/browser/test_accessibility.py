"""Everybody can use every page: axe finds nothing on any of them, in either theme, on a phone and on a desk.

That it can fail was seen with a label taken from its field, the muted colour made lighter, a second h1, a page's title
taken away, the rule for reduced motion deleted, and a row that cannot wrap.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from chitram.entrypoints.asgi import PAGE_ROUTERS
from tests.browser.everyday import FIRST, visited
from tests.browser.people import Visitor
from tests.browser.stage import Company, Stage, company
from tests.browser.test_layout import fits_and_holds_still
from tests.browser.tour import DESKTOP, NO_PAGES, PHONE, STOPS, UNKNOWN, Stop, arrived, settle
from tests.counts import count

#: What the Web Content Accessibility Guidelines ask for at the levels A and AA, and what is good besides.
EVERY_RULE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = Axe().axe_script
#: What a theme can spoil.
COLOURS = ["color-contrast", "link-in-text-block"]
#: What people press, fill in, follow or look at, as assistive technology is told of it.
ROLES = {
    "button", "link", "textbox", "checkbox", "radio", "combobox", "searchbox", "listbox", "img", "image",
    "DisclosureTriangle",
}  # fmt: skip
#: The narrowest window that pages have to fit into: 1280 pixels at a zoom of 400 %.
NARROWEST = 320


@pytest.fixture(scope="module")
def people(chromium: Browser, stage: Stage) -> Iterator[Company]:
    with company(chromium, stage) as everybody:
        yield everybody


def violations(page: Page, **only: Any) -> list[str]:
    """What axe says is wrong: rule, element, and why."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options = {"resultTypes": ["violations"], "runOnly": only or {"type": "tag", "values": EVERY_RULE}}
    found = page.evaluate("(options) => axe.run(document, options).then((found) => found.violations)", options)
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}" for rule in found for node in rule["nodes"][:3]
    ]


def theme(page: Page, *, chosen: str | None, system: Any, width: int) -> None:
    """Have the page in the theme that somebody `chosen`, or else in that of their `system`."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=system)
    page.evaluate(
        """(chosen) => {
          if (chosen) document.documentElement.dataset.theme = chosen;
          else delete document.documentElement.dataset.theme;
        }""",
        chosen,
    )
    settle(page)


def nothing_for_axe(visitor: Visitor, stop: Stop) -> list[str]:
    """Every rule where the layouts differ; where only the colours do, those alone, once for each page.

    Most of the tour's time goes by here: an everyday run looks at each page on a phone in the dark and on a desk in the
    light, and at further states of a page on the phone.
    """
    page, problems = visitor.page, []
    narrow, wide = stop.widths[0], stop.widths[-1]
    looks: list[tuple[str | None, str, int, dict[str, Any]]] = [
        ("dark", "light", narrow, {}),
        (None, "light", wide, {}),
        (None, "dark", wide, {"type": "rule", "values": COLOURS}),
        ("light", "dark", narrow, {"type": "rule", "values": COLOURS}),
    ]
    for chosen, system, width, only in looks[: count(2, 4) if stop in FIRST else count(1, 2)]:
        theme(page, chosen=chosen, system=system, width=width)
        found = violations(page, **only)
        problems += [f"{chosen or 'no'} theme chosen, {system} system, {width} px: {each}" for each in found]
    theme(page, chosen=None, system="light", width=wide)
    return problems


FRAME = {"language": "en", "titled": True, "navigation": True} | dict.fromkeys(
    ("headings", "main", "banner", "footer", "news"), 1
)


def frame_of_a_page(visitor: Visitor, _stop: Stop) -> list[str]:
    """Language, title, one heading of the first order, landmarks, a place where news is read out."""
    found = visitor.page.evaluate(
        """() => {
          const shown = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
          return {
            language: document.documentElement.lang,
            titled: document.title.endsWith(" · Chitram") && document.title.length > " · Chitram".length,
            headings: shown("h1").length,
            main: shown("main").length,
            banner: shown("body > header").length,
            footer: shown("body > footer").length,
            navigation: shown("nav[aria-label]").length <= 1,
            news: document.querySelectorAll("#toasts[role=status][aria-live=polite]").length,
          };
        }"""
    )
    return [f"{name}: {value}" for name, value in found.items() if value != FRAME[name]]


def errors_beside_fields(visitor: Visitor, _stop: Stop) -> list[str]:
    """Whatever is marked as wrong says why, to those who do not see it too."""
    found: list[str] = visitor.page.evaluate(
        """() => [...document.querySelectorAll("[aria-invalid=true]")].filter((field) =>
             !(field.getAttribute("aria-describedby") ?? "").split(" ")
               .some((id) => document.getElementById(id)?.matches(".field-error, [role=alert]")))
             .map((field) => field.outerHTML)"""
    )
    return [f"does not say why it is wrong: {each}" for each in found]


def nothing_moves(visitor: Visitor, _stop: Stop) -> list[str]:
    """For those who asked their system for less motion."""
    visitor.page.emulate_media(reduced_motion="reduce")
    found: list[str] = visitor.page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((element) =>
             [element, "::before", "::after"].map((part) =>
               part === element ? getComputedStyle(element) : getComputedStyle(element, part))
             .filter((style) => style.transitionDuration.split(", ").some((each) => parseFloat(each) > 0)
                             || style.animationName !== "none" || style.scrollBehavior === "smooth")
             .map(() => element.outerHTML.slice(0, 120)))"""
    )
    visitor.page.emulate_media(reduced_motion="no-preference")
    return [f"moves: {each}" for each in found]


def readable_in_forced_colours(visitor: Visitor, _stop: Stop) -> list[str]:
    """Text has another colour than what is behind it where the system sets the colours."""
    visitor.page.emulate_media(forced_colors="active")
    found: list[str] = visitor.page.evaluate(
        """() => {
          const behind = (element) => {
            for (let each = element; each; each = each.parentElement) {
              const colour = getComputedStyle(each).backgroundColor;
              if (!/, 0\\)$/.test(colour)) return colour;
            }
            return "none";
          };
          return [...document.querySelectorAll("body *")].filter((element) =>
            element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
            && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
            && getComputedStyle(element).color === behind(element)).map((element) => element.outerHTML.slice(0, 120));
        }"""
    )
    visitor.page.emulate_media(forced_colors="none")
    return [f"not to be read in forced colours: {each}" for each in found]


#: What sticks out to the right, and text that is cut off and does not say so with an ellipsis.
CUT_OFF = """() => {
  const root = document.documentElement;
  const found = root.scrollWidth > root.clientWidth ? [`the page is ${root.scrollWidth} px wide`] : [];
  const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest(".sr-only, .skip-link, .zoom-stage")) continue;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const named = element.outerHTML.slice(0, 160);
    if (box.right > root.clientWidth + 1 && box.width) found.push(`sticks out: ${named}`);
    if (/input|textarea|select/i.test(element.tagName) || !element.textContent.trim()) continue;
    if (style.textOverflow === "ellipsis" || scrolls(element)) continue;
    const wide = style.overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1;
    const high = style.overflowY === "hidden" && element.scrollHeight > element.clientHeight + 4;
    if (wide || high) found.push(`cut off: ${named}`);
  }
  return found;
}"""


def fits(visitor: Visitor, _stop: Stop) -> list[str]:
    """Nothing is cut off or has to be scrolled to the side in the narrowest window, or with text twice as large."""
    page = visitor.page
    problems = []
    for width, size in ((NARROWEST, "100%"), (PHONE, "200%"), (DESKTOP, "200%")):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("(size) => document.documentElement.style.setProperty('font-size', size)", size)
        problems += [f"{width} px, text at {size}: {each}" for each in page.evaluate(CUT_OFF)]
    return problems


CHECKS: tuple[Callable[[Visitor, Stop], list[str]], ...] = (
    # First: it is about how the page came to be what it is.
    fits_and_holds_still,
    nothing_for_axe,
    frame_of_a_page,
    errors_beside_fields,
    nothing_moves,
    readable_in_forced_colours,
    fits,
)


@pytest.mark.parametrize("stop", visited(STOPS), ids=lambda stop: stop.name)
def test_everybody_can_use_it(people: Company, stage: Stage, stop: Stop):
    with arrived(people, stage, stop, width=stop.widths[0]) as visitor:
        problems = [problem for check in CHECKS for problem in check(visitor, stop)]
        assert not problems, "\n".join(problems)
        assert visitor.complaints == []


def test_every_page_has_a_stop():
    routes = {
        f"{method} {route.path}"
        for router in PAGE_ROUTERS
        for route in router.routes
        for method in route.methods - {"HEAD"}
    }
    assert {stop.shows for stop in STOPS} - {""} == routes - NO_PAGES
    assert len({stop.name for stop in STOPS}) == len(STOPS)


def test_titles_tell_pages_apart(people: Company, stage: Stage):
    paths = {
        "stranger": ("/", "/upload", "/login", "/register", f"/image/{stage.tall}", f"/image/{UNKNOWN}", "/nowhere"),
        "owner": ("/my-images", "/account", f"/image/{stage.public}", f"/image/{stage.public}/delete"),
    }
    titles = []
    for who, places in paths.items():
        with people.page(who) as visitor:
            for path in places:
                visitor.open(path)
                titles.append(visitor.page.title())
    assert len(set(titles)) == len(titles), titles


def test_news_is_read_out(people: Company, stage: Stage):
    """What changes without a new page stands in a place that was there before, and that is read out."""
    with people.page("owner") as visitor:
        page = visitor.open("/my-images")
        said = page.locator("#chosen[role=status]")
        page.locator("input[name=image]").first.check()
        expect(said).to_contain_text("1")
    with people.page("stranger") as visitor:
        page = visitor.open("/upload")
        expect(page.locator("#uploads-status[role=status][aria-live=polite]")).to_have_count(1)


def test_every_control_says_what_it_is(people: Company, stage: Stage):
    """By the names that assistive technology gets, computed by the browser."""
    with people.page("owner") as visitor:
        for path in ("/", f"/image/{stage.public}", "/upload", "/my-images", "/account"):
            page = visitor.open(path)
            session = page.context.new_cdp_session(page)
            nodes = session.send("Accessibility.getFullAXTree")["nodes"]
            controls = [node for node in nodes if not node["ignored"] and _role(node) in ROLES]
            assert len(controls) >= 8, path
            assert [node for node in controls if not node.get("name", {}).get("value", "").strip()] == [], path


def _role(node: dict[str, Any]) -> str:
    return str(node["role"]["value"])

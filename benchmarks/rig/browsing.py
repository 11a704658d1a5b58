"""Pages as a browser sees them over a slow line: Debian's Chromium, its cache empty, throttled by itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, sync_playwright

EXECUTABLE = "/usr/bin/chromium-headless-shell"
#: As root, as which containers and CI run, there is no sandbox; the pages are our own.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

# Observers with `buffered` are told what happened before, and once more when something larger is painted.
_PAINTS = """() => new Promise((done) => {
  const found = { fcp: 0, picture: 0, lcp: 0, cls: 0, element: "" };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      found.lcp = entry.startTime;
      found.element = entry.element?.tagName ?? "";
      if (found.element === "IMG") found.picture ||= entry.startTime;
    }
  }).observe({ type: "largest-contentful-paint", buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) found.cls += entry.hadRecentInput ? 0 : entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => {
    found.fcp = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
    done(found);
  }, 200);
})"""


@dataclass(frozen=True, slots=True)
class Line:
    """A connection to the net: milliseconds from a request to the head of its answer, kilobits a second."""

    name: str
    latency: float
    down: float
    up: float


@dataclass(frozen=True, slots=True)
class Device:
    """A screen: CSS pixels, and device pixels for each."""

    name: str
    width: int
    height: int
    scale: float


@dataclass(frozen=True, slots=True)
class View:
    """What one first view was like.

    Seconds to the first contentful paint, to the first picture, to the largest paint and to the end of loading; which
    element was the largest, how much was shifted, requests, and bytes by the kind of what was fetched.
    """

    first: float
    picture: float
    largest: float
    loaded: float
    element: str
    shifted: float
    requests: int
    transferred: Mapping[str, int]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without windows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def first_view(browser: Browser, url: str, *, line: Line, device: Device, bare: bool = False) -> View:
    """Open `url` as somebody who has never been there; `bare`: nothing that the page wants to load is fetched."""
    size = {"width": device.width, "height": device.height}
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]  # a TypedDict of these two
        device_scale_factor=device.scale,
        is_mobile=device.scale > 1,
    )
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        kinds: dict[str, str] = {}
        transferred: dict[str, int] = {}

        def answered(event: dict[str, Any]) -> None:
            kinds[event["requestId"]] = event["type"]

        def finished(event: dict[str, Any]) -> None:
            kind = kinds.get(event["requestId"], "Other")
            transferred[kind] = transferred.get(kind, 0) + int(event["encodedDataLength"])

        session.on("Network.responseReceived", answered)
        session.on("Network.loadingFinished", finished)
        session.send("Network.enable")
        if bare:
            session.send("Network.setBlockedURLs", {"urls": ["*/static/*", "*/i/*"]})
        session.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": line.latency,
                "downloadThroughput": line.down * 1000 / 8,
                "uploadThroughput": line.up * 1000 / 8,
            },
        )
        page.goto(url, wait_until="load", timeout=120_000)
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventStart")
        paints = page.evaluate(_PAINTS)
        return View(
            paints["fcp"] / 1e3,
            paints["picture"] / 1e3,
            paints["lcp"] / 1e3,
            loaded / 1e3,
            paints["element"],
            paints["cls"],
            len(kinds),
            transferred,
        )
    finally:
        context.close()

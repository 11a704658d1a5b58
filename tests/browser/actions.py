"""What people do on the pages, as far as several journeys do it."""

import base64
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Route

from tests.browser.people import PATIENCE

UPLOAD = "/api/v1/images/upload"
#: Where the window may be allowed to read the clipboard back.
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}

_TRANSFER = """(files) => {
    const transfer = new DataTransfer();
    for (const { name, type, bytes } of files)
        transfer.items.add(new File([Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0))], name, { type }));
    return transfer;
}"""


def choose(page: Page, paths: Sequence[Path]) -> None:
    """Choose files with the upload page's own field."""
    page.locator("#file").set_input_files(list(paths))


def rows(page: Page) -> Locator:
    """The uploads that the page lists."""
    return page.locator("#upload-list > li")


def row(page: Page, name: str) -> Locator:
    """The upload of the file `name`."""
    return rows(page).filter(has_text=name)


def transfer(page: Page, files: Sequence[tuple[str, str, str]]) -> Any:
    """A DataTransfer of files: name, type, and base64 of the bytes."""
    return page.evaluate_handle(_TRANSFER, [{"name": n, "type": t, "bytes": b} for n, t, b in files])


def copied(page: Page) -> str:
    """What the clipboard holds."""
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait until something outside the page is true."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline
        # Playwright hears of the browser while it waits for it.
        page.wait_for_timeout(20)


def wait_for(page: Page, condition: str, argument: object = None) -> None:
    """Wait until a JavaScript expression or function is true. Playwright's own waiting is what our policy forbids."""
    until(page, lambda: bool(page.evaluate(condition, argument)))


class Held:
    """Requests to `pattern` that go no further until they are let."""

    def __init__(self, page: Page, pattern: str) -> None:
        self.routes: list[Route] = []
        self._page = page
        self._closed = True
        page.route(pattern, self._arrive)

    def _arrive(self, route: Route) -> None:
        if self._closed:
            self.routes.append(route)
        else:
            route.continue_()

    def arrived(self, count: int = 1) -> list[Route]:
        """Wait until `count` of them are held."""
        until(self._page, lambda: len(self.routes) >= count)
        return self.routes

    def release(self) -> None:
        """Let them go on, and hold no more."""
        self._closed = False
        for route in self.routes:
            route.continue_()
        self.routes.clear()


class HeldAnswers:
    """Answers to `pattern` (with `*`) that the browser is not told yet: the server has done its part."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page = page
        self._line = page.context.new_cdp_session(page)
        self._paused: list[dict[str, Any]] = []
        self._line.on("Fetch.requestPaused", self._arrive)
        self._line.send("Fetch.enable", {"patterns": [{"urlPattern": pattern, "requestStage": "Response"}]})

    def _arrive(self, event: dict[str, Any]) -> None:
        self._paused.append(event)

    def first(self) -> Any:
        """The JSON of the first answer."""
        until(self._page, lambda: bool(self._paused))
        body = self._line.send("Fetch.getResponseBody", self._identity)
        return json.loads(base64.b64decode(body["body"]) if body["base64Encoded"] else body["body"])

    def release(self) -> None:
        """Let the browser have it."""
        self._line.send("Fetch.continueRequest", self._identity)

    def lose(self) -> None:
        """Break the connection instead, and hold no more."""
        self._line.send("Fetch.failRequest", {**self._identity, "errorReason": "ConnectionReset"})
        self._line.send("Fetch.disable")

    @property
    def _identity(self) -> dict[str, str]:
        return {"requestId": self._paused[0]["requestId"]}


def focused(page: Page) -> str:
    """What has the focus, as a person would call it: the role's tag with its name, id or text."""
    name: str = page.evaluate(
        """() => {
            const it = document.activeElement;
            const words = it.getAttribute("aria-label") || it.id || it.name || it.textContent.trim();
            return `${it.localName}:${words.replace(/\\s+/g, " ")}`;
        }"""
    )
    return name

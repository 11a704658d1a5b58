"""People in front of a real browser, and the pages that they have open."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect
from playwright.sync_api import Error as BrowserError

from tests.factories.pictures import jpeg
from tests.faults.people import AUTH, PASSWORD, Person

#: Widths that every page is laid out for, in CSS pixels, with the height of a window that has them.
SIZES = {"phone": (375, 812), "tablet": (768, 1024), "desktop": (1440, 900)}

#: What a page may say on the console without anything being wrong: the browser reports each answer of 400 and above.
_STATUS_REPORT = "Failed to load resource: the server responded with a status of"

#: How long something may take to become true on a loaded machine, in milliseconds.
PATIENCE = 60_000

expect.set_options(timeout=PATIENCE)


@dataclass
class Visitor:
    """Somebody with a browser window of their own.

    `complaints` are what their pages said on the console: errors and warnings of scripts and of the content security
    policy, uncaught exceptions, and requests to other hosts; a test that expects none is told so when its window
    closes. `unanswered` are the requests of their pages that have not ended yet.
    """

    page: Page
    url: str
    person: Person | None = None
    complaints: list[str] = field(default_factory=list)
    unanswered: list[Request] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a page of the server. If it never loads, the error says what it still waits for."""
        try:
            self.page.goto(f"{self.url}{path}")
        except BrowserError as error:
            error.add_note(f"unanswered: {[request.url for request in self.unanswered]}")
            raise
        return self.page

    @property
    def context(self) -> BrowserContext:
        """The window's storage and cookies."""
        return self.page.context

    def watch(self, page: Page) -> None:
        """Note what a page complains about."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", self._request)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_STATUS_REPORT):
            self.complaints.append(f"{message.type}: {message.text}")

    def _answered(self, request: Request) -> None:
        if request in self.unanswered:
            self.unanswered.remove(request)

    def _request(self, request: Request) -> None:
        self.unanswered.append(request)
        if not request.url.startswith((self.url, "data:", "blob:", "about:")):
            self.complaints.append(f"request to {request.url}")


@contextmanager
def window(browser: Browser, url: str, *, size: str = "desktop", **options: Any) -> Iterator[Visitor]:
    """A new window with empty storage, `size` one of SIZES; `options` of `Browser.new_context`."""
    width, height = SIZES[size]
    options = {
        "viewport": {"width": width, "height": height},
        "has_touch": size == "phone",
        "is_mobile": size == "phone",
    } | options
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        visitor = Visitor(page, url)
        visitor.watch(page)
        context.on("page", visitor.watch)
        yield visitor
    finally:
        context.close()


def signed_up(url: str, email: str) -> Person:
    """A new account, made over the API."""
    with httpx.Client(base_url=url, timeout=30) as client:
        answer = client.post(f"{AUTH}/register", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return Person(email, PASSWORD, body["access_token"], body["user"]["id"])


def sign_in(visitor: Visitor, person: Person) -> None:
    """Give the window the session cookie of a new session, as the log-in page does."""
    answer = visitor.context.request.post(
        f"{visitor.url}{AUTH}/session",
        data={"email": person.email, "password": person.password},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status == 200, answer.text()
    visitor.person = person


def uploaded(url: str, data: bytes, *, name: str = "picture.jpg", person: Person | None = None, **fields: str) -> Any:
    """The JSON answer to an upload over the API, which has to succeed."""
    with httpx.Client(base_url=url, timeout=60) as client:
        answer = client.post(
            "/api/v1/images/upload",
            files={"file": (name, data, "application/octet-stream")},
            data={"visibility": "public"} | fields,
            headers=person.headers if person else {},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()


def edited(url: str, image_id: str, person: Person, **fields: str) -> None:
    """Change an image over the API."""
    with httpx.Client(base_url=url, timeout=30) as client:
        answer = client.patch(f"/api/v1/images/{image_id}", json=fields, headers=person.headers)
        assert answer.status_code == 200, answer.text


def files(directory: Path, names: Sequence[str], *, width: int = 640, height: int = 480) -> list[Path]:
    """Picture files to choose, each of another content."""
    paths = []
    for number, name in enumerate(names):
        path = directory / name
        path.write_bytes(jpeg(width + 8 * number, height, seed=hash_of(name)))
        paths.append(path)
    return paths


def hash_of(text: str) -> int:
    """A number that is the same for the same text in every run."""
    return int.from_bytes(text.encode()[-4:], "big")

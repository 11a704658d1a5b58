"""One Chromium and one server for the browser tests of a process; each test has windows and accounts of its own."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.people import Visitor, sign_in, signed_up, window
from tests.browser.stage import STRICT, Stage, Words, set_stage
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.services.packages import SEARCH_PATH

#: What keeps Chromium to itself: it runs as root here, without a graphics card, and asks nobody for updates.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Passwords are hashed often here and are worth nothing.
SETTINGS = UNLIMITED | {"BCRYPT_ROUNDS": "4"}

Open = Callable[..., Visitor]

_names = itertools.count(1)


# Not for the session: while Playwright is there, its event loop counts as running, and no other one can.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without the window around it, which would cost more than the pages in it."""
    executable = shutil.which("chromium-headless-shell", path=SEARCH_PATH)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose content grows with the tests; who needs an empty one starts it with `running_server`."""
    with running_server(tmp_path_factory.mktemp("site"), **SETTINGS) as server:
        yield server


@pytest.fixture
def visit(chromium: Browser, site: Server) -> Iterator[Open]:
    """`visit(size="phone", member=True, url=..., **options)` opens a window; nothing may complain in any of them.

    `member` signs a new account in. A test that expects complaints empties `visitor.complaints`.
    """
    with ExitStack() as windows:
        opened: list[Visitor] = []

        def open_window(*, size: str = "desktop", member: bool = False, url: str = site.url, **options: Any) -> Visitor:
            visitor = windows.enter_context(window(chromium, url, size=size, **options))
            opened.append(visitor)
            if member:
                sign_in(visitor, signed_up(url, f"member{next(_names)}@example.org"))
            return visitor

        yield open_window
        assert [complaint for visitor in opened for complaint in visitor.complaints] == []


@pytest.fixture(scope="session")
def stage(site: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The site with something on every page, and a server of stricter settings beside it."""
    with running_server(tmp_path_factory.mktemp("strict"), **STRICT) as strict:
        yield set_stage(site, strict, words=Words(), name="owner")

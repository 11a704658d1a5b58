"""When something is wrong: a page that says what to do now, and a toast where only a part of a page failed."""

import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Response, expect

from tests.browser.actions import until, wait_for
from tests.browser.conftest import SETTINGS, Open
from tests.browser.people import Visitor, files, sign_in, signed_up, uploaded
from tests.factories.pictures import jpeg
from tests.factories.servers import Server, running_server

LIMITS = {
    "RATE_LIMIT_ENABLED": "true",
    "RATE_LIMIT_PER_MINUTE": "50",
    "RATE_LIMIT_WINDOW_SECONDS": "3600",
    "RATE_LIMIT_AUTH_ATTEMPTS": "12",
    "UPLOAD_CONCURRENCY_LIMIT": "1",
    "UPLOAD_CONCURRENCY_TIMEOUT": "1",
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little patience."""
    with running_server(tmp_path_factory.mktemp("strict"), **(SETTINGS | LIMITS)) as server:
        yield server


def _go(visitor: Visitor, path: str) -> Response:
    answer = visitor.page.goto(f"{visitor.url}{path}")
    assert answer is not None
    return answer


@pytest.mark.parametrize(("size", "script"), [("phone", True), ("desktop", False)])
def test_what_is_not_there_says_so_and_leads_on(visit: Open, size: str, script: bool) -> None:
    visitor = visit(size=size, java_script_enabled=script)
    page = visitor.page
    titles = {"/no-such-page": "There is nothing here", "/image/abcdefghijk": "There is no such picture"}
    for path, title in titles.items():
        assert _go(visitor, path).status == 404
        expect(page.get_by_role("heading", name=title)).to_be_visible()
        assert "noindex" in (page.locator("meta[name=robots]").get_attribute("content") or "")
        page.get_by_role("link", name="To the gallery").click()
        page.wait_for_url(f"{visitor.url}/")


def test_a_private_picture_of_somebody_else_is_as_if_it_had_never_been(visit: Open) -> None:
    owner = visit(member=True)
    image = uploaded(owner.url, jpeg(64, 48, seed=81), name="hidden.jpg", person=owner.person, visibility="private")
    visitor = visit(member=True)
    seen = []
    for image_id in (image["id"], "abcdefghijk"):
        assert _go(visitor, f"/image/{image_id}").status == 404
        seen.append(visitor.page.locator("main").inner_text())
    assert seen[0] == seen[1]
    assert "hidden.jpg" not in visitor.page.content()


def test_a_form_of_a_page_that_belongs_to_somebody_else_changes_nothing(visit: Open) -> None:
    """The page was opened by its owner; meanwhile another person logged in on the same browser."""
    visitor = visit(member=True, java_script_enabled=False)
    image = uploaded(visitor.url, jpeg(64, 48, seed=82), name="theirs.jpg", person=visitor.person)
    page = visitor.open(f"/image/{image['id']}")
    page.get_by_label("Title").fill("Taken over")
    visitor.context.clear_cookies()
    sign_in(visitor, signed_up(visitor.url, "successor@example.org"))
    with page.expect_navigation() as going:
        page.get_by_role("button", name="Save").click()
    assert going.value.status == 403
    expect(page.get_by_role("heading", name=re.compile("not yours|too old"))).to_be_visible()
    expect(visitor.open(f"/image/{image['id']}").get_by_role("heading", level=1)).to_have_text("theirs.jpg")


def test_too_large_a_file_is_told_with_the_limit(visit: Open, tmp_path: Path) -> None:
    visitor = visit(size="phone", java_script_enabled=False)
    page = visitor.open("/upload")
    (tmp_path / "large.jpg").write_bytes(jpeg(64, 48) + bytes(6 * 1024 * 1024))
    page.locator("#file").set_input_files(tmp_path / "large.jpg")
    with page.expect_navigation() as going:
        page.locator("main").get_by_role("button", name="Upload").click()
    assert going.value.status == 413
    expect(page.get_by_role("alert")).to_contain_text("5.0 MB")
    # The form is there for another one.
    expect(page.get_by_label("Choose a picture")).to_be_visible()


def test_too_often_says_how_long_to_wait_and_offers_to_try_again(visit: Open, strict: Server, tmp_path: Path) -> None:
    image = uploaded(strict.url, jpeg(64, 48, seed=83))
    visitor = visit(size="phone", url=strict.url, java_script_enabled=False)
    page = visitor.open(f"/image/{image['id']}/delete")
    for attempt in range(100):
        guess = {"delete_token": f"{attempt:043}"}
        if page.request.post(page.url, form=guess, headers={"Sec-Fetch-Site": "same-origin"}).status != 403:
            break
    page.get_by_label("Delete token").fill("x" * 43)
    with page.expect_navigation() as going:
        page.get_by_role("button", name="Delete").click()
    assert going.value.status == 429
    expect(page.get_by_role("heading", name="That was a lot at once")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Try again in \d+ (seconds|minutes)\."))).to_be_visible()
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="Delete this picture?")).to_be_visible()


@contextmanager
def _occupied(server: Server) -> Iterator[None]:
    """An upload that takes the only slot and comes to no end."""
    head = (
        f"POST /api/v1/images/upload HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 4000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="slow.jpg"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(head.encode() + jpeg(64, 48, seed=84))
        yield


def test_a_busy_server_says_so_and_takes_the_picture_later(visit: Open, strict: Server, tmp_path: Path) -> None:
    visitor = visit(url=strict.url, java_script_enabled=False)
    page = visitor.open("/upload")
    (path,) = files(tmp_path, ["later.jpg"])

    def send() -> int:
        page.locator("#file").set_input_files(path)
        with page.expect_navigation() as going:
            page.locator("main").get_by_role("button", name="Upload").click()
        return going.value.status

    with _occupied(strict):
        until(page, lambda: _slots(strict) == "1/1 active")
        assert send() == 503
        expect(page.get_by_role("alert")).to_contain_text("Nothing of yours was lost")
    until(page, lambda: _slots(strict) == "0/1 active")
    assert send() == 201


@contextmanager
def _broken(server: Server) -> Iterator[None]:
    """The server's database without its table of images: a fault of ours."""
    database = server.data / "chitram.db"
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("ALTER TABLE images RENAME TO elsewhere")
        connection.commit()
        try:
            yield
        finally:
            connection.execute("ALTER TABLE elsewhere RENAME TO images")
            connection.commit()


def test_a_fault_of_ours_is_a_page_with_a_number_and_a_toast_in_a_part(visit: Open, strict: Server) -> None:
    visitor = visit(size="phone", member=True, url=strict.url)
    image = uploaded(strict.url, jpeg(64, 48, seed=85), person=visitor.person)
    page = visitor.open(f"/image/{image['id']}")
    page.get_by_label("Title").fill("Typed once")
    other = visitor.context.new_page()
    with _broken(strict):
        page.get_by_role("button", name="Save").click()
        toast = page.locator("#toasts .toast")
        expect(toast.locator("p")).to_have_text(re.compile(r"^It has been noted\. .* Request [0-9a-zA-Z-]+$"))
        answer = other.goto(strict.url)
        assert answer is not None
        assert answer.status in (500, 503)
        expect(other.get_by_role("heading", level=1)).to_be_visible()
        expect(other.get_by_text(re.compile("^Request [0-9a-zA-Z-]+$"))).to_be_visible()
        for word in ("sqlite", "Traceback", "images"):
            assert word not in other.locator("main").inner_text()
    # The rest of the page was left as it is, and what was typed is sent now.
    expect(page.get_by_label("Title")).to_have_value("Typed once")
    toast.get_by_role("button", name="Close").click()
    expect(toast).to_have_count(0)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    # htmx tells the console as well.
    assert all("500" in complaint or "503" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()


#: How many messages there are when the next one has come.
TOASTED = """() => new MutationObserver((records) => {
  if (records.some((each) => each.addedNodes.length)) window.toasted = records[0].target.childElementCount;
}).observe(document.getElementById("toasts"), { childList: true })"""


def test_without_a_connection_a_part_says_so_and_the_page_stays(visit: Open) -> None:
    visitor = visit(member=True)
    image = uploaded(visitor.url, jpeg(64, 48, seed=86), person=visitor.person)
    page = visitor.open(f"/image/{image['id']}")
    page.get_by_label("Title").fill("Offline")
    visitor.context.set_offline(True)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts").get_by_text("The server cannot be reached.")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    # What is said once more takes the place of what was said before.
    page.evaluate(TOASTED)
    page.get_by_role("button", name="Save").click()
    wait_for(page, "window.toasted")
    assert page.evaluate("window.toasted") == 1
    visitor.context.set_offline(False)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    visitor.complaints.clear()


def test_a_toast_waits_for_whoever_reads_it_and_goes_by_itself(visit: Open) -> None:
    visitor = visit(member=True)
    image = uploaded(visitor.url, jpeg(64, 48, seed=87), person=visitor.person)
    page = visitor.page
    page.clock.install()
    visitor.open(f"/image/{image['id']}")
    visitor.context.set_offline(True)
    page.get_by_role("button", name="Save").click()
    toast = page.locator("#toasts .toast")
    expect(toast).to_be_visible()
    toast.hover()
    page.clock.run_for(60_000)
    expect(toast).to_be_visible()
    page.mouse.move(5, 5)
    page.clock.run_for(10_000)
    expect(toast).to_have_count(0)
    visitor.complaints.clear()


def _slots(server: Server) -> str:
    slots: str = httpx.get(f"{server.url}/health", timeout=30).json()["upload_concurrency"]
    return slots

"""The upload page with script: choosing, dropping, pasting, progress, cancelling, trying again, waiting, the token."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Request, Response, expect

from tests.browser.actions import (
    CLIPBOARD,
    UPLOAD,
    Held,
    HeldAnswers,
    choose,
    copied,
    row,
    rows,
    transfer,
    until,
    wait_for,
)
from tests.browser.conftest import SETTINGS, Open
from tests.browser.everyday import soaked
from tests.browser.people import Visitor, files
from tests.factories.pictures import jpeg
from tests.factories.servers import Server, running_server

WARNING = "Save this token! It's the only way to delete this image."
NO_PICTURE = "This is no picture of a kind that is accepted here. JPEG and PNG are."
EVERY = f"**{UPLOAD}"
PROGRESS = "() => document.querySelector('[data-progress]').value"
#: Cancels an upload by its row; the file's name.
CANCELLED = """row => {
  row.querySelector("[data-cancel]").click();
  return row.querySelector("[data-name]").textContent;
}"""


def _stored(url: str, image_id: str) -> httpx.Response:
    return httpx.get(f"{url}/api/v1/images/{image_id}", timeout=30)


def _answers(page: Page) -> list[Response]:
    """The answers to uploads, as they come."""
    found: list[Response] = []
    page.on("response", lambda response: found.append(response) if response.url.endswith(UPLOAD) else None)
    return found


def _done(page: Page, name: str) -> None:
    expect(row(page, name).locator("[data-state]")).to_have_text("Done")


@pytest.mark.parametrize("size", ["phone", soaked("tablet"), soaked("desktop")])
def test_several_files_at_once_each_get_a_link_a_thumbnail_and_their_token(
    visit: Open, tmp_path: Path, size: str
) -> None:
    visitor = visit(size=size, **CLIPBOARD)
    page = visitor.open("/upload")
    answers = _answers(page)
    page.get_by_label("Everybody").check()
    choose(page, files(tmp_path, ["one.jpg", "two.jpg", "three.jpg"]))
    expect(page.locator("#uploads-status")).to_have_text("3 uploaded")
    assert [each.locator("[data-name]").inner_text() for each in rows(page).all()] == [
        "one.jpg",
        "two.jpg",
        "three.jpg",
    ]
    images = {answer.json()["filename"]: answer.json() for answer in answers}
    for name, image in images.items():
        item = row(page, name)
        assert _stored(visitor.url, image["id"]).json()["visibility"] == "public"
        preview = item.locator("[data-preview]")
        assert (preview.get_attribute("src") or "").startswith(image["thumbnails"]["150"])
        until(page, lambda preview=preview: preview.evaluate("image => image.naturalWidth") == 150)
        # The warning in its exact words, the token beside it, and both of one row.
        expect(item.get_by_text(WARNING, exact=True)).to_be_visible()
        expect(item.get_by_label("Delete token")).to_have_value(image["delete_token"])
    item = row(page, "two.jpg")
    item.locator("[data-copy-link]").click()
    expect(item.locator("[data-copy-link]")).to_have_text("Copied")
    link = copied(page)
    assert link == item.get_by_label("Link", exact=True).input_value()
    item.locator("[data-copy-token]").click()
    expect(item.locator("[data-copy-token]")).to_have_text("Copied")
    assert copied(page) == images["two.jpg"]["delete_token"]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    # What was copied is where the picture is.
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("two.jpg")


def test_the_download_holds_the_page_and_its_token(visit: Open, tmp_path: Path) -> None:
    visitor = visit(size="phone")
    page = visitor.open("/upload")
    answers = _answers(page)
    choose(page, files(tmp_path, ["kept.jpg"]))
    _done(page, "kept.jpg")
    image = answers[0].json()
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download").click()
    assert saving.value.suggested_filename == f"chitram-{image['id']}.txt"
    text = Path(saving.value.path()).read_text()
    assert text.splitlines() == [f"{visitor.url}/image/{image['id']}", image["delete_token"]]


def test_files_dropped_anywhere_on_the_page_are_uploaded(visit: Open) -> None:
    page = visit().open("/upload")
    dropped = [
        (name, "image/jpeg", base64.b64encode(jpeg(80, 60, seed=seed)).decode())
        for seed, name in enumerate(["dropped.jpg", "with-it.jpg"])
    ]
    handle = transfer(page, dropped)
    target = page.locator("footer")
    sign = page.locator("#drop-everywhere")
    target.dispatch_event("dragenter", {"dataTransfer": handle})
    expect(sign).to_be_visible()
    target.dispatch_event("dragleave", {"dataTransfer": handle})
    expect(sign).to_be_hidden()
    target.dispatch_event("dragenter", {"dataTransfer": handle})
    # Unless the page says so, the browser opens what is dropped.
    assert target.evaluate(
        """(it, dataTransfer) =>
            !it.dispatchEvent(new DragEvent("dragover", { bubbles: true, cancelable: true, dataTransfer }))""",
        handle,
    )
    target.dispatch_event("drop", {"dataTransfer": handle})
    expect(sign).to_be_hidden()
    _done(page, "dropped.jpg")
    _done(page, "with-it.jpg")
    # Text that is dragged about is nobody's picture.
    words = page.evaluate_handle("() => { const t = new DataTransfer(); t.setData('text/plain', 'x'); return t; }")
    target.dispatch_event("dragenter", {"dataTransfer": words})
    expect(sign).to_be_hidden()


def test_a_picture_is_pasted_out_of_the_clipboard(visit: Open) -> None:
    page = visit().open("/upload")
    handle = transfer(page, [("pasted.jpg", "image/jpeg", base64.b64encode(jpeg(80, 60, seed=5)).decode())])
    paste = """(data) => document.body.dispatchEvent(
        new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }))"""
    assert page.evaluate(paste, handle) is False, "the browser would paste it as well"
    _done(page, "pasted.jpg")
    text = page.evaluate_handle("() => { const t = new DataTransfer(); t.setData('text/plain', 'x'); return t; }")
    assert page.evaluate(paste, text) is True
    expect(rows(page)).to_have_count(1)


def test_a_phone_offers_its_camera_and_takes_what_it_made(visit: Open, tmp_path: Path) -> None:
    page = visit(size="phone").open("/upload")
    camera = page.locator("input[capture]")
    assert camera.get_attribute("capture") == "environment"
    assert camera.get_attribute("accept") == "image/*"
    with page.expect_file_chooser() as choosing:
        page.get_by_text("Take a picture").click()
    choosing.value.set_files(files(tmp_path, ["camera.jpg"])[0])
    _done(page, "camera.jpg")
    # Those who have no camera at hand are not asked to use one.
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.get_by_text("Take a picture")).to_be_hidden()


def test_what_cannot_be_accepted_is_told_without_sending_it(visit: Open, tmp_path: Path) -> None:
    page = visit(size="phone").open("/upload")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    (tmp_path / "large.jpg").write_bytes(jpeg(64, 48) + bytes(5 * 1024 * 1024))
    (tmp_path / "words.txt").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    choose(page, [tmp_path / "large.jpg", tmp_path / "words.txt", tmp_path / "empty.jpg"])
    expect(row(page, "large.jpg").get_by_role("alert")).to_have_text("This server takes files of up to 5.0 MB.")
    expect(row(page, "words.txt").get_by_role("alert")).to_have_text(NO_PICTURE)
    expect(row(page, "empty.jpg").get_by_role("alert")).to_have_text("This file is empty. Choose another one.")
    for each in rows(page).all():
        expect(each.locator("[data-retry]")).to_be_hidden()
        expect(each.locator("[data-cancel]")).to_be_hidden()
    assert sent == []
    # Exactly as large as is allowed is not too large.
    exact = jpeg(64, 48)
    (tmp_path / "exact.jpg").write_bytes(exact + bytes(5 * 1024 * 1024 - len(exact)))
    choose(page, [tmp_path / "exact.jpg"])
    until(page, lambda: len(sent) == 1)


def test_a_picture_that_is_none_is_refused_by_the_server_in_its_row(visit: Open, tmp_path: Path) -> None:
    page = visit().open("/upload")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 this only begins like one")
    choose(page, [tmp_path / "broken.jpg", *files(tmp_path, ["good.jpg"])])
    damaged = row(page, "broken.jpg")
    # In the words of the catalogue, not in those for programs.
    expect(damaged.get_by_role("alert")).to_have_text(NO_PICTURE)
    # It would be refused as often as it is sent.
    expect(damaged.locator("[data-retry]")).to_be_hidden()
    # One that fails holds up nobody.
    _done(page, "good.jpg")


def test_progress_counts_up_and_cancelling_leaves_nothing_behind(visit: Open, tmp_path: Path) -> None:
    visitor = visit(member=True)
    page = visitor.open("/upload")
    (tmp_path / "slow.jpg").write_bytes(jpeg(1200, 900, quality=95, grain=0.5))
    line = visitor.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    line.send("Network.emulateNetworkConditions", slow)
    choose(page, [tmp_path / "slow.jpg"])
    wait_for(page, f"(({PROGRESS})()) > 0")
    first = page.evaluate(PROGRESS)
    assert first < 100
    until(page, lambda: page.evaluate(PROGRESS) > first)
    expect(page.locator("[data-state]")).to_have_text(re.compile(r"^\d+ %$"))
    with page.expect_event("requestfailed") as failing:
        row(page, "slow.jpg").get_by_role("button", name="Cancel").click()
    assert failing.value.url.endswith(UPLOAD)
    expect(page.locator("[data-state]")).to_have_text("Cancelled")
    expect(page.locator("[data-progress]")).to_be_hidden()
    # Where the button was that had the focus, one goes on.
    assert page.evaluate("document.activeElement.matches('.upload-item')")
    visitor.complaints.clear()
    assert _own(visitor) == []


def test_what_still_waits_for_its_turn_can_be_cancelled(visit: Open, tmp_path: Path) -> None:
    visitor = visit(member=True)
    page = visitor.open("/upload")
    held = Held(page, EVERY)
    choose(page, files(tmp_path, ["one.jpg", "two.jpg", "three.jpg"]))
    held.arrived(2)
    row(page, "three.jpg").get_by_role("button", name="Cancel").click()
    held.release()
    _done(page, "one.jpg")
    _done(page, "two.jpg")
    expect(row(page, "three.jpg").locator("[data-state]")).to_have_text("Cancelled")
    assert sorted(image["filename"] for image in _own(visitor)) == ["one.jpg", "two.jpg"]


@pytest.mark.parametrize("member", [True, False])
def test_cancelling_what_has_arrived_takes_it_back(visit: Open, tmp_path: Path, member: bool) -> None:
    """Between the last byte and the answer the server has kept it already."""
    visitor = visit(member=member)
    page = visitor.open("/upload")
    answers = HeldAnswers(page, f"*{UPLOAD}")
    choose(page, files(tmp_path, ["late.jpg"]))
    image = answers.first()
    page.get_by_role("button", name="Cancel").click()
    with page.expect_response(lambda response: response.request.method == "DELETE") as deleting:
        answers.release()
    assert deleting.value.status == 204
    assert _stored(visitor.url, image["id"]).status_code == 404
    expect(page.locator("[data-state]")).to_have_text("Cancelled")
    expect(page.locator("#remembered")).to_be_hidden()


def test_what_failed_on_the_way_can_be_tried_again(visit: Open, tmp_path: Path) -> None:
    visitor = visit(size="phone")
    page = visitor.open("/upload")
    visitor.context.set_offline(True)
    choose(page, files(tmp_path, ["again.jpg"]))
    item = row(page, "again.jpg")
    expect(item.get_by_role("alert")).to_have_text("The server cannot be reached.")
    expect(item.locator("[data-progress]")).to_be_hidden()
    visitor.context.set_offline(False)
    held = Held(page, EVERY)
    item.get_by_role("button", name="Try again").click()
    held.arrived()
    # It is on its way again: what was wrong is not said any more.
    expect(item.get_by_role("alert")).to_have_count(0)
    expect(item.locator("[data-progress]")).to_be_visible()
    expect(item.locator("[data-retry]")).to_be_hidden()
    held.release()
    _done(page, "again.jpg")
    visitor.complaints.clear()


def test_an_answer_that_was_lost_makes_no_second_picture(visit: Open, tmp_path: Path) -> None:
    visitor = visit(member=True)
    page = visitor.open("/upload")
    answers = HeldAnswers(page, f"*{UPLOAD}")
    page.get_by_label("Everybody").check()
    choose(page, files(tmp_path, ["once.jpg"]))
    kept = answers.first()["id"]
    answers.lose()
    expect(page.get_by_role("alert")).to_have_text("The server cannot be reached.")
    # What is chosen now is for the next pictures; this one is the same as it was.
    page.get_by_label("Only you").check()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(f"**/image/{kept}")
    (image,) = _own(visitor)
    assert image["visibility"] == "public"
    visitor.complaints.clear()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes two uploads of a stranger in a few seconds, and has little room for a member."""
    limits = {
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_PER_MINUTE": "2",
        "RATE_LIMIT_WINDOW_SECONDS": "4",
        "DEFAULT_QUOTA_MB": "1",
    }
    with running_server(tmp_path_factory.mktemp("strict"), **(SETTINGS | limits)) as server:
        yield server


def test_too_many_at_once_wait_as_long_as_the_server_says_and_go_on_by_themselves(
    visit: Open, strict: Server, tmp_path: Path
) -> None:
    visitor = visit(url=strict.url)
    page = visitor.open("/upload")
    answers = _answers(page)
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    choose(page, files(tmp_path, names))
    waiting = page.locator("[data-state]").filter(has_text=re.compile(r"^Goes on in [1-4] s$"))
    expect(waiting.first).to_be_visible()
    # Whoever has changed their mind need not wait for it. In one step: a moment later this one goes on.
    name = rows(page).filter(has=waiting).first.evaluate(CANCELLED)
    for each in names:
        expect(row(page, each).locator("[data-state]")).to_have_text("Cancelled" if each == name else "Done")
    statuses = [answer.status for answer in answers]
    assert statuses.count(201) == 3
    assert statuses.count(429) >= 1
    assert statuses.count(429) <= 4, "asked again before it was time"


def test_the_bar_fills_until_there_is_no_room_for_another(visit: Open, strict: Server, tmp_path: Path) -> None:
    visitor = visit(size="phone", member=True, url=strict.url)
    page = visitor.open("/account")
    bar = page.locator("meter")
    assert bar.evaluate("bar => [bar.value, bar.max]") == [0, 1024 * 1024]
    visitor.open("/upload")
    for name in ("half.jpg", "most.jpg", "more.jpg"):
        (tmp_path / name).write_bytes(jpeg(900, 700, seed=len(name) + ord(name[0]), quality=90, grain=0.5))
    choose(page, [tmp_path / "half.jpg", tmp_path / "most.jpg", tmp_path / "more.jpg"])
    full = page.get_by_role("alert").first
    expect(full).to_have_text("Delete something first; what you have stays as it is.")
    expect(page.locator("[data-cancel]:visible")).to_have_count(0)
    kept = _own(visitor)
    assert 0 < len(kept) < 3
    visitor.open("/account")
    assert bar.evaluate("bar => bar.value") == sum(image["file_size"] for image in kept)


def test_a_members_single_picture_leads_to_its_page_and_is_as_visible_as_was_chosen(
    visit: Open, tmp_path: Path
) -> None:
    visitor = visit(size="phone", member=True)
    for label, visibility in (("Only you", "private"), ("Whoever has the link", "unlisted")):
        page = visitor.open("/upload")
        page.get_by_label(label).check()
        choose(page, files(tmp_path, [f"{visibility}.jpg"]))
        page.wait_for_url("**/image/*")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{visibility}.jpg")
        assert _own(visitor)[0]["visibility"] == visibility
        stranger = _stored(visitor.url, page.url.rsplit("/", 1)[1]).status_code
        assert stranger == (404 if visibility == "private" else 200)
    # Nobody hands out a token for what has an owner.
    assert page.evaluate("localStorage.getItem('chitram-uploads')") is None


def test_strangers_cannot_keep_a_picture_to_themselves(visit: Open) -> None:
    page = visit().open("/upload")
    assert page.get_by_role("radio").evaluate_all("all => all.map((each) => each.value)") == ["unlisted", "public"]
    expect(page.get_by_label("Whoever has the link")).to_be_checked()


def test_leaving_in_the_middle_of_an_upload_asks_first(visit: Open, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.open("/upload")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    held = Held(page, EVERY)
    page.get_by_label("Everybody").click()
    choose(page, files(tmp_path, ["half.jpg"]))
    held.arrived()
    visitor.open("/")
    assert asked == ["beforeunload"]
    visitor.complaints.clear()


def _own(visitor: Visitor) -> list[dict[str, Any]]:
    """The images of whoever is signed in, newest first."""
    assert visitor.person is not None
    answer = httpx.get(f"{visitor.url}/api/v1/users/me/images", headers=visitor.person.headers, timeout=30)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items

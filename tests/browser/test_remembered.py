"""Images that were uploaded from this browser: kept over a reload, forgotten, deleted by their token."""

from pathlib import Path

import httpx
from playwright.sync_api import Page, Request, expect

from tests.browser.actions import choose, row, until
from tests.browser.conftest import Open
from tests.browser.people import Visitor, files, sign_in, signed_up

HEADING = "Images you uploaded from this browser"


def _upload(visitor: Visitor, tmp_path: Path, *names: str) -> Page:
    page = visitor.open("/upload")
    choose(page, files(tmp_path, names))
    for name in names:
        expect(row(page, name).locator("[data-state]")).to_have_text("Done")
    return page


def _watched(page: Page) -> list[Request]:
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108 - playwright marks what it is given
    return requests


def test_what_was_uploaded_here_is_listed_and_deleted_by_a_token_that_no_address_shows(
    visit: Open, tmp_path: Path
) -> None:
    visitor = visit(size="phone")
    page = _upload(visitor, tmp_path, "first.jpg", "second.jpg")
    tokens = [field.input_value() for field in page.get_by_label("Delete token").all()]
    assert len(set(tokens)) == 2
    page.reload()
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    listed = page.locator("#remembered-list > li")
    expect(listed).to_have_count(2)
    requests = _watched(page)
    listed.filter(has_text="first.jpg").get_by_role("link", name="Delete").click()
    page.wait_for_url("**/delete")
    field = page.get_by_label("Delete token")
    until(page, lambda: field.input_value() in tokens)
    # It is gone from the address, and so from the history and from what is copied out of the bar.
    assert "#" not in page.url
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/?deleted=*")
    expect(page.get_by_text("The picture has been deleted.")).to_be_visible()
    visitor.open("/upload")
    expect(listed).to_have_count(1)
    expect(listed).to_contain_text("second.jpg")
    sent = [request for request in requests if request.method == "POST"]
    assert len(sent) == 1
    for request in requests:
        headers = request.all_headers()
        assert not [token for token in tokens if token in request.url or token in str(headers.values())]


def test_members_delete_what_they_uploaded_before_they_had_an_account(visit: Open, tmp_path: Path) -> None:
    visitor = visit()
    page = _upload(visitor, tmp_path, "before.jpg")
    image_id = (page.get_by_role("link", name="Open").get_attribute("href") or "").rsplit("/", 1)[1]
    sign_in(visitor, signed_up(visitor.url, "later@example.org"))
    # The token is filled in from the list although the way here was another one.
    visitor.open(f"/image/{image_id}").get_by_role("link", name="Delete").click()
    until(page, lambda: len(page.get_by_label("Delete token").input_value()) == 43)
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/my-images?deleted=*")
    visitor.open("/upload")
    expect(page.get_by_role("heading", name=HEADING)).to_be_hidden()
    assert httpx.get(f"{visitor.url}/api/v1/images/{image_id}").status_code == 404


def test_an_address_that_says_something_was_deleted_takes_no_token_away(visit: Open, tmp_path: Path) -> None:
    visitor = visit()
    page = _upload(visitor, tmp_path, "mine.jpg")
    image_id = (page.get_by_role("link", name="Open").get_attribute("href") or "").rsplit("/", 1)[1]
    visitor.open(f"/?deleted={image_id}")
    visitor.open(f"/image/{image_id}/delete#%zz")
    until(page, lambda: len(page.get_by_label("Delete token").input_value()) == 43)
    visitor.open("/?deleted=x")
    visitor.open("/upload")
    expect(page.locator("#remembered-list > li")).to_have_count(1)
    # What somebody else deleted with the token is found gone where one wanted to delete it.
    token = page.evaluate("JSON.parse(localStorage.getItem('chitram-uploads'))[0].token")
    httpx.delete(f"{visitor.url}/api/v1/images/{image_id}", headers={"X-Delete-Token": token}).raise_for_status()
    page.locator("#remembered-list").get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="There is no such picture")).to_be_visible()
    visitor.open("/upload")
    expect(page.get_by_role("heading", name=HEADING)).to_be_hidden()


def test_the_list_is_forgotten_and_can_be_brought_back_for_a_moment(visit: Open, tmp_path: Path) -> None:
    visitor = visit(size="phone")
    page = _upload(visitor, tmp_path, "one.jpg", "two.jpg")
    listed = page.locator("#remembered-list > li")
    kept = page.evaluate("localStorage.getItem('chitram-uploads')")
    page.get_by_role("button", name="Forget this list").click()
    expect(page.get_by_role("heading", name=HEADING)).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(listed).to_have_count(2)
    assert page.evaluate("localStorage.getItem('chitram-uploads')") == kept
    page.get_by_role("button", name="Forget this list").click()
    page.reload()
    expect(page.get_by_role("heading", name=HEADING)).to_be_hidden()
    assert page.evaluate("localStorage.getItem('chitram-uploads')") == "[]"


def test_two_windows_of_a_browser_show_the_same_list(visit: Open, tmp_path: Path) -> None:
    visitor = visit()
    page = _upload(visitor, tmp_path, "one.jpg")
    other = visitor.context.new_page()
    other.goto(f"{visitor.url}/upload")
    expect(other.locator("#remembered-list > li")).to_have_count(1)
    choose(page, files(tmp_path, ["two.jpg"]))
    expect(other.locator("#remembered-list > li")).to_have_count(2)
    # What stands in the storage may be from anybody's extension, and breaks nothing.
    page.evaluate("localStorage.setItem('chitram-uploads', '[null, 3, {\"id\": \"<b>\"}]')")
    page.reload()
    expect(page.get_by_role("heading", name=HEADING)).to_be_hidden()

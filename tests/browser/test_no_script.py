"""Every journey for those whose browser runs no script: forms are forms and ways are links."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.everyday import soaked
from tests.browser.people import files, uploaded
from tests.browser.test_uploading import WARNING
from tests.factories.pictures import jpeg
from tests.faults.people import PASSWORD

NOTHING = {"java_script_enabled": False}


def _send(page: Page, path: Path, *, label: str) -> None:
    page.get_by_label(label).check()
    page.get_by_label("Choose a picture").set_input_files(path)
    page.locator("main").get_by_role("button", name="Upload").click()


@pytest.mark.parametrize("size", ["phone", soaked("desktop")])
def test_a_stranger_uploads_keeps_the_token_and_deletes_with_it(visit: Open, tmp_path: Path, size: str) -> None:
    visitor = visit(size=size, **NOTHING)
    page = visitor.open("/upload")
    _send(page, files(tmp_path, ["by-form.jpg"])[0], label="Everybody")
    expect(page.get_by_role("heading", name="Your picture is here")).to_be_visible()
    expect(page.get_by_text(WARNING, exact=True)).to_be_visible()
    token = page.get_by_label("Delete token").input_value()
    assert len(token) == 43
    # What would need a script is not offered.
    expect(page.locator("main button:visible")).to_have_count(0)
    direct = page.get_by_label("Direct link", exact=True).input_value()
    assert httpx.get(direct).headers["content-type"] == "image/jpeg"
    page.get_by_role("link", name="Open").click()
    page.wait_for_url("**/image/*")
    # The full size is the file itself.
    assert (page.get_by_role("link", name="Full size").get_attribute("href") or "").endswith(direct.partition("/i/")[2])
    page.get_by_role("link", name="Delete").click()
    field, delete = page.get_by_label("Delete token"), page.get_by_role("button", name="Delete")
    field.fill("x" * 43)
    delete.click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    assert httpx.get(direct).status_code == 200
    field.fill(f" {token} ")
    delete.click()
    page.wait_for_url("**/?deleted=*")
    expect(page.get_by_text("The picture has been deleted.")).to_be_visible()
    assert httpx.get(direct).status_code == 404


def test_an_account_is_used_from_its_beginning_to_the_logging_out(visit: Open, tmp_path: Path) -> None:
    visitor = visit(size="phone", **NOTHING)
    page = visitor.open("/")
    # The menu is an element that opens by itself.
    menu = page.locator("details.menu")
    expect(menu.get_by_role("link", name="Register")).to_be_hidden()
    menu.locator("summary").tap()
    menu.get_by_role("link", name="Register").tap()
    page.get_by_label("E-mail").fill("plain@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    page.wait_for_url(f"{visitor.url}/")
    visitor.open("/upload")
    _send(page, files(tmp_path, ["plain.jpg"])[0], label="Only you")
    # A member has no token to save: the picture's page comes at once.
    page.wait_for_url("**/image/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("plain.jpg")
    visitor.open("/my-images")
    page.get_by_label("plain.jpg").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete these pictures?")).to_be_visible()
    page.get_by_role("button", name="Delete 1").click()
    expect(page.get_by_role("heading", name="You have not uploaded anything yet")).to_be_visible()
    page.locator("summary").tap()
    page.locator("details.menu").get_by_role("button", name="Log out").tap()
    page.wait_for_url(f"{visitor.url}/")
    page.locator("summary").tap()
    page.locator("details.menu").get_by_role("link", name="Log in").tap()
    page.get_by_label("E-mail").fill("PLAIN@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{visitor.url}/")
    visitor.open("/account")
    page.get_by_label("What is it for?").fill("shell")
    page.get_by_role("button", name="Make a token").click()
    assert page.get_by_label("Token", exact=True).input_value().startswith("chitram_")


def test_what_only_a_script_can_do_is_not_on_the_pages(visit: Open) -> None:
    visitor, scripted = visit(size="phone", **NOTHING), visit(size="phone")
    image = uploaded(visitor.url, jpeg(64, 48, seed=61))["id"]
    for path, there in {
        "/": ("#theme",),
        "/upload": ("#theme", "[data-camera] >> xpath=.."),
        f"/image/{image}": ("#theme", "button[data-copy]"),
    }.items():
        for selector in there:
            expect(visitor.open(path).locator(selector).first).to_be_hidden()
            # With a script the same is there.
            expect(scripted.open(path).locator(selector).first).to_be_visible()
    page = visitor.open("/upload")
    # One file at a time, and the button that sends it.
    assert page.locator("#file").get_attribute("multiple") is None
    expect(page.locator("main").get_by_role("button", name="Upload")).to_be_visible()
    expect(scripted.open("/upload").locator("main").get_by_role("button", name="Upload")).to_be_hidden()


def test_an_upload_without_a_file_or_with_a_bad_one_is_told_on_the_same_page(visit: Open, tmp_path: Path) -> None:
    page = visit(size="phone", **NOTHING).open("/upload")
    (tmp_path / "words.jpg").write_text("no picture")
    _send(page, tmp_path / "words.jpg", label="Everybody")
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.wait_for_url("**/upload")
    # And the next try needs nothing but another file.
    _send(page, files(tmp_path, ["better.jpg"])[0], label="Everybody")
    expect(page.get_by_role("heading", name="Your picture is here")).to_be_visible()


@pytest.mark.parametrize("script", ["app", soaked("uploads")])
def test_scripts_that_do_not_arrive_leave_the_page_without_them(visit: Open, tmp_path: Path, script: str) -> None:
    visitor = visit()
    visitor.page.route(f"**/js/{script}.*.js", lambda route: route.abort())
    page = visitor.open("/upload")
    _send(page, files(tmp_path, ["by-form-after-all.jpg"])[0], label="Everybody")
    expect(page.get_by_role("heading", name="Your picture is here")).to_be_visible()
    # The browser tells of what it could not fetch; nothing else may be wrong.
    assert visitor.complaints
    assert all("net::ERR_FAILED" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()

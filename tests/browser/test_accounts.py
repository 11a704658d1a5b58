"""Getting an account, coming in and going out, and what people find in the account's page."""

import itertools
import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.everyday import soaked
from tests.browser.people import Visitor, sign_in, signed_up, uploaded
from tests.factories.pictures import jpeg
from tests.factories.servers import Server
from tests.faults.people import AUTH, PASSWORD

_numbers = itertools.count(1)


def _email() -> str:
    return f"somebody{next(_numbers)}@example.org"


def _signed_in(page: Page, email: str) -> None:
    """Whose pages these are stands in the bar, or behind its button."""
    expect(page.get_by_role("link", name=email, include_hidden=True).first).to_be_attached()


def _fill(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)


@pytest.mark.parametrize(("size", "script"), [("phone", True), soaked("desktop", True), soaked("phone", False)])
def test_getting_an_account_tells_what_is_wrong_beside_its_field(
    visit: Open, site: Server, size: str, script: bool
) -> None:
    taken = signed_up(site.url, _email()).email
    page = visit(size=size, java_script_enabled=script).open("/register")
    submit = page.get_by_role("button", name="Register")
    if script:
        # The browser says it first, at no cost to anybody.
        _fill(page, "not-an-address", "short")
        submit.click()
        wrong = page.locator("form[action='/register'] :invalid").evaluate_all("all => all.map((each) => each.name)")
        assert wrong == ["email", "password"] or wrong == ["email"], wrong
        assert page.url.endswith("/register")
        page.locator("form[action='/register']").evaluate("form => { form.noValidate = true; }")
        _fill(page, taken, "short")
        submit.click()
        expect(page.locator("#password-error")).not_to_be_empty()
        expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("E-mail")).to_have_value(taken)
    _fill(page, taken.upper(), PASSWORD)
    submit.click()
    expect(page.locator("#email-error")).to_contain_text("account with this e-mail")
    expect(page.get_by_label("E-mail")).to_have_attribute("aria-describedby", "email-error")
    # What was typed stays, but for the secret.
    expect(page.get_by_label("E-mail")).to_have_value(taken.upper())
    expect(page.get_by_label("Password")).to_have_value("")
    fresh = _email()
    _fill(page, fresh, PASSWORD)
    submit.click()
    page.wait_for_url(f"{site.url}/")
    _signed_in(page, fresh)


@pytest.mark.parametrize(("size", "script"), [("desktop", True), ("phone", False)])
def test_logging_in_leads_back_and_logging_out_leaves_nothing_to_look_at(
    visit: Open, site: Server, size: str, script: bool
) -> None:
    person = signed_up(site.url, _email())
    uploaded(site.url, jpeg(90, 60, seed=21), name="secret-plan.jpg", person=person, visibility="private")
    visitor = visit(size=size, java_script_enabled=script)
    page = visitor.open("/my-images?sort=oldest")
    page.wait_for_url("**/login?next=**")
    _fill(page, person.email, "wrong horse battery")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    expect(page.get_by_label("E-mail")).to_have_value(person.email)
    _fill(page, person.email, PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/my-images?sort=oldest")
    expect(page.get_by_text("secret-plan.jpg")).to_be_visible()
    if size == "phone":
        page.locator("summary").click()
    page.locator("form[action='/logout'] button:visible").click()
    page.wait_for_url(f"{site.url}/")
    expect(page.get_by_role("link", name="Log in", include_hidden=True).first).to_be_attached()
    page.go_back()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_text("secret-plan.jpg")).to_have_count(0)


def _end_sessions(visitor: Visitor) -> None:
    """End every session of the person but that of the API."""
    assert visitor.person is not None
    httpx.delete(f"{visitor.url}{AUTH}/sessions", headers=visitor.person.headers).raise_for_status()


@pytest.mark.parametrize("script", [True, soaked(False)])
def test_an_expired_session_goes_to_the_log_in_and_comes_back(visit: Open, script: bool) -> None:
    visitor = visit(member=True, java_script_enabled=script)
    assert visitor.person is not None
    image = uploaded(visitor.url, jpeg(90, 60, seed=22), name="edit-me.jpg", person=visitor.person)
    page = visitor.open(f"/image/{image['id']}")
    _end_sessions(visitor)
    page.get_by_label("Title").fill("Never saved")
    # By htmx with script, as a form without.
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/login?**")
    expect(page.get_by_text("You were signed out. Log in to go on where you were.")).to_be_visible()
    _fill(page, visitor.person.email, PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**/image/{image['id']}")
    expect(page.get_by_label("Title")).to_have_value("")


def test_another_session_is_ended_from_the_account(visit: Open) -> None:
    visitor = visit(member=True)
    assert visitor.person is not None
    other = visit(size="phone", user_agent="Kitchen tablet 7")
    sign_in(other, visitor.person)
    expect(other.open("/account").get_by_role("heading", name="Account", exact=True)).to_be_visible()
    page = visitor.open("/account")
    sessions = page.locator("section[aria-labelledby=sessions] .row")
    # The one that looks cannot be ended here: it would be the logging out.
    expect(sessions.filter(has_text="this browser").get_by_role("button")).to_have_count(0)
    sessions.filter(has_text="Kitchen tablet 7").get_by_role("button", name="Log out").click()
    expect(page.get_by_text("Logged out there.")).to_be_visible()
    expect(sessions.filter(has_text="Kitchen tablet 7")).to_have_count(0)
    other.page.reload()
    other.page.wait_for_url("**/login?**")
    page.get_by_role("button", name="Log out everywhere else").click()
    expect(sessions).to_have_count(1)
    assert httpx.get(f"{visitor.url}{AUTH}/me", headers=visitor.person.headers).status_code == 401


def _make_token(page: Page, name: str, *, scopes: Sequence[str]) -> str:
    page.get_by_label("What is it for?").fill(name)
    boxes = page.locator("input[name=scopes]")
    for box in boxes.all():
        box.set_checked(box.get_attribute("value") in scopes)
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_role("heading", name=f"The token “{name}” is ready")).to_be_visible()
    return page.get_by_label("Token", exact=True).input_value()


def _shell(line: str, directory: Path) -> Any:
    """What a line of a shell prints, as JSON."""
    done = subprocess.run(["sh", "-c", f"{line} -sS"], cwd=directory, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_token_is_shown_once_and_its_curl_line_uploads_until_it_is_revoked(visit: Open, tmp_path: Path) -> None:
    visitor = visit(size="phone", member=True)
    page = visitor.open("/account")
    secret = _make_token(page, "laptop", scopes=["upload"])
    line = page.get_by_label("Upload from a shell").input_value()
    assert secret in shlex.split(line)[2]
    (tmp_path / "picture.jpg").write_bytes(jpeg(120, 90, seed=31))
    image = _shell(line, tmp_path)
    assert httpx.get(image["url"]).headers["content-type"] == "image/jpeg"
    visitor.open("/my-images")
    expect(page.get_by_text("picture.jpg").first).to_be_visible()
    visitor.open("/account")
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_text("The token has been revoked.")).to_be_visible()
    expect(page.get_by_role("button", name="Revoke laptop")).to_have_count(0)
    assert _shell(line, tmp_path)["detail"]["code"] == "UNAUTHORIZED"


def test_the_sharex_configuration_uploads_as_sharex_does(visit: Open) -> None:
    visitor = visit(member=True)
    page = visitor.open("/account")
    _make_token(page, "ShareX", scopes=["upload", "delete"])
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download the ShareX configuration").click()
    assert saving.value.suggested_filename == "chitram.sxcu"
    uploader = json.loads(Path(saving.value.path()).read_text())
    assert uploader["Body"] == "MultipartFormData"
    answer = httpx.request(
        uploader["RequestMethod"],
        uploader["RequestURL"],
        headers=uploader["Headers"],
        files={uploader["FileFormName"]: ("shot.jpg", jpeg(100, 100, seed=32))},
        timeout=30,
    )
    for field in ("URL", "ThumbnailURL"):
        assert httpx.get(_filled(uploader[field], answer.json())).headers["content-type"] == "image/jpeg"
    # There is nothing that would delete by being looked at.
    assert "DeletionURL" not in uploader
    refused = httpx.post(uploader["RequestURL"], headers=uploader["Headers"], files={"file": b"no picture"}, timeout=30)
    assert _filled(uploader["ErrorMessage"], refused.json())


def _filled(template: str, body: Any) -> str:
    """ShareX's `{json:a.b}` in the answer's JSON."""
    assert template.startswith("{json:")
    assert template.endswith("}")
    for part in template[len("{json:") : -1].split("."):
        body = body[part]
    assert isinstance(body, str)
    return body


def test_a_token_needs_a_name_and_what_was_chosen_stays(visit: Open) -> None:
    page = visit(member=True).open("/account")
    page.locator("form[action='/account/tokens']").evaluate("form => { form.noValidate = true; }")
    page.get_by_label("Delete your pictures").check()
    page.get_by_label("Until when?").select_option("30")
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator("#token-name-error")).not_to_be_empty()
    expect(page.get_by_label("Delete your pictures")).to_be_checked()
    expect(page.get_by_label("Until when?")).to_have_value("30")


def test_usage_grows_with_what_is_uploaded(visit: Open) -> None:
    visitor = visit(size="phone", member=True)
    expect(visitor.open("/account").locator("#usage-text")).to_contain_text("0 files")
    uploaded(visitor.url, jpeg(900, 700, seed=33, grain=0.3), person=visitor.person)
    uploaded(visitor.url, jpeg(900, 700, seed=34, grain=0.3), person=visitor.person)
    expect(visitor.open("/account").locator("#usage-text")).to_contain_text("2 files")
    expect(visitor.open("/my-images").locator("#usage-text")).to_contain_text("2 files")


@pytest.mark.parametrize("script", [True, soaked(False)])
def test_a_changed_password_is_the_one_that_counts(visit: Open, script: bool) -> None:
    visitor = visit(member=True, java_script_enabled=script)
    assert visitor.person is not None
    page = visitor.open("/account")
    for current in ("not the password", PASSWORD):
        page.get_by_label("Current password").fill(current)
        page.get_by_label("New password").fill("another horse battery")
        page.get_by_role("button", name="Change the password").click()
        if current != PASSWORD:
            expect(page.locator("#current-error")).to_contain_text("not right")
    page.wait_for_url("**/login?changed=1")
    expect(page.get_by_text("The password has been changed.")).to_be_visible()
    for password in (PASSWORD, "another horse battery"):
        _fill(page, visitor.person.email, password)
        page.get_by_role("button", name="Log in").click()
        if password == PASSWORD:
            expect(page.get_by_role("alert")).to_be_visible()
    page.wait_for_url(f"{visitor.url}/")
    _signed_in(page, visitor.person.email)


@pytest.mark.parametrize(("choice", "script"), [("Delete them all", True), ("Leave public", False)])
def test_an_account_is_given_up_with_its_pictures_or_without_them(visit: Open, choice: str, script: bool) -> None:
    visitor = visit(size="phone", member=True, java_script_enabled=script)
    assert visitor.person is not None
    public = uploaded(visitor.url, jpeg(90, 60, seed=41), person=visitor.person)["id"]
    private = uploaded(visitor.url, jpeg(90, 60, seed=42), person=visitor.person, visibility="private")["id"]
    page = visitor.open("/account")
    form = page.locator("form[action='/account/delete']")
    for password in ("not the password", PASSWORD):
        form.get_by_label(choice).check()
        form.get_by_label("Password").fill(password)
        form.get_by_role("button", name="Give up the account").click()
        if password != PASSWORD:
            expect(page.locator("#leave-error")).to_contain_text("not right")
    page.wait_for_url("**/?left=1")
    expect(page.get_by_text("The account is gone.")).to_be_visible()
    statuses = [httpx.get(f"{visitor.url}/api/v1/images/{each}").status_code for each in (public, private)]
    assert statuses == ([404, 404] if choice == "Delete them all" else [200, 404])
    visitor.open("/account")
    page.wait_for_url("**/login?**")
    _fill(page, visitor.person.email, PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()

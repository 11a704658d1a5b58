"""The API's page: Authorize with e-mail and password signs in, and "Try it out" then asks as that account.

That it can fail was seen with another address for tokens in the description.
"""

import json

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.people import signed_up
from tests.factories.servers import Server
from tests.faults.people import PASSWORD

ME = ".opblock[id^=operations-][id$=-me]"


def test_authorize_signs_in_and_requests_are_that_accounts(visit: Open, site: Server):
    person = signed_up(site.url, "swagger@example.org")
    visitor = visit()
    page = visitor.open("/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    assert tried_out(page)["status"] == "401"
    authorize(page, person.email, "not the password")
    expect(page.locator(".modal-ux .errors")).to_contain_text("Unauthorized")
    authorize(page, person.email, PASSWORD)
    expect(page.locator(".modal-ux")).to_contain_text("Authorized")
    page.locator(".modal-ux .btn-done").first.click()

    answer = tried_out(page)
    assert answer["status"] == "200"
    assert json.loads(answer["body"])["email"] == person.email
    assert "Authorization: Bearer" in answer["curl"]

    log_out(page)
    assert tried_out(page)["status"] == "401"
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {site.url.split("/")[2]}
    # Signing in there is no browser session, and leaves nothing behind.
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0


def authorize(page: Page, email: str, password: str) -> None:
    """Fill in the dialogue's form for e-mail and password."""
    dialogue = page.locator(".modal-ux")
    if not dialogue.is_visible():
        page.locator(".auth-wrapper .authorize").first.click()
    form = dialogue.locator(".auth-container").filter(has=page.locator("#oauth_username"))
    form.locator("#oauth_username").fill(email)
    form.locator("#oauth_password").fill(password)
    form.get_by_role("button", name="Apply given OAuth2 credentials").click()


def log_out(page: Page) -> None:
    page.locator(".auth-wrapper .authorize").first.click()
    form = page.locator(".modal-ux .auth-container").filter(has_text="OAuth2")
    form.get_by_role("button", name="Remove authorization").click()
    page.locator(".modal-ux .btn-done").first.click()


def tried_out(page: Page) -> dict[str, str]:
    """What "Try it out" shows of GET /api/v1/auth/me."""
    block = page.locator(ME)
    if block.locator(".opblock-body").count() == 0:
        block.locator(".opblock-summary-control").click()
    if block.locator(".try-out__btn:not(.cancel)").count():
        block.locator(".try-out__btn").click()
    if block.locator(".btn-clear").count():
        block.locator(".btn-clear").click()
    with page.expect_response("**/api/v1/auth/me"):
        block.locator(".execute").click()
    shown = block.locator(".live-responses-table .response").first
    return {
        "status": shown.locator(".response-col_status").inner_text().split()[0],
        "body": shown.locator("code").first.inner_text(),
        "curl": block.locator(".curl").inner_text(),
    }

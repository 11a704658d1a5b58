"""What goes on record of accounts, tokens and images, and when somebody is turned away; never a secret."""

from datetime import timedelta

import pytest
import structlog

from chitram.domain.audit import AuditAction
from chitram.domain.errors import StorageUnavailable
from tests.factories.accounts import AUTH, OWN_PAGE, PASSWORD, USERS, api_token, bearer, browser_signed_in, signed_up
from tests.factories.rows import new_image
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, photo, token, uploaded

REFUSED = AuditAction.ACCESS_REFUSED


def last(home, action):
    return [event for event in home.audit.events if event.action is action][-1]


def refusals(home):
    return [event for event in home.audit.events if event.action is REFUSED]


async def test_the_life_of_an_account(client, home):
    ada = await signed_up(client)
    image = await uploaded(client)
    await client.post(f"{AUTH}/login", json={"email": ada.email, "password": PASSWORD})
    secret = await api_token(client, ada, "read")
    await client.post(f"{IMAGES}/{image['id']}/claim", headers=ada.bearer | token(image))
    await client.patch(f"{IMAGES}/{image['id']}", json={"visibility": "private"}, headers=ada.bearer)
    await client.delete(f"{IMAGES}/{image['id']}", headers=ada.bearer)
    await client.delete(f"{AUTH}/tokens", headers=ada.bearer)
    await client.delete(f"{AUTH}/sessions", headers=ada.bearer)
    csrf = await browser_signed_in(client, ada)
    await client.post(f"{AUTH}/logout", headers={"X-CSRF-Token": csrf})
    body = {"password": PASSWORD, "images": "delete"}
    await client.request("DELETE", USERS, json=body, headers=ada.bearer)
    assert [event.action for event in home.audit.events] == [
        AuditAction.REGISTER, AuditAction.LOGIN, AuditAction.TOKEN_CREATE, AuditAction.IMAGE_CLAIM,
        AuditAction.IMAGE_CHANGE, AuditAction.IMAGE_DELETE, AuditAction.TOKEN_REVOKE, AuditAction.SESSION_END,
        AuditAction.LOGIN, AuditAction.LOGOUT, AuditAction.ACCOUNT_DELETE,
    ]  # fmt: skip
    for event in home.audit.events:
        assert (event.actor, event.address, event.refusal) == (ada.id, "192.0.2.7", None)
    text = repr(home.audit.events)
    for hidden in (PASSWORD, ada.token, secret, image["delete_token"], csrf):
        assert hidden not in text


@pytest.mark.parametrize(("images", "gone"), [("delete", 250), ("keep", 1)])
async def test_every_image_that_goes_with_its_account(client, home, images, gone):
    ada = await signed_up(client)
    first = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
    async with home.foundation.database.begin() as work:
        blob_id = (await work.images.get(first["id"])).blob.id
        for number in range(249):
            await work.images.add(new_image(number, blob_id=blob_id, owner_id=ada.id))
    home.audit.events.clear()
    await client.request("DELETE", USERS, json={"password": PASSWORD, "images": images}, headers=ada.bearer)
    assert home.audit.events[0].action is AuditAction.ACCOUNT_DELETE
    deleted = home.audit.events[1:]
    assert {(event.action, event.actor, event.address) for event in deleted} == {
        (AuditAction.IMAGE_DELETE, ada.id, "192.0.2.7")
    }
    assert first["id"] in {event.subject for event in deleted}
    assert len({event.subject for event in deleted}) == len(deleted) == gone


async def test_wrong_passwords(client, home):
    ada = await signed_up(client)
    for email, subject in ((ada.email, ada.id), ("bob@example.org", None)):
        await client.post(f"{AUTH}/login", json={"email": email, "password": "not the password"})
        event = last(home, AuditAction.LOGIN)
        assert (event.actor, event.subject, event.refusal) == (None, subject, "INVALID_CREDENTIALS")
    body = {"current_password": "not the password", "new_password": "another password"}
    await client.post(f"{AUTH}/password", json=body, headers=ada.bearer)
    assert last(home, AuditAction.PASSWORD_CHANGE).refusal == "INVALID_CREDENTIALS"
    assert not refusals(home)
    assert "not the password" not in repr(home.audit.events)


@pytest.mark.parametrize(
    ("case", "refusal", "actor"),
    [
        ("stranger edits", "FORBIDDEN", "bob"),
        ("nobody deletes", "DELETE_TOKEN_REQUIRED", None),
        ("token is wrong", "INVALID_DELETE_TOKEN", "delete-token"),
        ("token is ended", "UNAUTHORIZED", None),
        ("token is old", "TOKEN_EXPIRED", None),
        ("scope is missing", "FORBIDDEN", "bob"),
        ("cookie is forged", "CSRF_REFUSED", "bob"),
        ("cookie is stale", "UNAUTHORIZED", None),
        ("file with a bad token", "UNAUTHORIZED", None),
        ("private is looked at", "IMAGE_NOT_FOUND", "bob"),
        ("private is deleted", "IMAGE_NOT_FOUND", "delete-token"),
        ("absent is deleted", "IMAGE_NOT_FOUND", "delete-token"),
    ],
)
async def test_who_is_turned_away(client, home, case, refusal, actor):
    ada, bob = await signed_up(client), await signed_up(client, "bob")
    image, anonymous = await uploaded(client, headers=ada.bearer), await uploaded(client)
    path, other = f"{IMAGES}/{image['id']}", f"{IMAGES}/{anonymous['id']}"
    reading = bearer(await api_token(client, bob, "read"))
    subject, method, route = image["id"], "PATCH", "/api/v1/images/{image_id}"
    if case == "stranger edits":
        await client.patch(path, json={}, headers=bob.bearer)
    elif case in ("nobody deletes", "token is wrong"):
        subject, method = anonymous["id"], "DELETE"
        headers = {"X-Delete-Token": "x"} if case == "token is wrong" else {}
        await client.delete(other, headers=headers)
    elif case == "token is ended":
        await client.patch(path, json={}, headers=bearer("x"))
    elif case == "token is old":
        home.clock.advance(timedelta(days=2))
        await client.patch(path, json={}, headers=ada.bearer)
    elif case == "scope is missing":
        subject, method, route = None, "POST", UPLOAD
        await client.post(UPLOAD, headers=reading)
    elif case == "cookie is forged":
        await browser_signed_in(client, bob)
        await client.patch(path, json={}, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    elif case == "cookie is stale":
        await client.patch(path, json={}, headers={"Cookie": "chitram_session=stale"} | OWN_PAGE)
    elif case in ("private is looked at", "private is deleted"):
        private = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
        subject, method = private["id"], "GET" if actor == "bob" else "DELETE"
        headers = bob.bearer if actor == "bob" else token(anonymous)
        await client.request(method, f"{IMAGES}/{subject}", headers=headers)
    elif case == "absent is deleted":
        subject, method = UNKNOWN, "DELETE"
        await client.delete(f"{IMAGES}/{UNKNOWN}", headers=token(anonymous))
    else:
        method, route = "HEAD", f"{route}/file"
        await client.head(f"{path}/file", headers=bearer("x"))
    [event] = refusals(home)
    names = {"bob": bob.id, "delete-token": "delete-token"}
    expected = (names.get(actor), subject, "192.0.2.7", refusal)
    assert (event.actor, event.subject, event.address, event.refusal) == expected
    assert event.details == {"method": method, "route": route}


async def test_what_is_no_attempt_is_not_on_record(client, home):
    ada = await signed_up(client)
    private = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
    await client.get(f"{AUTH}/me")
    await client.get(f"{AUTH}/me", headers={"X-Delete-Token": "x"})
    await client.get(f"{IMAGES}/{UNKNOWN}")
    await client.get(f"{IMAGES}/{private['id']}")
    await client.get(f"{IMAGES}/{private['id']}/checksum")
    await client.get(f"{IMAGES}/{private['id']}/checksum", headers={"Cookie": "theme=dark"})
    await client.get(IMAGES, headers={"Cookie": "chitram_session=stale"})
    await client.get("/nowhere", headers={"Cookie": "a=b"})
    await client.put(IMAGES, headers=ada.bearer)
    assert not refusals(home)


async def test_who_is_turned_away_by_a_page(client, home):
    """The pages show these refusals beside their forms."""
    image = await uploaded(client)
    path = f"/image/{image['id']}/delete"
    answer = await client.post(path, data={"delete_token": "wrong"}, headers=OWN_PAGE)
    assert answer.status_code == 403
    [event] = refusals(home)
    assert (event.subject, event.refusal, event.details["route"]) == (
        image["id"], "INVALID_DELETE_TOKEN", "/image/{image_id}/delete",
    )  # fmt: skip
    ada = await signed_up(client)
    await browser_signed_in(client, ada)
    files, forged = {"file": ("a.jpg", photo())}, {"csrf_token": "forged"}
    answer = await client.post("/upload", files=files, data=forged, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    event = refusals(home)[1]
    assert (event.actor, event.refusal, event.details["route"]) == (ada.id, "CSRF_REFUSED", "/upload")


async def test_what_only_a_page_shows_is_told_to_the_operator(client, home, monkeypatch):
    """An error about us, beside the form for uploads."""

    async def unavailable(*_args, **_keywords):
        raise StorageUnavailable("the disk is gone")

    monkeypatch.setattr(type(home.foundation.blobs), "put", unavailable)
    with structlog.testing.capture_logs() as logs:
        answer = await client.post("/upload", files={"file": ("a.jpg", photo())}, headers=OWN_PAGE)
    assert answer.status_code == 503
    assert [entry["code"] for entry in logs if entry["log_level"] == "error"] == ["STORAGE_UNAVAILABLE"]

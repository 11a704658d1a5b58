"""Secrets are in no log."""

import io
import logging
from dataclasses import dataclass

import pytest
import structlog

from chitram.observability import AccessLog
from chitram.observability.redaction import redact_text
from tests.unit.observability.captured import REQUEST, configured, lines


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_taken_out(as_json):
    stream = configured(json=as_json)
    log = structlog.get_logger("x")
    log.info("asked /a?delete_token=hunter2&x=1", delete_token="hunter2", authorization="Bearer hunter2")
    log.info("headers", headers={"X-Delete-Token": "hunter2"}, parts=["delete_token=hunter2"], Password="hunter2")
    try:
        int("delete_token=hunter2")
    except ValueError:
        log.exception("failed")
        logging.getLogger("uvicorn.error").exception("failed")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "&x=1" in text
    assert text.count("ValueError") >= 2


@dataclass(frozen=True)
class Credentials:
    password: str


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        "authorization: Bearer hunter2",
        "Authorization=Basic hunter2==",
        "Proxy-Authorization: Digest username='a', response='hunter2'",
        "Cookie: a=b; session=hunter2",
        "set-cookie: session=hunter2; Path=/",
        "{'Authorization': 'Bearer hunter2'}",
        '{"x-delete-token": "hunter2", "password": "hunter2"}',
        "[(b'x-delete-token', b'hunter2'), (b'cookie', b\"a='b'; c=hunter2\")]",
        r"{\"authorization\": \"Bearer hunter2\"}",
        "/AAAAAAAAAAA%3Fdelete_token%3Dhunter2%26a=b",
        "/AAAAAAAAAAA&delete%5Ftoken=hunter2",
        "/AAAAAAAAAAA%253Fdelete_token%253Dhunter2",
        "{'delete_token': ['hunter2', 'hunter2'], 'cookie': ('hunter2',)}",
        [(b"host", b"h"), (b"x-delete-token", b"hunter2"), (b"Cookie", b"hunter2")],
        ([b"authorization", b"Bearer hunter2"],),
        {"request": {"headers": [{"Authorization": "Bearer hunter2"}], "query": {"delete_token": ["hunter2"]}}},
        {b"x-delete-token": b"hunter2", 1: 2},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"password": "hunter2"}}}}}}}}}},
        {"text": "delete_token=hunter2"},
        b"x-delete-token: hunter2",
        Credentials(password="hunter2"),
        {"x-delete-token: hunter2"},
        "Cookie: __Host-chitram_session=hunter2",
        "chitram_session=hunter2; Path=/; HttpOnly",
        "{'__Host-chitram_session': 'hunter2'}",
        '{"current_password": "hunter2", "new_password": "hunter2"}',
        "email=a%40example.org&new%5Fpassword=hunter2",
        "email=a%40example.org&new%255Fpassword%253Dhunter2",
        "csrf_token=hunter2&x=1",
        "X-CSRF-Token: hunter2",
        '{"access_token": "hunter2", "token_type": "bearer"}',
        "invite=hunter2",
        "Idempotency-Key: hunter2",
        "idempotency_key='hunter2'",
        "JWT_SECRET_KEY=hunter2",
        "JWT_PREVIOUS_SECRET_KEYS=hunter2,hunter2",
        "User(id='AAAAAAAAAAA', password_hash='hunter2', role='user')",
        "delete_token_hash='hunter2'",
        "token=hunter2",
        {"access_token": "hunter2"},
        {"current_password": "hunter2", "new-password": "hunter2"},
        {"csrf_token": "hunter2"},
        {"X-CSRF-Token": "hunter2"},
        {"invite": "hunter2"},
        {"Idempotency-Key": "hunter2"},
        {"password_hash": "hunter2"},
        {"cookies": {"chitram_session": "hunter2", "__Host-chitram_session": "hunter2"}},
        [(b"idempotency-key", b"hunter2"), (b"x-csrf-token", b"hunter2")],
    ],
)
def test_secrets_are_found_wherever_they_stand(value, as_json):
    stream = configured(json=as_json)
    structlog.get_logger("x").info("asked", value=value)
    logging.getLogger("y").info("asked %s", value)
    assert "hunter2" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2
    assert "[redacted]" in stream.getvalue()


API_TOKEN = "chitram_" + "aB3_-" * 8 + "xyz"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJBQUFBQUFBQUFBQSJ9.c2lnbmF0dXJlLW9mLXRoaXM"


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("secret", [API_TOKEN, JWT])
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "it was {}.",
        "Bearer {}",
        "x{}",
        "a%20{}",
        "{0}{0}",
        "/i/{}/x",
        "<{}>",
        "{}\n{}",
        "a.b.{}",
        "eyJ {}",
        "?q={}",
    ],
)
def test_tokens_are_known_by_their_form(secret, around, as_json):
    stream = configured(json=as_json)
    text = around.format(secret, secret)
    structlog.get_logger("x").info(text, value=text, values=[text], odd={text})
    assert secret[8:40] not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()


def test_what_only_begins_like_a_token_stays():
    stream = configured()
    texts = [
        API_TOKEN[:50],
        "chitram_http_request_duration_seconds_bucket",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "eyJ.a.b",
        "photo-of-eyJafjallajokull-in-iceland.jpeg",
        "www.some-long-host-name.example.org/eyJ",
    ]
    structlog.get_logger("x").info("all of them", texts=texts)
    assert lines(stream)[0]["texts"] == texts


@pytest.mark.parametrize(
    "before", ["password", "token_", "a-", "a%5f", "x%3d", "eyJ", "eyJ.", "chitram_", "secret='\\\\"]
)
def test_long_texts_take_time_by_their_length_alone(before):
    """Twice the text may take twice the steps. With the square of it a text of this length would take minutes."""
    redact_text(before * (2_000_000 // len(before)) + " token")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("field", ["path", "user_agent"])
@pytest.mark.parametrize(
    "secret", [API_TOKEN, JWT, "password=hunter2", "new_password%3Dhunter2", "x-csrf-token: hunter2"]
)
async def test_the_access_log_keeps_no_tokens(secret, field, as_json):
    stream = io.StringIO()
    log = AccessLog(stream=stream, json=as_json)
    log.request(**{**REQUEST, field: f"/x/{secret}"})
    log.close()
    assert secret[8:40] not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_what_is_no_secret_stays():
    stream = configured()
    value = {
        "secretary": "y",
        "passwords": 1,
        "author": "x",
        "tokens": 3,
        "list": [1, 2.5, True, None],
        "pair": ("name", "value"),
        "word": "tokenized",
    }
    structlog.get_logger("x").info("the password was changed, GET /a?size=150&v=1", value=value)
    (line,) = lines(stream)
    assert line["event"] == "the password was changed, GET /a?size=150&v=1"
    assert line["value"] == {**value, "pair": ["name", "value"]}


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("between", ["?", "&", "/", "%3F"])
async def test_a_token_in_the_path_is_taken_out(as_json, between):
    stream = io.StringIO()
    log = AccessLog(stream=stream, json=as_json)
    log.request(**{**REQUEST, "path": f"/api/v1/images/AAAAAAAAAAA{between}delete_token=hunter2&a=b"})
    log.close()
    assert "hunter2" not in stream.getvalue()
    assert f"AAAAAAAAAAA{between}delete_token=[redacted]&a=b" in stream.getvalue()

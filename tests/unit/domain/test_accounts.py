"""Accounts, API tokens, idempotency keys, addresses, edits and what is put on record."""

import re
import unicodedata
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.domain.addresses import limit_subject, parse_address
from chitram.domain.api_tokens import ALL_SCOPES, API_TOKEN_PREFIX, Scope, hash_secret
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import TokenExpired, Unauthorized, ValidationFailed
from chitram.domain.idempotency import IdempotencyKey
from chitram.domain.images import Edit, Visibility
from chitram.domain.users import MAX_PASSWORD, MIN_PASSWORD, Quota, Role, check_password, email_key
from tests.factories.rows import new_image, new_user


def nobody_knows(password: str) -> bool:
    return False


@pytest.mark.parametrize(
    "same",
    [
        "padmaja@example.org",
        "PADMAJA@EXAMPLE.ORG",
        " Padmaja@Example.Org\n",
        "\N{FULLWIDTH LATIN SMALL LETTER P}admaja@example.org",
    ],
)
def test_e_mails_are_compared_without_case(same):
    assert email_key(same) == "padmaja@example.org"


def test_what_is_longer_than_any_e_mail_is_cut_before_it_is_compared():
    assert email_key("a" * 60_000) == email_key("a" * 300)
    assert len(email_key("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 20_000)) < 5_000


@pytest.mark.parametrize("text", ["čeština@example.org", "అ@ఉదాహరణ.భారత్", "Ångström@example.org", "straße@x.example"])
def test_every_way_to_write_an_e_mail_has_one_key(text):
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    keys = {email_key(variant) for form in forms for variant in (form, form.upper(), form.lower(), form.casefold())}
    assert keys == {email_key(email_key(text))}


@pytest.mark.parametrize(
    "other", ["padmaja+1@example.org", "padm.aja@example.org", "padmaja@example.com", "раdmaja@example.org"]
)
def test_different_e_mails_stay_different(other):
    assert email_key(other) != email_key("padmaja@example.org")


@given(text=st.emails())
def test_a_key_is_its_own_key(text):
    assert email_key(email_key(text)) == email_key(text)


def test_a_quota_is_the_accounts_own_or_the_servers():
    default = Quota(1000, 10)
    assert new_user().quota(default) == default
    assert new_user(quota_bytes=5).quota(default) == Quota(5, 10)
    assert new_user(quota_files=0).quota(default) == Quota(1000, 0)
    assert new_user(quota_bytes=0, quota_files=7).quota(default) == Quota(0, 7)


def test_admins_are_those_with_the_role():
    assert [new_user(role=role).is_admin for role in (Role.USER, Role.ADMIN)] == [False, True]


@pytest.mark.parametrize(
    "password", ["12345678", "x" * MAX_PASSWORD, "అ" * MIN_PASSWORD, "😀" * MIN_PASSWORD, " " * 8, "a\0bcdefg"]
)
def test_passwords_that_may_be(password):
    check_password(password, is_known=nobody_knows)


@pytest.mark.parametrize("password", ["", "1234567", "x" * (MAX_PASSWORD + 1), "x" * 1_000_000])
def test_passwords_that_are_too_short_or_too_long(password):
    asked = []
    with pytest.raises(ValidationFailed) as caught:
        check_password(password, is_known=lambda text: bool(asked.append(text)))
    (problem,) = caught.value.details["errors"]
    assert problem == {"field": "password", "message": "must have 8 to 128 characters"}
    assert asked == []


def test_passwords_that_everybody_tries_first():
    with pytest.raises(ValidationFailed) as caught:
        check_password("password1", is_known={"password1"}.__contains__)
    assert "everybody" in str(caught.value.details)
    assert "password1" not in str(caught.value.details)


def test_secrets_are_stored_as_their_hash_alone():
    assert hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert re.fullmatch(r"[0-9a-f]{64}", hash_secret("\udcff చి"))
    assert API_TOKEN_PREFIX == "chitram_"
    assert frozenset(Scope) == ALL_SCOPES == {"upload", "read", "delete"}


KEY = IdempotencyKey("user:AAAAAAAAAAA", "key-of-the-client")
SECRET = b"s" * 32


def test_a_repeated_upload_has_the_same_delete_token():
    token = KEY.delete_token("AAAAAAAAAAA", secret=SECRET)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert token == IdempotencyKey(KEY.scope, KEY.key).delete_token("AAAAAAAAAAA", secret=SECRET)


def test_another_secret_scope_key_or_image_has_another():
    others = [
        KEY.delete_token("AAAAAAAAAAA", secret=b"t" * 32),
        KEY.delete_token("AAAAAAAAAAB", secret=SECRET),
        replace(KEY, scope="user:AAAAAAAAAAB").delete_token("AAAAAAAAAAA", secret=SECRET),
        replace(KEY, key="key-of-the-other").delete_token("AAAAAAAAAAA", secret=SECRET),
        KEY.delete_token("AAAAAAAAAAA", secret=SECRET),
    ]
    assert len(set(others)) == len(others)


def test_keys_are_stored_as_their_hash():
    assert KEY.key_hash == hash_secret("key-of-the-client")
    assert len(IdempotencyKey("s", "\ud800" * 16).key_hash) == 64
    assert IdempotencyKey("s", "\ud800" * 16).delete_token("AAAAAAAAAAA", secret=SECRET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("::192.0.2.1", "::c000:201"),
    ],
)
def test_addresses_are_read(text, expected):
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "localhost", "192.0.2.256", "192.0.2.1:80", "[::1]", "192.0.2.0/24", "1", "192.0.2.01"]
)
def test_what_is_no_address(text):
    assert parse_address(text) is None
    assert limit_subject(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_limits_count_whole_networks_of_the_new_protocol(text, expected):
    assert limit_subject(text) == expected


def test_an_edit_changes_what_it_names_and_nothing_else():
    image = new_image(1, blob_id=1, visibility=Visibility.PUBLIC, title="before", description="before")
    edit = Edit(frozenset({"title"}), visibility=Visibility.PRIVATE, title=None, description="after")
    assert edit.apply(image) == replace(image, title=None)
    assert Edit(frozenset()).apply(image) == image
    everything = replace(edit, changed=frozenset({"visibility", "title", "description"}), title="after")
    assert everything.apply(image) == replace(image, visibility=Visibility.PRIVATE, title="after", description="after")


def test_an_edit_cannot_name_what_is_none_of_it():
    # Whatever the edge let through, an edit has no other fields to copy from.
    for name in ("owner_id", "id", "delete_token_hash", "blob_id", "created_at"):
        with pytest.raises(AttributeError):
            Edit(frozenset({name})).apply(new_image(1, blob_id=1))


def test_events_say_what_happened_in_words_that_do_not_change():
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", action.value) for action in AuditAction)
    assert all(action.name.lower() == action.value for action in AuditAction)
    event = AuditEvent(AuditAction.LOGIN, actor=None, subject=None)
    assert (event.address, event.refusal, dict(event.details)) == (None, None, {})
    with pytest.raises(FrozenInstanceError):
        event.actor = "x"


def test_an_expired_token_is_a_bad_token_too():
    assert issubclass(TokenExpired, Unauthorized)
    assert TokenExpired.code != Unauthorized.code


@pytest.mark.parametrize(
    ("one", "other"),
    [("me@xn--bcher-kva.de", "me@b\u00fccher.de"), ("ME@XN--BCHER-KVA.DE", "me@B\u00dcCHER.de")],
)
def test_names_of_hosts_are_the_same_in_letters_and_in_ascii(one, other):
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize("odd", ["me@xn--\u00fc.de", "me@xn--a" + "a" * 80])
def test_what_is_no_name_of_a_host_stays_as_it_is(odd):
    assert email_key(odd) == odd.casefold()

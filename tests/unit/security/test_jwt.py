"""Tokens that somebody made up."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from chitram.adapters.security.jwt import MAX_TOKEN, JwtSigner, key_id
from chitram.domain.errors import TokenExpired, Unauthorized
from chitram.ports.tokens import Claims

KEY = b"k" * 32
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IAT = int(NOW.timestamp())
HEADER = {"alg": "HS256", "typ": "JWT", "kid": key_id(KEY)}
PAYLOAD = {"sub": "AAAAAAAAAAA", "iat": IAT, "exp": IAT + 600, "jti": "s" * 24}
SIGNER = JwtSigner(KEY)
TOKEN = SIGNER.sign(
    Claims(user_id="AAAAAAAAAAA", session_id="s" * 24, issued_at=NOW, expires_at=NOW + timedelta(minutes=10))
)


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, payload: object, *, key: bytes = KEY, digest: str = "sha256") -> str:
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), digest))}"


def refused(token: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        SIGNER.read(token, now=NOW)
    assert not isinstance(caught.value, TokenExpired)


def without(values: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in values.items() if key != name}


def test_a_token_made_by_hand_with_the_right_key_is_like_ours():
    assert SIGNER.read(forged(HEADER, PAYLOAD), now=NOW) == SIGNER.read(TOKEN, now=NOW)


def test_ours_is_a_plain_jwt_with_just_these_claims():
    assert jwt.get_unverified_header(TOKEN) == HEADER
    # Its times are of a day that may be over.
    options = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(TOKEN, KEY, algorithms=["HS256"], options=options) == PAYLOAD
    assert len(TOKEN) < MAX_TOKEN / 2
    assert key_id(KEY) == hashlib.sha256(KEY).hexdigest()[:8]


@pytest.mark.parametrize(
    "header",
    [
        {**HEADER, "alg": "none"},
        {**HEADER, "alg": "None"},
        {**HEADER, "alg": ""},
        {**HEADER, "alg": None},
        {**HEADER, "alg": ["HS256"]},
        {**HEADER, "alg": "hs256"},
        {**HEADER, "alg": "RS256"},
        {**HEADER, "alg": "ES256"},
        {**HEADER, "alg": "HS384"},
        without(HEADER, "alg"),
        without(HEADER, "typ"),
        {**HEADER, "typ": "at+jwt"},
        without(HEADER, "kid"),
        {**HEADER, "kid": None},
        {**HEADER, "kid": 7},
        {**HEADER, "kid": ["a"]},
        {**HEADER, "kid": {}},
        {**HEADER, "kid": ""},
        {**HEADER, "kid": key_id(b"another")},
        {**HEADER, "kid": key_id(KEY).upper()},
        {**HEADER, "kid": "../../../dev/null"},
        {**HEADER, "kid": "' OR 1=1 --"},
        {**HEADER, "jku": "https://evil.example/keys.json"},
        {**HEADER, "x5u": "https://evil.example/chain.pem"},
        {**HEADER, "jwk": {"kty": "oct", "k": encoded(KEY)}},
        {**HEADER, "crit": ["exp"], "exp": 1},
        {**HEADER, "crit": ["b64"], "b64": False},
        {**HEADER, "b64": False},
        {**HEADER, "b64": True},
        {**HEADER, "zip": "DEF"},
        {**HEADER, "cty": "JWT"},
        [],
        "HS256",
        None,
        7,
        b"",
        b"{",
        b"\xff",
        b"[" * 300,
    ],
)
def test_a_header_that_is_not_ours(header: object):
    # Signed with the right key all the same: only the header is wrong.
    refused(forged(header, PAYLOAD))


@pytest.mark.parametrize("alg", ["none", "HS256"])
@pytest.mark.parametrize("signature", ["", "AA", encoded(bytes(32))])
def test_no_signature(alg: str, signature: str):
    refused(f"{encoded({**HEADER, 'alg': alg})}.{encoded(PAYLOAD)}.{signature}")
    refused(f"{encoded({**HEADER, 'alg': alg})}.{encoded(PAYLOAD)}")


def test_a_longer_hash_with_the_right_key():
    refused(forged({**HEADER, "alg": "HS512"}, PAYLOAD, digest="sha512"))
    refused(forged(HEADER, PAYLOAD, digest="sha512"))


def test_the_key_id_of_one_key_with_the_signature_of_another():
    both = JwtSigner(KEY, (b"o" * 32,))
    with pytest.raises(Unauthorized):
        both.read(forged({**HEADER, "kid": key_id(b"o" * 32)}, PAYLOAD), now=NOW)
    assert both.read(forged({**HEADER, "kid": key_id(b"o" * 32)}, PAYLOAD, key=b"o" * 32), now=NOW)


@pytest.mark.parametrize("key", [b"", b"\0" * 32, key_id(KEY).encode(), KEY[:-1], KEY + b"k"])
def test_other_keys(key: bytes):
    refused(forged(HEADER, PAYLOAD, key=key))
    refused(forged({**HEADER, "kid": key_id(key)}, PAYLOAD, key=key))


def test_an_empty_key_is_no_key():
    for keys in ((b"", ()), (KEY, (b"",))):
        with pytest.raises(ValueError, match="empty"):
            JwtSigner(*keys)


@pytest.mark.parametrize(
    "key", [b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", b'{"kty": "oct"}', b"ssh-rsa AAAA", b"short"]
)
def test_a_key_is_its_bytes_whatever_they_look_like(key: bytes):
    signer = JwtSigner(key)
    token = forged({**HEADER, "kid": key_id(key)}, PAYLOAD, key=key)
    claims = signer.read(token, now=NOW)
    assert signer.read(signer.sign(claims), now=NOW) == claims


@pytest.mark.parametrize(
    "change",
    [
        {"sub": None},
        {"sub": 7},
        {"sub": True},
        {"sub": ["AAAAAAAAAAA"]},
        {"sub": {"id": "AAAAAAAAAAA"}},
        {"sub": ""},
        {"sub": "ü"},
        {"sub": "\ud800"},
        {"jti": None},
        {"jti": 7},
        {"jti": ""},
        {"jti": ["s"]},
        {"exp": None},
        {"exp": str(IAT + 600)},
        {"exp": float(IAT + 600)},
        {"exp": True},
        {"exp": 10**300},
        {"exp": -(10**300)},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 253_402_300_800},
        {"exp": IAT - 1},
        {"exp": [IAT + 600]},
        {"iat": None},
        {"iat": str(IAT)},
        {"iat": float(IAT)},
        {"iat": False},
        {"iat": -1},
        {"iat": IAT + 61},
        {"iat": IAT + 10_000, "exp": IAT + 20_000},
        {"nbf": IAT + 60},
        {"nbf": IAT},
        {"aud": "chitram"},
        {"iss": "chitram"},
        {"role": "admin"},
        {"scope": "delete"},
    ],
)
def test_claims_that_are_not_ours(change: dict[str, object]):
    refused(forged(HEADER, {**PAYLOAD, **change}))


@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_every_claim_must_be_there(name: str):
    refused(forged(HEADER, without(PAYLOAD, name)))


@pytest.mark.parametrize("payload", [[], {}, "AAAAAAAAAAA", None, 7, b"", b"{", b"\xff\xff", b"[" * 200])
def test_a_payload_that_is_no_set_of_claims(payload: object):
    refused(forged(HEADER, payload))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_bit_can_be_turned(part: int):
    parts = TOKEN.split(".")
    data = base64.urlsafe_b64decode(parts[part] + "==")
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(".".join([*parts[:part], encoded(bytes(flipped)), *parts[part + 1 :]]))


@pytest.mark.parametrize("position", range(0, len(TOKEN), 7))
def test_no_character_can_be_left_out_or_doubled(position: int):
    refused(TOKEN[:position] + TOKEN[position + 1 :])
    refused(TOKEN[: position + 1] + TOKEN[position:])


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "{}.", ".{}", "{}.x", "{}==", "Bearer {}", "{0}.{0}", "{}\0"])
def test_a_token_stands_alone(around: str):
    refused(around.format(TOKEN))


def test_the_last_character_has_one_form():
    # The last one of a signature carries two bits that nobody reads.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for character in alphabet:
        if character != TOKEN[-1]:
            refused(TOKEN[:-1] + character)


@pytest.mark.parametrize("size", [MAX_TOKEN + 1, 10_000, 1_000_000])
def test_a_huge_token_is_not_looked_at(size: int):
    padding = "x" * (size - len(forged(HEADER, {**PAYLOAD, "pad": ""})))
    refused(forged(HEADER, {**PAYLOAD, "pad": padding}))
    refused("." * size)
    refused("eyJ" * size)

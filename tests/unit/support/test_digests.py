"""Digests that clients declare: how each field is written, and what it is about."""

import base64
import hashlib

import pytest

from chitram.domain.errors import ChecksumMismatch, InvalidRequest
from chitram.domain.uploads import DeclaredDigest
from chitram.entrypoints.support.digests import (
    Claim,
    DeclaredDigests,
    parse_digests,
    parse_legacy_digests,
    parse_md5,
    sha256_member,
)


def encoded(algorithm, data=b"abc"):
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


def claim(algorithm):
    return Claim("f", algorithm, hashlib.new(algorithm, b"abc").hexdigest())


SHA256, SHA512, MD5 = encoded("sha256"), encoded("sha512"), encoded("md5")


@pytest.mark.parametrize(
    ("value", "algorithms"),
    [
        (f"sha-256=:{SHA256}:", ["sha256"]),
        (f"md5=:AAAA:, sha-256=:{SHA256}:;x=1", ["sha256"]),
        (f"sha-512=:{SHA512}:,sha-256=:{SHA256}:", ["sha512", "sha256"]),
        (f"sha-256=:AAAA:, sha-256=:{SHA256}:", ["sha256"]),
        ("unixsum=:AAAA:", []),
    ],
)
def test_digest_fields(value, algorithms):
    assert parse_digests(value, field="f") == [claim(name) for name in algorithms]


@pytest.mark.parametrize(
    ("value", "algorithms"),
    [
        (f"sha-256={SHA256}", ["sha256"]),
        (f"SHA-256={SHA256}", ["sha256"]),
        (f"unixsum=30637, Sha-256={SHA256} ,MD5={MD5}", ["sha256", "md5"]),
        (f"sha-512={SHA512}", ["sha512"]),
        (f", sha-256={SHA256},,", ["sha256"]),
        ("SHA=thvDyvhfIqlvFe+A9MYgxAfm1q5=,adler32=03da0195,id-sha-256=x,crc32c=", []),
    ],
)
def test_the_older_digest_field(value, algorithms):
    assert parse_legacy_digests(value, field="f") == [claim(name) for name in algorithms]


@pytest.mark.parametrize("value", [MD5, f" {MD5} "])
def test_content_md5(value):
    assert parse_md5(value, field="f") == [claim("md5")]


DIGESTS = ["", "sha-256", "sha-256=abc", "sha-256=:AAAA:", "sha-256=:A:", f"sha-256=:{SHA256}:,", "SHA-256=:AAAA:", "ÿ"]
LEGACY = ["sha-256", "sha-256=abc", f"sha-256=:{SHA256}:", f"sha-512={SHA256}", "sha-256=", "sha-256=é", "=AAAA"]
MD5S = ["", "AAAA", SHA256, "*" * 24, f"{MD5}, {MD5}", f":{MD5}:", hashlib.md5(b"abc").hexdigest()]


@pytest.mark.parametrize(
    ("parse", "value"),
    [(parse_digests, value) for value in [*DIGESTS, "sha-512=:AAAA:"]]
    + [(parse_legacy_digests, value) for value in LEGACY]
    + [(parse_md5, value) for value in MD5S],
)
def test_malformed_ones_are_refused_by_name(parse, value):
    with pytest.raises(InvalidRequest) as caught:
        parse(value, field="f")
    assert caught.value.details == {"field": "f"}


def test_what_we_write_can_be_read():
    value = sha256_member(hashlib.sha256(b"abc").hexdigest()).decode()
    assert parse_digests(value, field="f") == [claim("sha256")]


def judged(head=None, part=None, *, body=b"<abc>", file=b"abc"):
    digests = DeclaredDigests()
    digests.take_head({name.encode(): value.encode() for name, value in (head or {}).items()})
    digests.take_part((part or {}).get)
    digests.see_body(body[:2])
    digests.see_file(file[:1])
    digests.see_file(file[1:])
    digests.see_body(body[2:])
    declared = digests.judge()
    return None if declared is None else declared.sha256


def fields(algorithm, data):
    """Each way to declare the hash."""
    value = encoded(algorithm, data)
    if algorithm == "md5":
        return {"content-md5": value, "digest": f"md5={value}"}
    name = {"sha256": "sha-256", "sha512": "sha-512"}[algorithm]
    member = f"{name}=:{value}:"
    return {"content-digest": member, "repr-digest": member, "digest": f"{name}={value}"}


ABC = hashlib.sha256(b"abc").hexdigest()
OF_CONTENT = {"content-digest", "content-md5"}


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
def test_fields_of_the_request(algorithm):
    for name, value in fields(algorithm, b"<abc>").items():
        assert judged({name: value}) is None
    for name, value in fields(algorithm, b"abc").items():
        if name in OF_CONTENT:
            with pytest.raises(ChecksumMismatch) as caught:
                judged({name: value})
            assert caught.value.details == {"field": name}
        else:
            assert judged({name: value}) == (ABC if algorithm == "sha256" else None)
    for name, value in fields(algorithm, b"other").items():
        if name in OF_CONTENT or algorithm != "sha256":
            with pytest.raises(ChecksumMismatch) as caught:
                judged({name: value})
            assert caught.value.details == {"field": name}
        else:  # for whoever keeps the file to see
            assert judged({name: value}) == hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
def test_fields_of_the_part(algorithm):
    for name, value in fields(algorithm, b"abc").items():
        if name != "repr-digest":
            assert judged(part={name: value}) == (ABC if algorithm == "sha256" else None)
    if algorithm != "sha256":
        for name, value in fields(algorithm, b"<abc>").items():
            if name != "repr-digest":
                with pytest.raises(ChecksumMismatch):
                    judged(part={name: value})


def test_what_is_left_to_compare_has_the_name_of_its_field():
    digests = DeclaredDigests()
    right, wrong = fields("sha256", b"abc"), fields("sha256", b"x")
    digests.take_head({b"content-md5": fields("md5", b"")["content-md5"].encode(), b"digest": right["digest"].encode()})
    assert digests.judge() == DeclaredDigest("digest", ABC)
    digests.take_part({"content-digest": right["content-digest"]}.get)
    digests.take_head({b"repr-digest": wrong["repr-digest"].encode()})
    with pytest.raises(ChecksumMismatch) as caught:
        digests.judge()
    assert caught.value.details == {"field": "repr-digest"}


def test_several_have_to_hold_each():
    right, wrong = fields("sha256", b"abc"), fields("sha256", b"x")
    md5, wrong_md5 = fields("md5", b"abc"), fields("md5", b"x")
    assert judged({"digest": right["digest"], "repr-digest": right["repr-digest"]}, right | md5) == ABC
    assert judged({"digest": f"{md5['digest']},{right['digest']}"}) == ABC
    for head, part in (
        ({"digest": right["digest"], "repr-digest": wrong["repr-digest"]}, {}),
        ({"digest": wrong["digest"]}, {"content-digest": right["content-digest"]}),
        ({}, {"content-digest": right["content-digest"], "digest": wrong["digest"]}),
        ({"digest": f"{wrong_md5['digest']},{right['digest']}"}, {}),
        ({"digest": right["digest"]}, {"content-md5": wrong_md5["content-md5"]}),
    ):
        with pytest.raises(ChecksumMismatch):
            judged(head, part)


def test_nothing_is_hashed_that_nobody_asks_for(monkeypatch):
    of_file, of_body = fields("sha256", b"abc")["content-digest"], encoded("md5", b"<abc>")
    new, made = hashlib.new, []

    def watched(name, **options):
        made.append((name, options))
        return new(name, **options)

    monkeypatch.setattr(hashlib, "new", watched)
    assert judged({"digest": "adler32=03da0195"}, {"content-digest": of_file}) == ABC
    assert made == []
    judged({"content-md5": of_body})
    assert made == [("md5", {"usedforsecurity": False})]

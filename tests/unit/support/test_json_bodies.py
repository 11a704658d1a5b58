"""Small bodies: what is refused before it is parsed, what before it is looked at, and what is wrong with a field."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.requests import Request

from chitram.domain.errors import FileTooLarge, InvalidRequest, ValidationFailed
from chitram.entrypoints.support import emails, json_bodies
from chitram.entrypoints.support.body import ClientDisconnected
from chitram.entrypoints.support.emails import clean_email
from chitram.entrypoints.support.json_bodies import (
    MAX_BODY,
    MAX_DEPTH,
    parse_form,
    parse_json,
    read_form,
    read_json,
    read_json_or_form,
    validated,
)
from tests.unit.support.asgi_client import body_messages, make_scope


class Thing(BaseModel):
    name: str = Field(max_length=10)
    number: int = 0
    inner: dict[str, int] = {}


def request(*pieces, content_type="application/json", complete=True, **fields):
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    if content_type is not None:
        headers.append(("content-type", content_type))
    messages = body_messages(*(pieces or (b"",))) if complete else [{"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    return Request(make_scope(method="POST", headers=headers), receive)


def problems(error):
    return [problem["field"] for problem in error.value.details["errors"]]


class TestReading:
    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
    async def test_in_pieces(self, content_type):
        found = await read_json(request(b'{"name": "', b'x", "other": 1}', content_type=content_type), Thing)
        assert found == Thing(name="x")

    @pytest.mark.parametrize("content_type", [None, "", "text/plain", "text/json", "multipart/form-data; boundary=x"])
    async def test_other_types_are_refused(self, content_type):
        with pytest.raises(InvalidRequest):
            await read_json(request(b'{"name": "x"}', content_type=content_type), Thing)

    async def test_a_form(self):
        form = "application/x-www-form-urlencoded"
        assert await read_form(request(b"name=a+b%C3%A9&number=7", content_type=form), Thing) == Thing(
            name="a bé", number=7
        )
        with pytest.raises(InvalidRequest):
            await read_form(request(b"name=a"), Thing)
        assert await read_json_or_form(request(b"name=a", content_type=form), Thing) == Thing(name="a")
        assert await read_json_or_form(request(b'{"name": "a"}'), Thing) == Thing(name="a")

    async def test_a_body_that_says_that_it_is_too_large_is_not_read(self):
        with pytest.raises(FileTooLarge) as error:
            await read_json(request(complete=False, content_length=str(MAX_BODY + 1)), Thing)
        assert error.value.details == {"max_bytes": MAX_BODY}

    async def test_a_body_that_becomes_too_large_is_not_read_further(self):
        pieces = [b" " * (MAX_BODY // 2)] * 4
        with pytest.raises(FileTooLarge):
            await read_json(request(*pieces), Thing)

    async def test_exactly_the_largest_body_passes(self):
        body = b'{"name": "x"}'
        assert await read_json(request(body + b" " * (MAX_BODY - len(body))), Thing) == Thing(name="x")

    async def test_compressed_bodies_are_refused(self):
        with pytest.raises(InvalidRequest):
            await read_json(request(b'{"name": "x"}', content_encoding="gzip"), Thing)
        assert await read_json(request(b'{"name": "x"}', content_encoding="identity"), Thing)

    async def test_who_goes_away_is_not_answered(self):
        with pytest.raises(ClientDisconnected):
            await read_json(request(complete=False), Thing)


class TestJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"", b"null", b"[]", b'"x"', b"1", b"{", b'{"a": 1,}', b"{'a': 1}", b'{"a": NaN}', b'{"a": Infinity}',
            b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": -1e999}', b'{"a": ' + b"1" * 5000 + b"}", b"\xff\xfe",
            b'{"a": "\xff"}', b'\xef\xbb\xbf{"a": 1}', b'{"a": "\n"}', b'{"a": 1} {"a": 1}',
            '{"a": 1}'.encode("utf-16"),
            b'{"a": ' + b"[" * 30000 + b"]" * 30000 + b"}", b'{"a":' * 10000 + b"1" + b"}" * 10000,
            b'{"a": ' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}",
        ],
    )  # fmt: skip
    def test_what_is_no_object_of_json(self, body):
        with pytest.raises(InvalidRequest):
            parse_json(body)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (rb'{"a": 1, "a": 1}', "a"),
            (rb'{"x": {"b": 1, "c": 2, "b": 3}}', "b"),
            (rb'{"a": "\ud800"}', "a"),
            (rb'{"a": "x\udfff"}', "a"),
            (rb'{"a": "\u0000"}', "a"),
            (rb'{"a": {"b": ["\u0000"]}}', "a"),
            (rb'{"\u0000": 1}', "body"),
            (rb'{"\ud800": 1}', "body"),
            (rb'{"\ud800": 1, "\ud800": 2}', "?"),
        ],
    )
    def test_what_readers_understand_in_different_ways(self, body, field):
        with pytest.raises(ValidationFailed) as error:
            parse_json(body)
        assert problems(error) == [field]
        json.dumps(error.value.details).encode("ascii")

    def test_what_is_fine(self):
        text = '{"a": "చిత్రం 🖼", "b": [1, -2.5, 1e3, true, null], "c": {"d": "\\ud83d\\uddbc"}}'
        assert parse_json(text.encode()) == {
            "a": "చిత్రం 🖼",
            "b": [1, -2.5, 1000.0, True, None],
            "c": {"d": "🖼"},
        }
        assert parse_json(b'{"a": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}")

    @given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0d8e1NaItrue', max_size=60).map(str.encode))
    def test_anything_is_an_object_or_an_error_of_ours(self, body):
        with contextlib.suppress(InvalidRequest, ValidationFailed):
            assert parse_json(body) == json.loads(body)


class Name(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __hash__(self):
        return super().__hash__()

    def __eq__(self, other):
        Name.compared += 1
        return super().__eq__(other)


def test_a_name_twice_is_found_in_one_pass():
    """As many names as fit into a body, the last one twice: the search may not compare each with each."""
    pairs = [(Name(number), 1) for number in range(10_000)] + [(Name(9_999), 1)]
    Name.compared = 0
    with pytest.raises(ValidationFailed) as error:
        json_bodies._unambiguous(pairs)
    assert problems(error) == ["9999"]
    # One for the name itself, and a few for those that fall into the same place of the table.
    assert Name.compared < 2 * len(pairs)


class TestForms:
    def test_fields(self):
        assert parse_form(b"a=1&b=&c=%26+%2B") == {"a": "1", "b": "", "c": "& +"}
        assert parse_form(b"") == {}

    @pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"&".join(b"a%d=1" % n for n in range(21))])
    def test_what_is_no_form(self, body):
        with pytest.raises(InvalidRequest):
            parse_form(body)

    @pytest.mark.parametrize(("body", "field"), [(b"a=1&a=1", "a"), (b"a=%00", "a")])
    def test_what_is_ambiguous(self, body, field):
        with pytest.raises(ValidationFailed) as error:
            parse_form(body)
        assert problems(error) == [field]


class TestModels:
    def test_errors_name_fields_and_never_values(self):
        with pytest.raises(ValidationFailed) as error:
            validated(Thing, {"name": "secret" * 9, "number": "secret", "inner": {"x": "secret"}})
        assert problems(error) == ["name", "number", "inner.x"]
        assert "secret" not in json.dumps(error.value.details)
        with pytest.raises(ValidationFailed) as error:
            validated(Thing, {})
        assert problems(error) == ["name"]

    @pytest.mark.parametrize(
        ("text", "email"),
        [
            ("ada@example.org", "ada@example.org"),
            ("  Ada@Example.ORG ", "Ada@example.org"),
            ("a+b.c@sub.example.co.uk", "a+b.c@sub.example.co.uk"),
            ("me@nas.local", "me@nas.local"),
            ("me@localhost", "me@localhost"),
            ("చిత్రం@example.org", "చిత్రం@example.org"),
        ],
    )
    def test_emails(self, text, email):
        assert clean_email(text) == email

    @pytest.mark.parametrize(
        "text",
        ["", " ", "ada", "@example.org", "ada@", "a@b@c", "a b@example.org", "a@exa mple.org", "a\r\nb@example.org",
         "Ada <ada@example.org>", "a@[127.0.0.1]", '"a b"@example.org', "a..b@example.org", "a@example.org.",
         "a@.example.org", "a@" + "x" * 260, "a@example.org\0", "x" * 250 + "@example.org"],
    )  # fmt: skip
    def test_what_is_no_email(self, text):
        with pytest.raises(ValueError, match=r"^must be an e-mail address$"):
            clean_email(text)

    def test_what_is_too_long_is_not_looked_at(self, monkeypatch):
        """The validator takes the square of the length of a text of combining marks."""
        monkeypatch.setattr(emails, "validate_email", lambda *_, **__: pytest.fail("it was looked at"))
        with pytest.raises(ValueError, match=r"^must be an e-mail address$"):
            clean_email("a" + "\u0301\u0316" * 16_000 + "@example.org")

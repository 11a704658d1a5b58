"""Requests that were made to do harm: smuggled, malformed, oversize, misdirected."""

from collections.abc import Iterator

import httpx
import pytest

from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.onlookers import MEBIBYTE, onlooker
from tests.faults.raw import converse, request
from tests.faults.traffic import UPLOAD, form

pytestmark = pytest.mark.slow

SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
BOUNDARY = "b0undary"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("abuse"), **UNLIMITED, LOG_LEVEL="debug") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def image(client: httpx.Client) -> str:
    identity: str = client.post(UPLOAD, files=form(pictures.jpeg())).json()["id"]
    return identity


def alive(client: httpx.Client) -> bool:
    return client.get("/health/live").status_code == 200


# ------------------------------------------------------------------------------------------------ request smuggling

AMBIGUOUS = {
    "length and chunked": ("Content-Length: 4", "Transfer-Encoding: chunked"),
    "chunked and length": ("Transfer-Encoding: chunked", "Content-Length: 4"),
    "two lengths": ("Content-Length: 5", "Content-Length: 6"),
    "length list": ("Content-Length: 5, 6",),
    "negative length": ("Content-Length: -5",),
    "signed length": ("Content-Length: +5",),
    "hexadecimal length": ("Content-Length: 0x5",),
    "length with a blank inside": ("Content-Length: 5 5",),
    "huge length": ("Content-Length: 99999999999999999999999",),
    "unknown coding": ("Transfer-Encoding: xchunked",),
    "chunked not last": ("Transfer-Encoding: chunked, identity",),
    "folded coding": ("Transfer-Encoding:", " chunked"),
    "blank before the colon": ("Transfer-Encoding : chunked",),
    "folded field": ("X-Field: a", " b"),
    "no colon": ("Transfer-Encoding chunked",),
    "NUL in a field": ("X-Field: a\0b",),
    "bare CR in a field": ("X-Field: a\rContent-Length: 5",),
}
BROKEN_HEADS = {
    "bare line feeds": b"GET /health/live HTTP/1.1\nHost: localhost\n\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "blank in the target": b"GET /health /live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "blank before the method": b" GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "unknown method": b"G\xc3\x8bT /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "zeros": bytes(256),
}
BROKEN_CHUNKS = {
    "no number": b"x\r\nabcde\r\n0\r\n\r\n",
    "negative": b"-5\r\nabcde\r\n0\r\n\r\n",
    "more than 64 bits": b"fffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
    "longer than said": b"1\r\nabcde\r\n0\r\n\r\n",
    "bare line feeds": b"5\nabcde\n0\n\n",
}


def expect_one_refusal(server: Server, client: httpx.Client, data: bytes) -> None:
    """At most one answer, a refusal, and the end of the connection: nobody doubts where the next request begins."""
    answers = converse(server.port, data)
    assert answers.statuses in ([], [400]), answers.data
    assert answers.closed
    assert alive(client)


@pytest.mark.parametrize("fields", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_framing_is_refused(server: Server, client: httpx.Client, fields: tuple[str, ...]):
    expect_one_refusal(server, client, request("POST", UPLOAD, FORM, *fields) + b"0\r\n\r\n" + SMUGGLED)


@pytest.mark.parametrize("data", BROKEN_HEADS.values(), ids=BROKEN_HEADS.keys())
def test_broken_heads_are_refused(server: Server, client: httpx.Client, data: bytes):
    expect_one_refusal(server, client, data + SMUGGLED)


def test_a_request_without_version_is_the_last_one(server: Server):
    assert len(converse(server.port, b"GET /health/live\r\n\r\n" + SMUGGLED).statuses) == 1


@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS.keys())
def test_broken_chunks_are_refused(server: Server, client: httpx.Client, body: bytes):
    expect_one_refusal(server, client, request("POST", UPLOAD, FORM, "Transfer-Encoding: chunked") + body + SMUGGLED)


@pytest.mark.parametrize("fields", [("X-Long: " + "x" * 70_000,), tuple(f"X-{n}: y" for n in range(500))])
def test_a_head_without_end_is_refused(server: Server, client: httpx.Client, fields: tuple[str, ...]):
    expect_one_refusal(server, client, request("GET", "/health/live", *fields) + SMUGGLED)


@pytest.mark.parametrize("size", [9_000, 70_000, 2_000_000])
def test_a_target_without_end_is_refused(server: Server, client: httpx.Client, size: int):
    answers = converse(server.port, request("GET", "/" + "a" * size))
    assert answers.statuses in ([], [400], [404], [414])
    assert alive(client)


def test_a_body_that_nobody_asked_for_is_not_the_next_request(server: Server, image: str):
    head = request("GET", f"/api/v1/images/{image}", f"Content-Length: {len(SMUGGLED)}")
    assert converse(server.port, head + SMUGGLED).statuses == [200]


# ------------------------------------------------------------------------------------------------------- forms


def part(disposition: str, content: bytes = b"", *fields: str) -> bytes:
    head = "\r\n".join((f"--{BOUNDARY}", f"Content-Disposition: {disposition}", *fields, "", ""))
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FILE = part('form-data; name="file"; filename="a.png"', pictures.png(), "Content-Type: image/png")
ABUSED_FORMS = {
    "100,000 parts": (b"".join(part(f'form-data; name="f{n}"') for n in range(100_000)) + FILE + END, {400, 413}),
    "10,000 fields": (b"".join(part(f'form-data; name="f{n}"', b"x") for n in range(10_000)) + END, {400}),
    "huge part head": (part('form-data; name="file"', b"", "X-Long: " + "x" * 200_000) + END, {400}),
    "many part fields": (part('form-data; name="file"', b"", *[f"X-{n}: y" for n in range(10_000)]) + END, {400}),
    "no end": (FILE, {400}),
    "no end of the head": (f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode(), {400}),
    "huge preamble": (b"x" * 300_000 + b"\r\n" + FILE + END, {400}),
    "preamble of line ends": (b"\r\n" * 150_000 + FILE + END, {400}),
    "huge epilogue": (FILE + END + b"x" * 300_000, {400}),
    "text field called file": (part('form-data; name="file"', b"text") + END, {422}),
    "two files": (FILE + FILE + END, {400}),
    "no name": (part("form-data", b"x") + END, {400, 422}),
    "no disposition": (f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END, {400, 422}),
    "nested form": (
        part('form-data; name="file"', FILE + END, "Content-Type: multipart/mixed; boundary=inner") + END,
        {400, 422},
    ),
    "line feeds alone": ((FILE + END).replace(b"\r\n", b"\n"), {400}),
    "NUL in the head": (part('form-data; name="fi\0le"; filename="a"', b"x") + END, {400, 422}),
    "wrong boundary": (FILE.replace(BOUNDARY.encode(), b"other") + END, {400, 422}),
    "transfer encoding": (
        part('form-data; name="file"; filename="a.png"', b"aGk=", "Content-Transfer-Encoding: base64") + END,
        {400},
    ),
    "boundary in the file": (part('form-data; name="file"; filename="a"', f"\r\n--{BOUNDARY}".encode()) + END, {400}),
    "nothing": (b"", {400, 422}),
}
CODES = {"INVALID_REQUEST", "VALIDATION_ERROR", "INVALID_FILE_FORMAT", "FILE_TOO_LARGE"}


@pytest.mark.parametrize("name", ABUSED_FORMS)
def test_abused_forms_are_refused(server: Server, client: httpx.Client, name: str):
    body, statuses = ABUSED_FORMS[name]
    assert server.process is not None
    with onlooker(server.url, server.process.pid, path="/health/live") as others:
        fields = {"Content-Type": FORM.removeprefix("Content-Type: ")}
        answer = client.post(UPLOAD, content=body, headers=fields)
        assert answer.status_code in statuses, answer.text
        assert answer.json()["detail"]["code"] in CODES
        pieces = (body[at : at + 7] for at in range(0, min(len(body), 3_000), 7))
        assert client.post(UPLOAD, content=pieces, headers=fields).status_code in {*statuses, 400}
    assert others.failures == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded", "application/json", "text/plain", "", "multipart/form-data",
        "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 10_000,
        "multipart/form-data; boundary=\x07bell", "multipart/mixed; boundary=b0undary", "image/png",
    ],
)  # fmt: skip
def test_other_bodies_are_refused(server: Server, content_type: str):
    head = request("POST", UPLOAD, f"Content-Type: {content_type}", f"Content-Length: {len(FILE + END)}")
    (status,) = converse(server.port, head + FILE + END).statuses
    assert status in (400, 422)


def test_name_tricks_do_not_choose_another_file(client: httpx.Client):
    """The extended form of the name counts, once, and is cleaned like the plain one."""
    disposition = 'form-data; name="file"; filename="a.png"; filename*=UTF-8\'\'%2e%2e%2f%2e%2e%2fetc%2fpasswd'
    body = part(disposition, pictures.png(), "Content-Type: image/png") + END
    answer = client.post(UPLOAD, content=body, headers={"Content-Type": FORM.removeprefix("Content-Type: ")})
    assert answer.status_code == 201
    assert "/" not in answer.json()["filename"]
    assert ".." not in answer.json()["filename"].replace("....", "")


# ------------------------------------------------------------------------------------------------------- too much

LIMIT = 5 * MEBIBYTE


def test_a_body_that_says_it_is_too_large_is_not_read(server: Server):
    answers = converse(
        server.port, request("POST", UPLOAD, FORM, f"Content-Length: {100 * LIMIT}", "Connection: close")
    )
    assert answers.statuses == [413]


def test_a_client_that_waits_to_be_asked_is_not_asked(server: Server):
    fields = (FORM, f"Content-Length: {100 * LIMIT}", "Expect: 100-continue")
    assert converse(server.port, request("POST", UPLOAD, *fields), patience=5).statuses == [413]


def test_an_endless_body_is_cut_off(server: Server, client: httpx.Client):
    def endless() -> Iterator[bytes]:
        yield part('form-data; name="file"; filename="a.png"', pictures.png()).removesuffix(b"\r\n")
        for _ in range(12):
            yield bytes(MEBIBYTE)

    answer = client.post(UPLOAD, content=endless(), headers={"Content-Type": FORM.removeprefix("Content-Type: ")})
    assert (answer.status_code, answer.json()["detail"]["code"]) == (413, "FILE_TOO_LARGE")
    assert not [path for path in (server.data / "storage/.staging").rglob("*") if path.is_file()]


def test_compressed_bodies_are_refused(client: httpx.Client):
    fields = {"Content-Type": FORM.removeprefix("Content-Type: "), "Content-Encoding": "gzip"}
    assert client.post(UPLOAD, content=FILE + END, headers=fields).status_code == 400

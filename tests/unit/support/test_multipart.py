import asyncio
import base64
import hashlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chitram.domain.errors import (
    ChecksumMismatch,
    FileTooLarge,
    InvalidRequest,
    RequestTimeout,
    ValidationFailed,
)
from chitram.domain.uploads import DeclaredDigest
from chitram.entrypoints.support.body import ClientDisconnected, Pace, RequestBody
from chitram.entrypoints.support.multipart import MAX_FIELD_BYTES, MAX_FIELDS, MAX_OVERHEAD, UploadForm
from tests.unit.support.asgi_client import body_messages

BOUNDARY = "----edge1234"
LIMIT = 100_000


def part(disposition, content=b"", *headers):
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers])
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def file_part(content=b"data", *headers, name="a.jpg"):
    return part(f'name="file"; filename="{name}"', content, *(headers or ("Content-Type: image/jpeg",)))


async def pieces_of(body, size):
    for start in range(0, len(body), size):
        yield body[start : start + size]


def form_of(body, *, size=65536, limit=LIMIT, **headers):
    fields = {b"content-type": f"multipart/form-data; boundary={BOUNDARY}".encode()}
    fields |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return UploadForm(pieces_of(body, size), headers=fields, max_file_size=limit)


async def read(upload):
    await upload.open_file()
    return b"".join([chunk async for chunk in upload.file_chunks()])


@pytest.mark.parametrize("size", [1, 7, 100, 65536])
async def test_a_form_with_fields_on_both_sides(size):
    content = b"\r\n--" + bytes(range(256)) * 5 + b"\r\n----edge123"
    body = form(
        part('name="visibility"', b"public"), file_part(content, name="చి.jpg"), part('name="title"', "é".encode())
    )
    upload = form_of(body, size=size)
    assert await read(upload) == content
    assert upload.filename == "చి.jpg"
    assert upload.declared_type == "image/jpeg"
    assert upload.fields == {"visibility": "public", "title": "é"}
    assert upload.declared_digest is None


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 900))
async def test_any_content_in_any_pieces_arrives_as_it_is(content, size):
    assert await read(form_of(form(file_part(content)), size=size)) == content


async def test_large_pieces_are_handed_on_whole():
    content = bytes(1_000_000)
    upload = form_of(form(file_part(content)), limit=2_000_000)
    await upload.open_file()
    sizes = [len(chunk) async for chunk in upload.file_chunks()]
    assert sum(sizes) == len(content)
    assert len(sizes) < 20


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('name="file"; filename="a.jpg"; filename*=UTF-8\'\'%E0%B0%9A.jpg', "చ.jpg"),
        ("name=file; filename*=iso-8859-1'en'%e9.jpg", "é.jpg"),
        ('name="file"; filename="x"; filename*=koi8-r\'\'a.jpg', "x"),
        ('name="file"; filename="x; filename*=UTF-8\'\'evil.exe"', "x; filename*=UTF-8''evil.exe"),
        ('name="file"; filename="C:\\dir\\a.jpg"', "a.jpg"),
        ('name="file"; filename="a%22b.jpg"', 'a"b.jpg'),
    ],
)
async def test_filenames(disposition, expected):
    upload = form_of(form(part(disposition, b"data")))
    assert await read(upload) == b"data"
    assert upload.filename == expected


async def test_a_filename_in_latin_1_is_taken_too():
    body = form(
        b'--%s\r\nContent-Disposition: form-data; name="file"; filename="\xe9.jpg"\r\n\r\nx\r\n' % BOUNDARY.encode()
    )
    upload = form_of(body)
    await read(upload)
    assert upload.filename == "é.jpg"


async def test_a_typed_part_without_a_name_is_a_file():
    upload = form_of(form(part('name="file"', b"data", "Content-Type: application/octet-stream")))
    assert await read(upload) == b"data"
    assert upload.filename == ""


@pytest.mark.parametrize(
    "body",
    [
        form(),
        form(part('name="title"', b"x")),
        form(part('name="file"', b"only text")),
        form(part('name="picture"; filename="a.jpg"', b"x" * 9000)),
        form(part('name="file"; filename=""', b"", "Content-Type: application/octet-stream")),
    ],
)
async def test_without_a_file_the_field_is_named(body):
    with pytest.raises(ValidationFailed) as caught:
        await form_of(body).open_file()
    assert caught.value.details["errors"][0]["field"] == "file"


@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded", "", "text/plain; boundary=x"]
)
async def test_other_content_types_hold_no_file(kind):
    with pytest.raises(ValidationFailed):
        await form_of(b"{}", content_type=kind).open_file()


async def test_an_empty_file_with_a_name_is_a_file():
    assert await read(form_of(form(file_part(b"")))) == b""


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", f"; boundary={'a' * 201}", '; boundary="a\x01b"', '; boundary="\xe9"']
)
async def test_unusable_boundaries_are_refused(boundary):
    with pytest.raises(InvalidRequest):
        await form_of(form(file_part()), content_type=f"multipart/form-data{boundary}").open_file()


BROKEN = {
    "no final boundary": file_part(b"x" * 500),
    "cut inside a head": form(file_part())[:60],
    "garbage": b"garbage" * 30,
    "other boundary": form(file_part()).replace(b"edge1234", b"edge4321"),
    "no disposition": f"--{BOUNDARY}\r\nX-A: b\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
    "two files": form(file_part(), file_part()),
    "field twice": form(part('name="a"', b"1"), part('name="a"', b"2"), file_part()),
    "field too long": form(part('name="a"', b"x" * (MAX_FIELD_BYTES + 1)), file_part()),
    "field not UTF-8": form(part('name="a"', b"\xff"), file_part()),
    "too many fields": form(*[part(f'name="f{i}"') for i in range(MAX_FIELDS + 1)], file_part()),
    "fields after the file": form(file_part(), *[part(f'name="f{i}"') for i in range(MAX_FIELDS + 1)]),
    "100000 parts": form(*[part(f'name="{i}"') for i in range(100_000)]),
    "huge head": f"--{BOUNDARY}\r\nX-A: {'b' * 100_000}\r\n\r\n".encode(),
    "many heads": f"--{BOUNDARY}\r\n".encode() + b"X-A: b\r\n" * 1000,
    "endless preamble": b"x\r\n" * 500_000,
    "endless epilogue": form(file_part()) + b"x" * 500_000,
    "bad MD5": form(file_part(b"data", "Content-MD5: abc")),
    "bad digest": form(file_part(b"data", "Content-Digest: sha-256=abc")),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_forms_are_refused_with_little_memory(body):
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            await read(form_of(body))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


async def test_exactly_the_limit_passes_and_one_byte_more_does_not():
    assert len(await read(form_of(form(file_part(bytes(LIMIT)))))) == LIMIT
    with pytest.raises(FileTooLarge):
        await read(form_of(form(file_part(bytes(LIMIT + 1)))))


async def test_an_endless_file_is_cut_off_as_it_arrives():
    taken = 0

    async def endless():
        nonlocal taken
        yield file_part()[:-2]
        while True:
            taken += 4096
            yield bytes(4096)

    headers = {b"content-type": f"multipart/form-data; boundary={BOUNDARY}".encode()}
    with pytest.raises(FileTooLarge):
        await read(UploadForm(endless(), headers=headers, max_file_size=LIMIT))
    assert taken <= LIMIT + 2 * 4096


async def test_a_declared_length_over_the_limit_is_refused_unread():
    async def never():
        raise AssertionError("read")
        yield b""

    headers = {b"content-type": b"multipart/form-data; boundary=x"}
    for length in (LIMIT + MAX_OVERHEAD + 1, 10**40):
        with pytest.raises(FileTooLarge):
            await UploadForm(
                never(), headers={**headers, b"content-length": b"%d" % length}, max_file_size=LIMIT
            ).open_file()
    allowed = form_of(form(file_part()), content_length=str(LIMIT + MAX_OVERHEAD))
    assert await read(allowed) == b"data"


async def test_compressed_bodies_are_refused():
    with pytest.raises(InvalidRequest):
        await form_of(form(file_part()), content_encoding="gzip").open_file()
    assert await read(form_of(form(file_part()), content_encoding="identity")) == b"data"


def digest_of(data):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def older_digest_of(data):
    return f"SHA-256={base64.b64encode(hashlib.sha256(data).digest()).decode()}"


def md5_of(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


async def test_the_digest_of_the_whole_body_is_checked():
    body = form(file_part(b"x" * 5000), part('name="title"', b"t"))
    assert await read(form_of(body, size=100, content_digest=digest_of(body)))
    with pytest.raises(ChecksumMismatch):
        await read(form_of(body, content_digest=digest_of(b"other")))


async def test_digests_of_the_file_are_handed_on():
    expected = hashlib.sha256(b"data").hexdigest()
    by_request = form_of(form(file_part()), repr_digest=digest_of(b"data"))
    await read(by_request)
    in_part = form_of(form(file_part(b"data", f"Content-Digest: {digest_of(b'data')}")))
    await read(in_part)
    assert by_request.declared_digest == DeclaredDigest("repr-digest", expected)
    assert in_part.declared_digest == DeclaredDigest("content-digest", expected)
    with pytest.raises(ChecksumMismatch):
        await read(
            form_of(form(file_part(b"data", f"content-digest: {digest_of(b'x')}")), repr_digest=digest_of(b"data"))
        )


async def test_a_digest_of_the_request_may_be_of_its_body_or_of_its_file():
    body = form(file_part(b"data", f"Content-Digest: {digest_of(b'data')}"))
    for digest in (digest_of(body), digest_of(b"data")):
        upload = form_of(body, repr_digest=digest)
        await read(upload)
        assert upload.declared_digest.sha256 == hashlib.sha256(b"data").hexdigest()
    plain = form(file_part())
    of_body, of_neither = form_of(plain, repr_digest=digest_of(plain)), form_of(plain, repr_digest=digest_of(b"x"))
    await read(of_body)
    assert of_body.declared_digest is None
    await read(of_neither)
    assert of_neither.declared_digest.sha256 == hashlib.sha256(b"x").hexdigest()


async def test_the_older_fields_are_checked_too():
    body = form(file_part(b"x" * 5000), part('name="title"', b"t"))
    assert await read(form_of(body, size=100, content_md5=md5_of(body), digest=older_digest_of(body)))
    of_file = form_of(body, size=100, digest=older_digest_of(b"x" * 5000))
    await read(of_file)
    assert of_file.declared_digest.sha256 == hashlib.sha256(b"x" * 5000).hexdigest()
    with pytest.raises(ChecksumMismatch):
        await read(form_of(body, content_md5=md5_of(b"x" * 5000)))
    for malformed in ({"content_md5": "abc"}, {"digest": "sha-256"}):
        with pytest.raises(InvalidRequest):
            await form_of(body, **malformed).open_file()


@pytest.mark.parametrize("size", [1, 65536])
async def test_the_older_fields_of_the_part_are_about_the_file(size):
    heads = f"content-md5: {md5_of(b'data')}", f"Digest: unixsum=1,{older_digest_of(b'data')}"
    upload = form_of(form(file_part(b"data", *heads)), size=size)
    assert await read(upload) == b"data"
    assert upload.declared_digest.sha256 == hashlib.sha256(b"data").hexdigest()
    with pytest.raises(ChecksumMismatch):
        await read(form_of(form(file_part(b"data", f"Content-MD5: {md5_of(b'x')}")), size=size))


def receive_of(*messages, then=None):
    waiting = list(messages)

    async def receive():
        if waiting:
            return waiting.pop(0)
        if then is not None:
            return then
        return await asyncio.Future()

    return receive


async def test_a_body_is_its_non_empty_pieces():
    body = RequestBody(receive_of(*body_messages(b"ab", b"", b"c", b"")), pace=Pace())
    assert [piece async for piece in body] == [b"ab", b"c"]
    assert [piece async for piece in body] == []


async def test_a_client_that_leaves_ends_the_body():
    body = RequestBody(
        receive_of({"type": "http.request", "body": b"ab", "more_body": True}, then={"type": "http.disconnect"}),
        pace=Pace(),
    )
    with pytest.raises(ClientDisconnected):
        [piece async for piece in body]


@pytest.mark.parametrize("pace", [Pace(grace=0.02, min_rate=1e9), Pace(grace=60, deadline=0.02)])
async def test_a_silent_client_is_given_up(pace):
    body = RequestBody(receive_of({"type": "http.request", "body": b"ab", "more_body": True}), pace=pace)
    with pytest.raises(RequestTimeout):
        [piece async for piece in body]


async def test_bytes_that_came_buy_time():
    trickle = receive_of(*body_messages(*[b"x" * 1000] * 50))

    async def slowly():
        await asyncio.sleep(0.001)
        return await trickle()

    body = RequestBody(slowly, pace=Pace(grace=5, min_rate=1.0, deadline=60))
    assert sum([len(piece) async for piece in body]) == 50_000


async def test_a_timeout_of_somebody_else_stays_one():
    async def broken():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await anext(RequestBody(broken, pace=Pace()))

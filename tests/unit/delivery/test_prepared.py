"""What the door remembers of its answers, and originals that the server sends from files itself."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from chitram.adapters.memory.audit import MemoryAudit
from chitram.domain.errors import StorageUnavailable
from chitram.domain.images import Visibility
from chitram.entrypoints.delivery.bodies import FILE_CHUNK, AnswerCutShort
from chitram.entrypoints.delivery.door import Door
from chitram.entrypoints.delivery.prepared import Prepared
from chitram.entrypoints.support.asgi import ZERO_COPY
from chitram.entrypoints.support.auth import Gate
from tests.unit.support.asgi_client import make_scope
from tests.unit.support.doorkeepers import Doorkeeper
from tests.unit.support.records import IMAGE_ID, make_record

DATA = os.urandom(FILE_CHUNK * 3 + 1000)
BASE = f"/api/v1/images/{IMAGE_ID}"


class Opened:
    """A blob that lends its file as long as the offset is below `cached`; reading from `fails_at` on fails."""

    def __init__(self, file, *, cached, fails_at):
        self.file, self.cached, self.fails_at, self.reads, self.closed = file, cached, fails_at, 0, False
        self.size = len(DATA)

    def cached_file(self, offset, length):
        return self.file if offset < self.cached else None

    async def read(self, offset, length):
        if offset >= self.fails_at:
            raise StorageUnavailable
        self.reads += 1
        return DATA[offset : offset + length]

    async def aclose(self):
        self.closed = True


class Found:
    def __init__(self, record):
        self.record, self.cache = record, "HIT"


class House:
    def __init__(self, file=-1, *, cached=0, fails_at=10**9):
        self.record = make_record(DATA)
        self.door = Door(
            images=self,
            thumbnails=self,
            gate=Gate(Doorkeeper().authentication, public_url=None),
            audit=MemoryAudit(),
        )
        self.blob = Opened(file, cached=cached, fails_at=fails_at)

    async def find(self, image_id, *, viewer):
        return Found(self.record)

    async def open_original(self, record):
        return self.blob

    async def read(self, record, *, size):
        return b"thumbnail"

    async def get(self, path, *, zero_copy=False, **options):
        """Status, fields, body and how many parts of it came from the file."""
        extensions = {"extensions": {ZERO_COPY: {}}} if zero_copy else {}
        scope = make_scope(path, **options, **extensions) | {"chitram.host": "img.example.org"}
        assert self.door.matches(scope)
        heads, pieces, from_file = [], [], 0

        async def send(message):
            nonlocal from_file
            if message["type"] == "http.response.start":
                heads.append(message)
            elif message["type"] == ZERO_COPY:
                from_file += 1
                pieces.append((os.pread(message["file"], message["count"], message["offset"]), message["more_body"]))
            else:
                pieces.append((message["body"], message.get("more_body", False)))

        await self.door(scope, None, send)
        assert [more for _, more in pieces] == [True] * (len(pieces) - 1) + [False]
        return heads[0]["status"], dict(heads[0]["headers"]), b"".join(piece for piece, _ in pieces), from_file


@pytest.fixture
def file(tmp_path: Path):
    (tmp_path / "f").write_bytes(DATA)
    with (tmp_path / "f").open("rb") as opened:
        yield opened.fileno()


@pytest.mark.parametrize(
    ("cached", "from_file", "reads"), [(0, 0, 13), (1, 1, 9), (FILE_CHUNK + 1, 2, 5), (10**9, 4, 0)]
)
async def test_originals_come_from_the_file_as_far_as_it_is_in_memory(file, cached, from_file, reads):
    house = House(file, cached=cached)
    status, fields, body, parts = await house.get(f"{BASE}/file", zero_copy=True)
    assert (status, body, parts, house.blob.reads) == (200, DATA, from_file, reads)
    assert fields[b"content-length"] == b"%d" % len(DATA)
    assert house.blob.closed


async def test_a_range_comes_from_the_file_too(file):
    house = House(file, cached=10**9)
    status, _, body, parts = await house.get(f"{BASE}/file", zero_copy=True, headers=[("range", "bytes=1000-")])
    assert (status, body, parts) == (206, DATA[1000:], 3)


async def test_servers_that_cannot_send_files_are_given_bytes(file):
    house = House(file, cached=10**9)
    assert (await house.get(f"{BASE}/file"))[2:] == (DATA, 0)


async def test_a_store_that_fails_behind_the_file_breaks_the_answer(file):
    house = House(file, cached=FILE_CHUNK, fails_at=FILE_CHUNK)
    with pytest.raises(AnswerCutShort):
        await house.get(f"{BASE}/file", zero_copy=True)
    assert house.blob.closed


@pytest.mark.parametrize("path", [BASE, f"{BASE}/thumbnail"])
async def test_remembered_answers_change_with_the_record(path):
    house = House()
    before = await house.get(path)
    assert await house.get(path) == before
    house.record = replace(house.record, blob=replace(house.record.blob))
    assert await house.get(path) == before
    house.record = replace(house.record, image=replace(house.record.image, visibility=Visibility.PRIVATE))
    _, fields, _, _ = await house.get(path)
    assert b"private" in fields[b"cache-control"] or b"no-cache" in fields[b"cache-control"]
    assert fields != before[1]


async def test_each_way_to_ask_for_a_thumbnail_has_its_own_fields():
    house = House()
    version = house.record.version
    queries = ("", "size=150", f"v={version}", "v=00000000", "download=1", f"size=150&v={version}&download=1")
    for _ in range(2):
        seen = [(await house.get(f"{BASE}/thumbnail", query=query))[1] for query in queries]
        bare, small, current, other, saved, all_three = seen
        assert other == bare
        assert small[b"etag"] != bare[b"etag"] == current[b"etag"]
        assert b"immutable" in current[b"cache-control"]
        assert b"immutable" not in bare[b"cache-control"]
        assert saved[b"content-disposition"].startswith(b"attachment")
        assert all_three[b"content-disposition"].startswith(b"attachment")
        assert b"immutable" in all_three[b"cache-control"]


async def test_metadata_name_the_host_that_was_asked():
    house = House()
    bodies = set()
    for host in ("a.example", "b.example", "a.example"):
        scope = make_scope(BASE) | {"chitram.host": host}
        sent = []

        async def send(message, sent=sent):
            sent.append(message)

        house.door.matches(scope)
        await house.door(scope, None, send)
        assert f"http://{host}/".encode() in sent[1]["body"]
        bodies.add(sent[1]["body"])
    assert len(bodies) == 2


async def test_an_unchanged_thumbnail_is_not_described_as_if_it_came_along():
    house = House()
    _, whole, _, _ = await house.get(f"{BASE}/thumbnail")
    status, fields, body, _ = await house.get(f"{BASE}/thumbnail", headers=[("if-none-match", whole[b"etag"].decode())])
    assert (status, body) == (304, b"")
    assert set(whole) - set(fields) == {b"content-type", b"content-disposition", b"content-length"}


def test_what_was_not_asked_for_longest_goes_first():
    prepared: Prepared[int] = Prepared(max_entries=2)
    record, other = make_record(DATA), make_record(b"other")
    prepared.put(1, record, 1)
    prepared.put(0, record, 0)
    assert prepared.get(1, record) == 1
    assert prepared.put(2, record, 2) == 2
    assert [prepared.get(number, record) for number in range(3)] == [None, 1, 2]
    prepared.put(1, other, 7)
    assert prepared.get(1, record) is None
    assert (prepared.get(1, other), prepared.get(2, record)) == (7, 2)

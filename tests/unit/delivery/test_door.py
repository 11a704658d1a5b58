import json
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chitram.adapters.memory.audit import MemoryAudit
from chitram.domain.access import ANONYMOUS
from chitram.domain.audit import AuditAction
from chitram.domain.errors import ImageNotFound, StorageUnavailable, ThumbnailNotReady
from chitram.domain.images import Visibility
from chitram.domain.sessions import SessionKind
from chitram.entrypoints.delivery.bodies import CHUNK, AnswerCutShort
from chitram.entrypoints.delivery.door import Door
from chitram.entrypoints.support.asgi import CLIENT, ROUTE
from chitram.entrypoints.support.auth import Gate
from chitram.entrypoints.support.ranges import MAX_RANGES
from tests.unit.support.asgi_client import call, make_scope
from tests.unit.support.doorkeepers import Doorkeeper
from tests.unit.support.records import CREATED, IMAGE_ID, make_record

DATA = bytes(range(256)) * 4
BASE = f"/api/v1/images/{IMAGE_ID}"


class Opened:
    """A blob in memory. Reading at or beyond `fails_at` fails."""

    def __init__(self, data, fails_at=None):
        self.data, self.fails_at, self.closed, self.largest = data, fails_at, False, 0

    @property
    def size(self):
        return len(self.data)

    async def read(self, offset, length):
        assert not self.closed
        if self.fails_at is not None and offset + length > self.fails_at:
            raise StorageUnavailable
        self.largest = max(self.largest, length)
        return self.data[offset : offset + length]

    async def aclose(self):
        self.closed = True


class Found:
    def __init__(self, record, cache):
        self.record, self.cache = record, cache


class House:
    """The services that the door stands on, in memory: both of them and one image."""

    def __init__(self, record, *, data=DATA, thumbnail=b"thumb", fails_at=None):
        self.record, self.data, self.thumbnail, self.fails_at = record, data, thumbnail, fails_at
        self.opened, self.viewers, self.sizes = [], [], []
        self.keeper, self.audit = Doorkeeper(), MemoryAudit()
        gate = Gate(self.keeper.authentication, public_url=None)
        self.door = Door(
            images=self, thumbnails=self, gate=gate, audit=self.audit, public_url="https://img.example.org"
        )

    async def find(self, image_id, *, viewer):
        self.viewers.append(viewer)
        if image_id != self.record.image.id:
            raise ImageNotFound
        return Found(self.record, "MISS")

    async def open_original(self, record):
        if self.data is None:
            raise StorageUnavailable
        self.opened.append(Opened(self.data, self.fails_at))
        return self.opened[-1]

    async def read(self, record, *, size):
        self.sizes.append(size)
        if self.thumbnail is None:
            raise ThumbnailNotReady(retry_after=3)
        return self.thumbnail

    async def get(self, path, **options):
        scope = make_scope(path, **options)
        assert self.door.matches(scope)
        answer = await call(self.door, scope)
        assert answer.complete
        assert all(blob.closed for blob in self.opened)
        answer.scope = scope
        return answer


@pytest.fixture
def house():
    return House(make_record(DATA))


def code_of(answer):
    return json.loads(answer.body)["detail"]["code"]


def assert_inert(answer, *, indexed=False, sharing="cross-origin"):
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("content-security-policy") == "default-src 'none'; sandbox"
    assert answer.header("cross-origin-resource-policy") == sharing
    assert answer.header("x-robots-tag") == (None if indexed else "noindex")


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        (BASE, "GET", True),
        (BASE, "HEAD", True),
        (BASE, "DELETE", False),
        (BASE, "PATCH", False),
        (f"{BASE}/file", "DELETE", True),
        (f"{BASE}/thumbnail", "POST", True),
        (f"{BASE}/checksum", "GET", False),
        (f"{BASE}/", "GET", False),
        (f"{BASE}/file/", "GET", False),
        (f"{BASE}/file/x.css", "GET", False),
        ("/api/v1/images/short", "GET", True),
        ("/api/v1/images/upload", "GET", False),
        ("/api/v1/images/", "GET", False),
        ("/api/v1/images", "GET", False),
        ("/health", "GET", False),
    ],
)
def test_which_requests_are_the_doors(house, path, method, expected):
    assert house.door.matches(make_scope(path, method=method)) is expected


def test_which_methods_it_answers():
    assert Door.allowed_methods(BASE) == ("GET", "HEAD")
    assert Door.allowed_methods("/api/v1/images/upload") == ()


async def test_a_whole_original(house):
    answer = await house.get(f"{BASE}/file")
    sha256 = house.record.blob.sha256
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.header("etag") == f'"{sha256}"'
    assert answer.header("content-type") == "image/jpeg"
    assert answer.header("content-length") == str(len(DATA))
    assert answer.header("accept-ranges") == "bytes"
    assert answer.header("content-disposition") == 'inline; filename="photo.jpg"'
    assert answer.header("cache-control") == "public, max-age=300"
    # Whatever the Date of an answer is, whose clock may be a second old, this is no later.
    latest = CREATED.replace(microsecond=0) - timedelta(seconds=2)
    assert parsedate_to_datetime(answer.header("last-modified")) == latest
    assert re.fullmatch(r"sha-256=:[A-Za-z0-9+/]{43}=:", answer.header("repr-digest"))
    assert answer.scope[ROUTE] == "/api/v1/images/{image_id}/file"
    assert_inert(answer)


@pytest.mark.parametrize("path", ["", "/file", "/thumbnail"])
async def test_head_is_get_without_the_body(house, path):
    get = await house.get(BASE + path)
    head = await house.get(BASE + path, method="HEAD", headers=[("range", "bytes=0-1")])
    assert head.body == b""
    assert head.status == get.status == 200
    assert head.headers == get.headers


@pytest.mark.parametrize(
    ("visibility", "indexed", "sharing", "bare", "versioned"),
    [
        (Visibility.PUBLIC, True, "cross-origin", "public, max-age=300", "public, max-age=31536000, immutable"),
        (Visibility.UNLISTED, False, "cross-origin", "public, max-age=300", "public, max-age=31536000, immutable"),
        (Visibility.PRIVATE, False, "same-origin", "private, no-store", "private, no-store"),
    ],
)
@pytest.mark.parametrize("path", ["/file", "/thumbnail"])
async def test_headers_follow_the_visibility(visibility, indexed, sharing, bare, versioned, path):
    house = House(make_record(DATA, visibility=visibility))
    answer = await house.get(BASE + path)
    assert answer.header("cache-control") == bare
    assert_inert(answer, indexed=indexed, sharing=sharing)
    etag = answer.header("etag")
    right, wrong = f"v={house.record.version}", "v=00000000"
    assert (await house.get(BASE + path, query=right)).header("cache-control") == versioned
    assert (await house.get(BASE + path, query=wrong)).header("cache-control") == bare
    unchanged = await house.get(BASE + path, headers=[("if-none-match", f'W/"x", {etag}'), ("range", "bytes=0-1")])
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.header("cache-control") == bare
    assert unchanged.header("etag") == etag
    assert unchanged.header("content-length") is None
    assert_inert(unchanged, indexed=indexed, sharing=sharing)


@pytest.mark.parametrize("path", ["/file", "/thumbnail"])
async def test_an_unchanged_answer_costs_no_read(house, path):
    etag = (await house.get(BASE + path)).header("etag")
    opened, sizes = len(house.opened), len(house.sizes)
    assert (await house.get(BASE + path, headers=[("if-none-match", etag)])).status == 304
    assert (len(house.opened), len(house.sizes)) == (opened, sizes)


async def test_download_and_hostile_names():
    house = House(make_record(DATA, filename='చి"\r\n.jpg'))
    answer = await house.get(f"{BASE}/file", query="download=1")
    assert answer.header("content-disposition").startswith('attachment; filename="')
    assert "filename*=UTF-8''%E0%B0%9A" in answer.header("content-disposition")
    small = await house.get(f"{BASE}/thumbnail", query="download=1&size=150")
    assert small.header("content-disposition").startswith("attachment")
    assert "-150.jpg" in small.header("content-disposition")


@pytest.mark.parametrize("path", ["/file", "/thumbnail"])
@pytest.mark.parametrize("hidden", [{"visibility": Visibility.PRIVATE}, {"broken_reason": "corrupt"}])
async def test_other_sites_start_no_download_of_what_is_hidden(path, hidden):
    """They would notice, and so learn who owns what."""
    house, shown = House(make_record(DATA, **hidden)), House(make_record(DATA))
    for site, attached in {
        None: True,
        "same-origin": True,
        "none": True,
        "same-site": False,
        "cross-site": False,
    }.items():
        headers = [] if site is None else [("sec-fetch-site", site)]
        answer = await house.get(BASE + path, query="download=1", headers=headers)
        expected = "attachment" if attached else "inline"
        assert answer.header("content-disposition").startswith(expected), site
        everybodys = await shown.get(BASE + path, query="download=1", headers=headers)
        assert everybodys.header("content-disposition").startswith("attachment"), site


async def test_one_range(house):
    answer = await house.get(f"{BASE}/file", headers=[("range", "bytes=10-19")])
    assert (answer.status, answer.body) == (206, DATA[10:20])
    assert answer.header("content-range") == f"bytes 10-19/{len(DATA)}"
    assert answer.header("content-length") == "10"
    assert answer.header("repr-digest") is None
    assert_inert(answer)


async def test_a_range_outside(house):
    answer = await house.get(f"{BASE}/file", headers=[("range", "bytes=9999-")])
    assert (answer.status, code_of(answer)) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.header("content-range") == f"bytes */{len(DATA)}"
    assert answer.header("cache-control") == "no-store"
    assert_inert(answer, sharing="same-origin")


async def test_if_range(house):
    etag = (await house.get(f"{BASE}/file")).header("etag")
    # The bytes of an image never change, so its date is exact.
    date = (await house.get(f"{BASE}/file")).header("last-modified")
    other = "Wed, 04 Mar 2026 05:06:07 GMT"
    for condition, status in ((etag, 206), (date, 206), ('"other"', 200), (f"W/{etag}", 200), (other, 200)):
        answer = await house.get(f"{BASE}/file", headers=[("range", "bytes=0-0"), ("if-range", condition)])
        assert answer.status == status


@pytest.mark.parametrize("path", ["", "/file", "/thumbnail"])
async def test_conditions(house, path):
    first = await house.get(BASE + path)
    etag, date = first.header("etag"), "Wed, 04 Mar 2026 05:06:05 GMT"
    opened = len(house.opened)
    for method in ("GET", "HEAD"):
        failed = await house.get(BASE + path, method=method, headers=[("if-match", '"other"'), ("range", "bytes=0-1")])
        assert failed.status == 412
        assert failed.header("cache-control") == "no-store"
        assert method == "HEAD" or code_of(failed) == "PRECONDITION_FAILED"
        assert_inert(failed, sharing="same-origin")
    assert len(house.opened) == opened
    assert (await house.get(BASE + path, headers=[("if-match", etag), ("if-none-match", etag)])).status == 304
    assert (await house.get(BASE + path, headers=[("if-match", etag)])).status == 200
    # Only an original has a date: thumbnails and metadata may become others.
    dated = path == "/file"
    assert first.header("last-modified") == (date if dated else None)
    since = await house.get(BASE + path, headers=[("if-modified-since", date)])
    assert since.status == (304 if dated else 200)
    assert since.header("last-modified") == (date if dated else None)
    old = await house.get(BASE + path, headers=[("if-unmodified-since", "Wed, 04 Mar 2026 05:06:04 GMT")])
    assert old.status == (412 if dated else 200)
    same = await house.get(BASE + path, headers=[("if-unmodified-since", date)])
    assert same.status == 200


async def test_conditions_mean_nothing_where_there_is_nothing(house):
    missing = await house.get("/api/v1/images/00000000000/file", headers=[("if-match", '"other"')])
    assert (missing.status, code_of(missing)) == (404, "IMAGE_NOT_FOUND")
    pending = House(make_record(DATA, pipeline_version=0, thumbnail_type=None), thumbnail=None)
    answer = await pending.get(f"{BASE}/thumbnail", headers=[("if-match", '"other"')])
    assert (answer.status, code_of(answer)) == (404, "THUMBNAIL_NOT_READY")


def split_byteranges(answer):
    boundary = re.fullmatch("multipart/byteranges; boundary=([0-9a-f]{32})", answer.header("content-type")).group(1)
    assert int(answer.header("content-length")) == len(answer.body)
    first, *parts, end = answer.body.split(b"--" + boundary.encode())
    assert (first, end) == (b"", b"--\r\n")
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        assert b"Content-Type: image/jpeg" in head
        start, last, size = map(int, re.search(rb"bytes (\d+)-(\d+)/(\d+)", head).groups())
        assert content.endswith(b"\r\n")
        yield start, last + 1, size, content[:-2]


SPEC = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda p: f"{p[0]}-{p[1]}"),
    st.integers(0, 40).map(lambda n: f"{n}-"),
    st.integers(0, 40).map(lambda n: f"-{n}"),
    st.text(alphabet="0123456789-, x", max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SPEC, max_size=14).map(",".join), st.integers(1, 36))
async def test_any_range_gives_what_slicing_gives(specs, size):
    data = DATA[:size]
    house = House(make_record(data), data=data)
    answer = await house.get(f"{BASE}/file", headers=[("range", f"bytes={specs}")])
    if answer.status == 200:
        assert answer.body == data
    elif answer.status == 416:
        assert answer.header("content-range") == f"bytes */{size}"
    elif answer.header("content-type").startswith("multipart/"):
        parts = list(split_byteranges(answer))
        assert 1 < len(parts) <= MAX_RANGES
        for start, stop, total, content in parts:
            assert (total, content) == (size, data[start:stop])
    else:
        start, stop = map(int, re.match(r"bytes (\d+)-(\d+)/", answer.header("content-range")).groups())
        assert answer.body == data[start : stop + 1]


async def test_large_files_go_out_in_pieces():
    data = bytes(CHUNK * 2 + 17)
    house = House(make_record(data), data=data)
    whole = await house.get(f"{BASE}/file")
    assert whole.body == data
    assert whole.pieces == 3
    several = await house.get(f"{BASE}/file", headers=[("range", f"bytes=0-{CHUNK + 4},{CHUNK + 10}-")])
    assert [content for *_, content in split_byteranges(several)] == [data[: CHUNK + 5], data[CHUNK + 10 :]]
    assert max(blob.largest for blob in house.opened) <= CHUNK


async def test_a_store_that_fails_at_once_is_told():
    house = House(make_record(DATA), fails_at=0)
    for headers in ([], [("range", "bytes=0-1,5-6")]):
        answer = await house.get(f"{BASE}/file", headers=headers)
        assert (answer.status, code_of(answer)) == (503, "STORAGE_UNAVAILABLE")
        assert answer.header("retry-after") == "5"


@pytest.mark.parametrize("headers", [[], [("range", f"bytes=0-5,{CHUNK}-")]])
async def test_a_store_that_fails_in_the_middle_breaks_the_answer(headers):
    data = bytes(CHUNK + 10)
    house = House(make_record(data), data=data, fails_at=CHUNK)
    scope = make_scope(f"{BASE}/file", headers=headers)
    assert house.door.matches(scope)
    with pytest.raises(AnswerCutShort):
        await call(house.door, scope)
    assert house.opened[0].closed


@pytest.mark.parametrize(
    "house",
    [
        House(make_record(DATA), data=None),
        House(make_record(DATA), data=DATA[:-1]),
        House(make_record(DATA, corrupt_at=CREATED)),
    ],
    ids=["missing", "cut", "corrupt"],
)
async def test_damaged_originals_are_never_served(house):
    for method in ("GET", "HEAD"):
        answer = await house.get(f"{BASE}/file", method=method)
        assert answer.status == 503
        assert_inert(answer, sharing="same-origin")


async def test_operators_hear_of_a_store_that_is_down():
    house = House(make_record(DATA), data=None)
    with capture_logs() as logs:
        await house.get(f"{BASE}/file")
        await house.get("/api/v1/images/00000000000/file")
    assert [entry["code"] for entry in logs] == ["STORAGE_UNAVAILABLE"]


async def test_thumbnails(house):
    answer = await house.get(f"{BASE}/thumbnail")
    assert (answer.status, answer.body) == (200, b"thumb")
    assert answer.header("content-type") == "image/jpeg"
    assert answer.header("content-length") == "5"
    assert answer.header("content-disposition") == 'inline; filename="photo-300.jpg"'
    other = await house.get(f"{BASE}/thumbnail", query="size=150")
    assert house.sizes == [300, 150]
    assert answer.header("etag") != other.header("etag")
    assert_inert(answer)


@pytest.mark.parametrize("query", ["size=200", "size=", "size=0300", "size=%31", "size=300&size=150", "v=1&v=1"])
async def test_odd_queries_are_refused(house, query):
    answer = await house.get(f"{BASE}/thumbnail", query=query)
    assert (answer.status, code_of(answer)) == (422, "VALIDATION_ERROR")
    assert json.loads(answer.body)["detail"]["details"]["errors"][0]["field"] in query


async def test_a_query_may_be_encoded_and_may_have_strangers(house):
    assert (await house.get(f"{BASE}/thumbnail", query="size=%33%30%30&utm=a&utm=b&x")).status == 200


async def test_a_thumbnail_that_is_not_there_yet():
    house = House(make_record(DATA, pipeline_version=0, thumbnail_type=None), thumbnail=None)
    answer = await house.get(f"{BASE}/thumbnail", headers=[("if-none-match", "*")])
    assert (answer.status, code_of(answer)) == (404, "THUMBNAIL_NOT_READY")
    assert answer.header("retry-after") == "3"


async def test_metadata(house):
    answer = await house.get(BASE)
    body = json.loads(answer.body)
    assert answer.status == 200
    assert body["url"] == f"https://img.example.org{BASE}/file?v={house.record.version}"
    assert answer.header("x-cache") == "MISS"
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("x-robots-tag") == "noindex"
    assert answer.header("content-type") == "application/json"
    unchanged = await house.get(BASE, headers=[("if-none-match", answer.header("etag"))])
    assert (unchanged.status, unchanged.body) == (304, b"")
    house.record = make_record(DATA, visibility=Visibility.PUBLIC)
    public = await house.get(BASE)
    assert public.header("etag") != answer.header("etag")
    assert public.header("x-robots-tag") is None


async def test_addresses_come_from_the_request_without_a_public_url():
    house = House(make_record(DATA))
    gate = Gate(house.keeper.authentication, public_url=None)
    house.door = Door(images=house, thumbnails=house, gate=gate, audit=house.audit)
    answer = await house.get(BASE, scheme="https", **{"chitram.host": "other.example:8443"})
    assert json.loads(answer.body)["url"].startswith("https://other.example:8443/api/v1/images/")


@pytest.mark.parametrize("path", ["", "/file", "/thumbnail"])
async def test_what_is_not_to_be_seen_is_not_found(path):
    fine = House(make_record(DATA))
    answers = [
        await fine.get(f"/api/v1/images/00000000000{path}"),
        await fine.get(f"/api/v1/images/not-an-id{path}"),
        await fine.get(BASE + path, raw_path=(BASE + path).replace("A", "%41").encode()),
    ]
    assert [(answer.status, code_of(answer)) for answer in answers] == [(404, "IMAGE_NOT_FOUND")] * 3
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("path", ["", "/file"])
async def test_a_broken_file_is_kept_by_no_cache(path):
    broken = House(make_record(DATA, broken_reason="corrupt", visibility=Visibility.PUBLIC))
    answer = await broken.get(BASE + path, query=f"v={broken.record.version}")
    assert answer.header("cache-control") == "private, no-store"
    assert answer.header("x-robots-tag") == "noindex"


async def test_credentials(house):
    answer = await house.get(f"{BASE}/file", headers=[("authorization", "Bearer x")])
    assert (answer.status, code_of(answer)) == (401, "UNAUTHORIZED")
    assert answer.header("www-authenticate") == "Bearer"
    await house.get(f"{BASE}/file", headers=[("x-delete-token", "a")])
    await house.get(f"{BASE}/file", query="delete_token=b%20c")
    assert [viewer.delete_token for viewer in house.viewers] == ["a", "b c"]
    assert house.keeper.asked == 0


async def test_who_shows_nothing_is_not_looked_for(house):
    await house.get(f"{BASE}/file")
    await house.get(BASE, headers=[("accept", "*/*")])
    assert house.viewers == [ANONYMOUS, ANONYMOUS]
    assert house.viewers[0] is ANONYMOUS


async def test_accounts_are_known_by_token_and_by_cookie(house):
    _, bearer = house.keeper.sign_in()
    _, cookie = house.keeper.sign_in(SessionKind.BROWSER)
    secret = house.keeper.new_api_token()
    await house.get(f"{BASE}/file", headers=[("authorization", f"Bearer {bearer}")])
    await house.get(f"{BASE}/thumbnail", headers=[("cookie", f"chitram_session={cookie}")])
    await house.get(BASE, headers=[("authorization", f"Bearer {secret}")])
    assert [viewer.user_id for viewer in house.viewers] == [house.keeper.user.id] * 3


async def test_a_refusal_is_put_on_record(house):
    session, bearer = house.keeper.sign_in()
    house.keeper.sign_out(session)
    await house.get(f"{BASE}/file", headers=[("authorization", f"Bearer {bearer}")], **{CLIENT: "192.0.2.9"})
    [event] = house.audit.events
    assert (event.action, event.refusal) == (AuditAction.ACCESS_REFUSED, "UNAUTHORIZED")
    assert (event.actor, event.subject, event.address) == (None, IMAGE_ID, "192.0.2.9")
    assert event.details == {"method": "GET", "route": "/api/v1/images/{image_id}/file"}


@pytest.mark.parametrize("path", ["", "/file", "/thumbnail"])
async def test_bad_credentials_are_told_before_bad_queries(house, path):
    for query in ("v=1&v=1", "size=200"):
        answer = await house.get(BASE + path, query=query, headers=[("authorization", "Bearer x")])
        assert (answer.status, code_of(answer)) == (401, "UNAUTHORIZED")
    answer = await house.get(BASE + path, query="v=1&v=1", headers=[("x-delete-token", "x")])
    assert (answer.status, code_of(answer)) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ["", "/file", "/thumbnail"])
async def test_who_looks_for_what_is_hidden_is_on_record(house, path):
    _, bearer = house.keeper.sign_in()
    _, cookie = house.keeper.sign_in(SessionKind.BROWSER)
    missing = "/api/v1/images/00000000000"
    for headers, query in (
        ([], ""),
        ([("cookie", "theme=dark")], ""),
        ([("authorization", "Basic dTpw")], ""),
        ([("cookie", f"chitram_session={cookie}"), ("sec-fetch-site", "cross-site")], ""),
        ([("authorization", f"Bearer {bearer}")], ""),
        ([("cookie", f"chitram_session={cookie}")], ""),
        ([("x-delete-token", "t")], ""),
        ([], "delete%5Ftoken=t"),
    ):
        assert (await house.get(missing + path, headers=headers, query=query)).status == 404
    told = [(event.actor, event.subject, event.refusal) for event in house.audit.events]
    expected = [house.keeper.user.id] * 2 + ["delete-token"] * 2
    assert told == [(actor, "00000000000", "IMAGE_NOT_FOUND") for actor in expected]
    assert "t'" not in repr(house.audit.events).replace("'delete-token'", "")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "TRACE"])
async def test_other_methods_are_refused(house, method):
    answer = await house.get(f"{BASE}/file", method=method, headers=[("accept", "application/problem+json")])
    assert answer.status == 405
    assert answer.header("allow") == "GET, HEAD"
    assert json.loads(answer.body)["code"] == "METHOD_NOT_ALLOWED"

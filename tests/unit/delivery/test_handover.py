from dataclasses import replace

import pytest

from chitram.adapters.memory.audit import MemoryAudit
from chitram.domain.images import Visibility
from chitram.entrypoints.delivery.door import Door
from chitram.entrypoints.delivery.handover import Handover
from chitram.entrypoints.support.addresses import TrustedProxies
from chitram.entrypoints.support.auth import Gate
from chitram.settings import AppSettings, CacheSettings, Settings, SettingsError, StorageSettings
from tests.unit.delivery.test_door import DATA, Found, Opened
from tests.unit.support.asgi_client import call, make_scope
from tests.unit.support.doorkeepers import Doorkeeper
from tests.unit.support.records import IMAGE_ID, make_record

FILE, THUMBNAIL = f"/api/v1/images/{IMAGE_ID}/file", f"/api/v1/images/{IMAGE_ID}/thumbnail"
ABLE = {"x-sendfile-type": "X-Accel-Redirect"}
PROXY, STRANGER = ("127.0.0.1", 4711), ("192.0.2.7", 4711)
NOW = 1_800_000_000.75


class Shelf:
    """One image, its original and its thumbnail, in memory."""

    def __init__(self, record):
        self.record = record

    async def find(self, image_id, *, viewer):
        return Found(self.record, "MISS")

    async def open_original(self, record):
        return Opened(DATA)

    async def read(self, record, *, size):
        return b"thumb"


def record_of(visibility=Visibility.PUBLIC, **blob_changes):
    return make_record(DATA, visibility=visibility, **blob_changes)


async def ask(record, path, *, headers=ABLE, client=PROXY, method="GET", prefix="/_blobs/", seconds=2):
    handover = Handover(prefix=prefix, seconds=seconds, proxies=TrustedProxies(["127.0.0.0/8", "::1"]), now=lambda: NOW)
    shelf = Shelf(record)
    gate = Gate(Doorkeeper().authentication, public_url=None)
    door = Door(images=shelf, thumbnails=shelf, gate=gate, audit=MemoryAudit(), handover=handover)
    scope = make_scope(path, method=method, headers=tuple(headers.items()))
    scope["client"] = client
    assert door.matches(scope)
    return await call(door, scope)


async def test_a_proxy_that_can_gets_the_address_and_no_bytes():
    record = record_of()
    answer = await ask(record, FILE)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("x-accel-redirect") == f"/_blobs/{record.blob.key}"
    assert answer.header("content-length") == "0"
    assert answer.header("etag") == f'"{record.blob.sha256}"'
    assert answer.header("repr-digest")


@pytest.mark.parametrize(
    ("headers", "client", "method", "prefix"),
    [
        ({}, PROXY, "GET", "/_blobs/"),
        ({"x-sendfile-type": "X-Sendfile"}, PROXY, "GET", "/_blobs/"),
        (ABLE, STRANGER, "GET", "/_blobs/"),
        (ABLE, None, "GET", "/_blobs/"),
        (ABLE | {"x-forwarded-for": "127.0.0.1"}, STRANGER, "GET", "/_blobs/"),
        (ABLE, PROXY, "HEAD", "/_blobs/"),
        (ABLE, PROXY, "GET", ""),
        (ABLE | {"if-match": "*"}, PROXY, "GET", "/_blobs/"),
        (ABLE | {"if-unmodified-since": "Thu, 31 Dec 2099 00:00:00 GMT"}, PROXY, "GET", "/_blobs/"),
        (ABLE | {"range": "bytes=0-1,5-6"}, PROXY, "GET", "/_blobs/"),
        (ABLE | {"range": "bytes=5-2"}, PROXY, "GET", "/_blobs/"),
        (ABLE | {"range": "bytes = 0-1"}, PROXY, "GET", "/_blobs/"),
        (ABLE | {"range": "bytes=0-1", "if-range": '"another"'}, PROXY, "GET", "/_blobs/"),
    ],
)
async def test_everybody_else_and_everything_else_gets_bytes_from_us(headers, client, method, prefix):
    answer = await ask(record_of(), FILE, headers=headers, client=client, method=method, prefix=prefix)
    assert answer.status in (200, 206)
    assert answer.header("x-accel-redirect") is None
    assert answer.body or method == "HEAD"


async def test_a_plain_range_is_left_to_the_proxy():
    answer = await ask(record_of(), FILE, headers=ABLE | {"range": "bytes=1-2"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("accept-ranges") == "bytes"
    assert answer.header("repr-digest") is None


@pytest.mark.parametrize("generation", ["../../secret", "x/../y", "0\r\nx", ""])
async def test_what_is_no_key_is_never_named(generation: str):
    record = record_of()
    odd = replace(record, blob=replace(record.blob, generation=generation))
    answer = await ask(odd, FILE)
    assert answer.header("x-accel-redirect") is None


async def test_a_damaged_original_is_not_named():
    record = record_of()
    answer = await ask(replace(record, blob=replace(record.blob, size=1)), FILE)
    assert answer.status == 503
    assert answer.header("x-accel-redirect") is None


@pytest.mark.parametrize("visibility", [Visibility.PUBLIC, Visibility.UNLISTED])
async def test_a_thumbnail_for_everybody_has_a_lease_for_a_proxy(visibility):
    record = record_of(visibility)
    for headers in ({}, {"if-none-match": (await ask(record, THUMBNAIL)).header("etag")}):
        answer = await ask(record, THUMBNAIL, headers=headers)
        assert answer.status == (304 if headers else 200)
        assert answer.header("x-accel-expires") == f"@{int(NOW) + 1}"


@pytest.mark.parametrize(
    ("record", "client", "seconds"),
    [
        (record_of(Visibility.PRIVATE), PROXY, 2),
        (record_of(broken_reason="corrupt"), PROXY, 2),
        (record_of(), STRANGER, 2),
        (record_of(), None, 2),
        (record_of(), PROXY, 0),
    ],
)
async def test_there_is_no_lease_for_less(record, client, seconds):
    answer = await ask(record, THUMBNAIL, client=client, seconds=seconds)
    assert answer.status == 200
    assert answer.header("x-accel-expires") is None


def settings(*, prefix="", seconds=0, proxies=()):
    return Settings(
        app=AppSettings(trusted_proxies=proxies),
        storage=StorageSettings(accel_prefix=prefix),
        cache=CacheSettings(proxy_seconds=seconds),
    )


def test_without_settings_there_is_nothing():
    assert Handover.of(settings(proxies=("127.0.0.1",))) is None
    assert Handover.of(settings(prefix="/_blobs/", proxies=("127.0.0.1",))) is not None
    assert Handover.of(settings(seconds=1, proxies=("127.0.0.1",))) is not None


@pytest.mark.parametrize(
    ("chosen", "variable"), [({"prefix": "/_blobs/"}, "X_ACCEL_PREFIX"), ({"seconds": 1}, "PROXY_CACHE_SECONDS")]
)
def test_what_is_for_proxies_needs_one_that_is_trusted(chosen, variable: str):
    with pytest.raises(SettingsError, match=rf"^{variable}: needs TRUSTED_PROXIES"):
        settings(**chosen).checked()
    settings(**chosen, proxies=("127.0.0.1",)).checked()

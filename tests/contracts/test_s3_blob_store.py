"""The store on S3 when the service, or the way to it, does not do as it should (a promise of its own: D8)."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest

from chitram.adapters.blobs.s3 import S3BlobStore
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_requests import S3Requests
from chitram.adapters.blobs.s3_staged import PART
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.domain.errors import ChitramError, StorageFull, StorageUnavailable
from tests.contracts.test_blob_store import content, key_of, keys, noise, opened, put, staged
from tests.services.seaweed import UNHURRIED, SeaweedFS, account, s3_store
from tests.services.stand_in import (
    Asked,
    Reply,
    Rule,
    StandIn,
    complains,
    garbles,
    hangs_up,
    loses_answer,
    says,
    shortens,
    stand_in,
    truncates,
)

pytestmark = pytest.mark.slow

SMALL, LARGE = noise(100_000), noise(PART + 1_000_000, seed=2)
SIZES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["whole", "in-parts"])
WRITES = {len(SMALL): "PUT", len(LARGE): "POST"}


@pytest.fixture
def between(seaweed: SeaweedFS) -> Iterator[StandIn]:
    with stand_in(seaweed.port) as server:
        yield server


@pytest.fixture
def bucket(seaweed: SeaweedFS, between: StandIn) -> S3Bucket:
    return seaweed.bucket(port=between.port)


@pytest.fixture
async def store(bucket: S3Bucket, between: StandIn, threads: DiskThreads) -> AsyncIterator[S3BlobStore]:
    async with s3_store(bucket, threads=threads) as remote:
        between.asked.clear()
        yield remote


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def open_uploads(bucket: S3Bucket) -> int:
    answer = S3Requests(bucket.account).send("GET", bucket.path(), patience=10, query={"uploads": ""})
    assert answer.status == 200
    return answer.body.count("<Upload>")


FLEETING = {
    "500": complains(500, "InternalError"),
    "503": complains(503, "SlowDown"),
    "reset": hangs_up,
    "answer-lost": loses_answer,
    "409": complains(409, "ConditionalRequestConflict"),
    "garbled": garbles,
}


@pytest.mark.parametrize("fault", FLEETING)
async def test_a_fault_that_passes_costs_an_upload_nothing(store, staging, between, fault):
    between.rules = [Rule("PUT", "blobs/", FLEETING[fault], times=1)]
    await put(store, staging, "blobs/one", SMALL)
    assert between.count("PUT", "blobs/") >= (1 if fault == "answer-lost" else 2)
    between.rules = []
    assert await content(store, "blobs/one") == SMALL
    assert await keys(store) == ["blobs/one"]


async def test_an_answer_that_was_lost_is_found_out_and_not_guessed(store, staging, between):
    between.rules = [Rule("PUT", "blobs/", loses_answer, times=1)]
    await put(store, staging, "blobs/one", SMALL)
    assert between.count("GET", "blobs/") >= 1


@pytest.mark.parametrize(
    "fault", ["500", "garbled", *(pytest.param(f, marks=pytest.mark.soak) for f in ("503", "reset"))]
)
@SIZES
async def test_a_fault_that_stays_fails_the_upload_and_nothing_else(store, staging, between, data, fault):
    between.rules = [Rule("PUT", "blobs/bad", FLEETING[fault])]
    with pytest.raises(StorageUnavailable):
        await put(store, staging, "blobs/bad", data)
    assert await store.head("blobs/bad") is None
    await put(store, staging, "blobs/good", SMALL)
    assert await keys(store) == ["blobs/good"]


@pytest.mark.parametrize("answer", [complains(507, "XMinioStorageFull"), complains(403, "QuotaExceeded")])
@SIZES
async def test_a_service_without_room_says_so(store, staging, between, data, answer):
    between.rules = [Rule(WRITES[len(data)], "blobs/", answer)]
    with pytest.raises(StorageFull):
        await put(store, staging, "blobs/one", data)
    between.rules = []
    assert await store.head("blobs/one") is None


async def test_thumbnails_meet_the_same_faults(store, between):
    between.rules = [Rule("PUT", "thumbs/", complains(503, "SlowDown"), times=1)]
    await store.put_disposable("thumbs/one", b"thumbnail")
    assert await content(store, "thumbs/one") == b"thumbnail"
    between.rules = [Rule("PUT", "thumbs/", complains(500, "InternalError"))]
    with pytest.raises(StorageUnavailable):
        await store.put_disposable("thumbs/one", b"another")
    between.rules = [Rule("PUT", "thumbs/", complains(507, "XMinioStorageFull"))]
    with pytest.raises(StorageFull):
        await store.put_disposable("thumbs/one", b"another")
    between.rules = []
    assert await content(store, "thumbs/one") == b"thumbnail"


@SIZES
async def test_putting_the_very_same_bytes_again_is_fine(store, staging, data):
    key = key_of(data)
    await put(store, staging, key, data)
    await put(store, staging, key, data)
    with pytest.raises(StorageUnavailable):
        await put(store, staging, key, data[:-1] + b"x")
    assert await content(store, key) == data


async def test_a_large_upload_that_ends_in_an_error_in_a_good_answer_has_failed(store, staging, between, bucket):
    """Services answer 200 to the last request of an upload in parts before they know how it ends."""
    error = "<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We failed</Message></Error>"
    between.rules = [Rule("POST", "uploadId=", says(200, error))]
    with pytest.raises(StorageUnavailable):
        await put(store, staging, "blobs/large", LARGE)
    assert await store.head("blobs/large") is None
    await until(lambda: open_uploads(bucket) == 0)


async def test_a_large_upload_whose_last_answer_was_lost_has_succeeded(store, staging, between, bucket):
    between.rules = [Rule("POST", "uploadId=", loses_answer, times=1)]
    await put(store, staging, "blobs/large", LARGE)
    assert await content(store, "blobs/large") == LARGE
    await until(lambda: open_uploads(bucket) == 0)


#: What has the first attempt at an upload in parts fail, and leave something open. The driver sends a request up to
#: three times, and ends the upload itself if it can.
LEFTOVERS = {
    "begun-unheard": (3, [Rule("POST", "?uploads", loses_answer, times=3)]),
    "not-ended": (
        1,
        [
            Rule("POST", "uploadId=", complains(500, "InternalError"), times=3),
            Rule("DELETE", "uploadId=", complains(500, "InternalError"), times=3),
        ],
    ),
}


@pytest.mark.parametrize("left", LEFTOVERS)
async def test_a_large_upload_that_succeeds_at_the_second_attempt_leaves_nothing_open(
    store, staging, between, bucket, left
):
    requests = S3Requests(bucket.account)
    another = requests.send("POST", bucket.path("blobs/large.2"), patience=10, query={"uploads": ""})
    assert another.status == 200
    between.asked.clear()
    count, rules = LEFTOVERS[left]
    between.rules = [replace(rule) for rule in rules]
    await put(store, staging, "blobs/large", LARGE)
    assert between.count("POST", "?uploads") == count + 1
    await until(lambda: open_uploads(bucket) == 1)
    listed = requests.send("GET", bucket.path(), patience=10, query={"uploads": ""})
    assert listed.first("Key") == "blobs/large.2", "that is somebody else's"
    assert await content(store, "blobs/large") == LARGE


async def test_a_large_upload_that_is_cancelled_leaves_nothing_open(store, staging, between, bucket):
    reached, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(60)
        return pass_on(asked)

    between.rules = [Rule("PUT", "partNumber=2", hold)]
    async with staged(staging, LARGE) as file:
        task = asyncio.create_task(store.put("blobs/large", file))
        async with asyncio.timeout(30):
            await reached.wait()
        assert await asyncio.to_thread(open_uploads, bucket) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go_on.set()
    async with asyncio.timeout(30):
        while await asyncio.to_thread(open_uploads, bucket):
            await asyncio.sleep(0.02)
    assert await store.head("blobs/large") is None


async def test_uploads_that_a_dead_process_left_open_are_ended_at_a_start(seaweed, threads):
    bucket = seaweed.bucket()
    async with s3_store(bucket, threads=threads):
        begun = S3Requests(bucket.account).send("POST", bucket.path("blobs/x"), patience=10, query={"uploads": ""})
    assert begun.status == 200
    async with s3_store(bucket, threads=threads):
        assert open_uploads(bucket) == 1  # that of a live process, as far as can be told

    class Tomorrow(SystemClock):
        def now(self):
            return super().now().replace(year=super().now().year + 1)

    late = S3BlobStore(bucket, threads=threads, clock=Tomorrow(), patience=UNHURRIED)
    await late.prepare(owner="d1", expect_data=False, within=30)
    await late.aclose()
    assert open_uploads(bucket) == 0


@SIZES
async def test_bytes_that_changed_on_our_own_disk_are_not_stored(store, staging, data):
    async with staged(staging, data) as file:
        await file.flush()
        os.pwrite(file.fileno(), bytes([data[1000] ^ 1]), 1000)
        with pytest.raises(StorageUnavailable):
            await store.put("blobs/one", file)
    assert await store.head("blobs/one") is None


async def test_a_service_that_checks_nothing_is_checked(seaweed, between, threads, staging):
    bucket = seaweed.bucket(port=between.port)
    wrong = b"not what was sent" + bytes(len(SMALL) - 17)

    def keeps_something_else(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
        S3Requests(account(seaweed.port)).send("PUT", asked.target, patience=10, body=wrong)
        return Reply(200, {"ETag": f'"{hashlib.md5(asked.body).hexdigest()}"'})

    between.rules = [Rule("PUT", "-checksum", says(200)), Rule("PUT", "blobs/bad", keeps_something_else)]
    async with s3_store(bucket, threads=threads) as store:
        await put(store, staging, "blobs/good", SMALL)
        with pytest.raises(StorageUnavailable):
            await put(store, staging, "blobs/bad", SMALL)
        assert await content(store, "blobs/good") == SMALL


@pytest.mark.parametrize("fault", [truncates, shortens, hangs_up, complains(500, "InternalError")])
async def test_a_read_that_comes_short_once_is_repeated(store, staging, between, fault):
    data = noise(3_000_000)
    await put(store, staging, "blobs/one", data)
    between.rules = [Rule("GET", "blobs/", fault, times=1), Rule("GET", "blobs/", fault, times=1, skip=1)]
    async with opened(store, "blobs/one") as blob:
        got = b"".join([await blob.read(n, min(256 * 1024, blob.size - n)) for n in range(0, blob.size, 256 * 1024)])
    assert got == data


@pytest.mark.parametrize(
    "fault",
    [
        truncates,
        shortens,
        says(200, "no picture"),
        pytest.param(hangs_up, marks=pytest.mark.soak),
        pytest.param(complains(503, "SlowDown"), marks=pytest.mark.soak),
        pytest.param(complains(403, "AccessDenied"), marks=pytest.mark.soak),
    ],
)
async def test_a_read_that_always_comes_short_is_an_error_and_never_short(store, staging, between, fault):
    await put(store, staging, "blobs/one", noise(1_000_000))
    async with opened(store, "blobs/one") as blob:
        between.rules = [Rule("GET", "blobs/", fault)]
        assert await blob.read(0, 1000) == noise(1_000_000)[:1000]  # opening brought these along
        with pytest.raises(StorageUnavailable):
            await blob.read(500_000, 1000)
        with pytest.raises(StorageUnavailable):
            await store.open("blobs/one")


async def test_a_server_that_ignores_ranges_never_gives_wrong_bytes(store, staging, between):
    """As some proxies do: 200 and the whole of it."""
    data = noise(1_000_000)
    await put(store, staging, "blobs/one", data)
    async with opened(store, "blobs/one") as blob:

        def ignores(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
            whole = S3Requests(account(between.target)).send("GET", asked.target.partition("?")[0], patience=10)
            return Reply(200, {"ETag": '"x"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, whole.body.encode())

        between.rules = [Rule("GET", "blobs/", ignores)]
        with pytest.raises(StorageUnavailable):
            await blob.read(500_000, 1000)


async def test_bytes_of_two_objects_never_mix(store, staging):
    first, second = noise(1_000_000, seed=1), noise(1_000_000, seed=2)
    await store.put_disposable("thumbs/one", first)
    async with opened(store, "thumbs/one") as blob:
        assert await blob.read(0, 100) == first[:100]
        await store.put_disposable("thumbs/one", second)
        with pytest.raises(StorageUnavailable):
            await blob.read(500_000, 100)


async def test_bytes_of_two_objects_never_mix_though_the_service_ignores_the_condition(store, between):
    first, second = noise(1_000_000, seed=1), noise(1_000_000, seed=2)
    await store.put_disposable("thumbs/one", first)
    async with opened(store, "thumbs/one") as blob:

        def ignores(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
            fields = {name.lower(): value for name, value in asked.headers.items()}
            start, end = (int(n) for n in fields["range"].removeprefix("bytes=").split("-"))
            head = {
                "ETag": '"another"',
                "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
                "Content-Range": f"bytes {start}-{end}/{len(second)}",
            }
            return Reply(206, head, second[start : end + 1])

        between.rules = [Rule("GET", "thumbs/", ignores)]
        with pytest.raises(StorageUnavailable):
            await blob.read(500_000, 100)


async def test_a_small_object_takes_one_request_and_a_large_one_few(store, staging, between):
    await store.put_disposable("thumbs/one", noise(20_000))
    await put(store, staging, "blobs/one", noise(5_000_000))
    between.asked.clear()
    assert len(await content(store, "thumbs/one")) == 20_000
    assert len(between.asked) == 1
    between.asked.clear()
    async with opened(store, "blobs/one") as blob:
        for offset in range(0, blob.size, 256 * 1024):
            await blob.read(offset, min(256 * 1024, blob.size - offset))
    assert len(between.asked) <= 6


async def test_a_list_that_breaks_off_is_an_error_and_never_a_short_list(store, between):
    await asyncio.gather(*(store.put_disposable(f"blobs/{n:04d}", b"") for n in range(30)))

    def pages(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
        reply = pass_on(asked)
        body = reply.body.replace(b"<IsTruncated>false</IsTruncated>", b"<IsTruncated>true</IsTruncated>"
                                  b"<NextContinuationToken>more</NextContinuationToken>")  # fmt: skip
        return Reply(200, reply.headers, body)

    between.rules = [
        Rule("GET", "continuation-token", complains(500, "InternalError")),
        Rule("GET", "list-type=2", pages, times=1),
    ]
    with pytest.raises(StorageUnavailable):
        await keys(store, "blobs/")
    assert between.count("GET", "continuation-token") > 0


async def test_erasing_is_repeated_and_a_failure_of_it_is_told(store, between):
    await store.put_disposable("thumbs/one", b"1")
    between.rules = [Rule("DELETE", "thumbs/", complains(503, "SlowDown"), times=1)]
    await store.erase("thumbs/one")
    assert await store.head("thumbs/one") is None
    between.rules = [Rule("DELETE", "thumbs/", complains(500, "InternalError"))]
    with pytest.raises(StorageUnavailable):
        await store.erase("thumbs/one")
    between.rules = [Rule("DELETE", "thumbs/", complains(404, "NoSuchKey"))]
    await store.erase("thumbs/one")


async def test_nothing_is_missing_from_a_bucket_that_is_not_ours(store, between, seaweed, bucket):
    """A bucket that somebody took away must not look like one without objects: rows would be taken for damaged."""
    await store.put_disposable("thumbs/one", b"1")
    requests = S3Requests(bucket.account)
    assert requests.send("DELETE", bucket.path(".chitram-store"), patience=10).status == 204
    with pytest.raises(StorageUnavailable):
        await store.head("blobs/none")
    with pytest.raises(StorageUnavailable):
        await store.open("blobs/none")
    with pytest.raises(StorageUnavailable):
        await keys(store)
    with pytest.raises(StorageUnavailable):
        await store.check()


async def test_a_check_sees_what_cannot_be_written(store, between):
    between.rules = [Rule("PUT", ".chitram-probe", complains(403, "AccessDenied"))]
    with pytest.raises(StorageUnavailable):
        await store.check()
    between.rules = []
    await store.check()
    between.asked.clear()
    await store.check()
    assert between.count("PUT") == 0  # it was written to a moment ago


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE"])
async def test_no_message_tells_where_the_store_is(store, staging, between, bucket, method):
    between.rules = [Rule(method, "blobs/", complains(500, "InternalError"))]
    acts = {
        "PUT": lambda: put(store, staging, "blobs/one", SMALL),
        "GET": lambda: store.open("blobs/one"),
        "HEAD": lambda: store.head("blobs/one"),
        "DELETE": lambda: store.erase("blobs/one"),
    }
    with pytest.raises(ChitramError) as caught:
        await acts[method]()
    shown = f"{caught.value.message} {caught.value.details}"
    for private in ("blobs", bucket.name, "127.0.0.1", bucket.account.access_key, bucket.account.secret_key):
        assert private not in shown

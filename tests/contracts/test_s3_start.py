"""A server that starts on S3: the bucket is made, recognised, or refused in one line that says what to look at."""

import asyncio
import subprocess
import sys

import pytest

from chitram.adapters.blobs.s3 import S3BlobStore
from chitram.adapters.blobs.s3_bucket import UnfitStore
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_requests import S3Requests
from chitram.adapters.blobs.s3_signing import S3Account
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from tests.services.chaos import chaos
from tests.services.processes import free_port
from tests.services.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedFS, account, s3_store
from tests.services.stand_in import Asked, Reply, Rule, complains, says, stand_in

pytestmark = pytest.mark.slow


async def prepare(bucket: S3Bucket, threads: DiskThreads, *, owner="d1", expect_data=False, within=30.0) -> None:
    store = S3BlobStore(bucket, threads=threads, clock=SystemClock())
    try:
        await store.prepare(owner=owner, expect_data=expect_data, within=within)
    finally:
        await store.aclose()


async def refusal(bucket: S3Bucket, threads: DiskThreads, **options) -> str:
    """The line that says why not."""
    with pytest.raises(UnfitStore) as caught:
        await prepare(bucket, threads, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("MINIO_")
    assert SECRET_KEY not in line
    return line


async def test_the_bucket_is_made_once_and_recognised_then(seaweed: SeaweedFS, threads):
    bucket = seaweed.bucket()
    await prepare(bucket, threads)
    await prepare(bucket, threads)
    await prepare(bucket, threads, expect_data=True)
    listed = S3Requests(bucket.account).send("GET", bucket.path(), patience=10, query={"list-type": "2"})
    assert [line.partition("</Key>")[0] for line in listed.body.split("<Key>")[1:]] == [".chitram-store"]


async def test_another_databases_bucket_is_refused(seaweed, threads):
    bucket = seaweed.bucket()
    await prepare(bucket, threads, owner="d1")
    line = await refusal(bucket, threads, owner="d2")
    assert line.startswith("MINIO_BUCKET")
    assert "another database" in line


async def test_an_empty_bucket_is_refused_when_images_are_recorded(seaweed, threads):
    line = await refusal(seaweed.bucket(), threads, expect_data=True)
    assert line.startswith("MINIO_BUCKET")


async def test_a_bucket_with_something_else_in_it_is_refused(seaweed, threads):
    bucket = seaweed.bucket()
    requests = S3Requests(bucket.account)
    assert requests.send("PUT", bucket.path(), patience=10).status == 200
    assert requests.send("PUT", bucket.path("holiday.jpg"), patience=10, body=b"x").status == 200
    assert "holiday.jpg" in await refusal(bucket, threads)


async def test_of_two_databases_that_start_together_one_gets_the_bucket(seaweed, threads):
    bucket = seaweed.bucket()
    ends = await asyncio.gather(
        *(prepare(bucket, threads, owner=f"d{n % 2}") for n in range(4)), return_exceptions=True
    )
    refused = [isinstance(end, UnfitStore) for end in ends]
    assert refused in ([False, True] * 2, [True, False] * 2), ends


@pytest.mark.parametrize(
    ("access_key", "secret_key", "variable"),
    [("nobody", SECRET_KEY, "MINIO_ACCESS_KEY"), (ACCESS_KEY, "not the secret", "MINIO_SECRET_KEY")],
)
async def test_wrong_credentials_are_named(seaweed, threads, access_key, secret_key, variable):
    bucket = S3Bucket(account(seaweed.port, access_key=access_key, secret_key=secret_key), seaweed.new_bucket())
    line = await refusal(bucket, threads)
    assert line.startswith(f"{variable}:")


@pytest.mark.parametrize("name", ["ab", "Images", "a_b", "", "a" * 64, "a/b", "..", "-a-", "a b c", "../../x"])
async def test_a_name_that_no_bucket_can_have_is_refused_without_asking(threads, name):
    line = await refusal(S3Bucket(account(free_port()), name), threads)
    assert line.startswith("MINIO_BUCKET:")


async def test_a_name_that_the_service_does_not_take_is_named(seaweed, threads):
    assert (await refusal(seaweed.bucket("192.168.5.4"), threads)).startswith("MINIO_BUCKET:")


@pytest.mark.parametrize(
    ("code", "status", "variable"),
    [
        ("AuthorizationHeaderMalformed", 400, "MINIO_REGION"),
        ("PermanentRedirect", 301, "MINIO_REGION"),
        ("RequestTimeTooSkewed", 403, "MINIO_ENDPOINT"),
        ("AccessDenied", 403, "MINIO_ACCESS_KEY"),
        ("", 400, "MINIO_ENDPOINT"),
    ],
)
async def test_what_the_service_complains_about_is_said_in_our_words(seaweed, threads, code, status, variable):
    with stand_in(seaweed.port) as between:
        between.rules = [Rule("GET", "list-type", complains(status, code) if code else says(status, "<html>"))]
        line = await refusal(seaweed.bucket(port=between.port), threads)
    assert line.startswith(f"{variable}:")


async def test_a_key_that_may_only_read_is_refused(seaweed, threads):
    bucket = seaweed.bucket()
    await prepare(bucket, threads)
    with stand_in(seaweed.port) as between:
        between.rules = [Rule("PUT", ".chitram-", complains(403, "AccessDenied"))]
        line = await refusal(S3Bucket(account(between.port), bucket.name), threads)
    assert line.startswith("MINIO_ACCESS_KEY:")


async def test_a_service_without_conditional_writes_is_refused(seaweed, threads):
    def unconditionally(asked: Asked, pass_on) -> Reply:
        answer = S3Requests(account(seaweed.port)).send("PUT", asked.target, patience=10, body=asked.body)
        return Reply(answer.status, {"ETag": '"x"'})

    bucket = seaweed.bucket()
    with stand_in(seaweed.port) as between:
        between.rules = [Rule("PUT", ".chitram-probe", unconditionally)]
        line = await refusal(S3Bucket(account(between.port), bucket.name), threads)
        assert "If-None-Match" in line
        between.rules = [Rule("PUT", ".chitram-probe", complains(501, "NotImplemented"))]
        assert "If-None-Match" in await refusal(S3Bucket(account(between.port), bucket.name), threads)


async def test_a_service_that_gives_other_ranges_is_refused(seaweed, threads):
    def shifted(asked: Asked, pass_on) -> Reply:
        reply = pass_on(asked)
        return Reply(reply.status, reply.headers, b"fir")

    with stand_in(seaweed.port) as between:
        between.rules = [Rule("GET", ".chitram-probe", shifted)]
        assert "Range" in await refusal(seaweed.bucket(port=between.port), threads)


async def test_a_service_that_is_not_there_is_waited_for_and_then_named(threads):
    line = await refusal(S3Bucket(account(free_port()), "images"), threads, within=0.6)
    assert line.startswith("MINIO_ENDPOINT:")
    assert "MINIO_STARTUP_TIMEOUT" in line


async def test_a_service_that_hangs_is_not_waited_for_longer(seaweed, threads):
    with chaos(seaweed.port) as proxy:
        proxy.reset(black_hole=True)
        line = await refusal(seaweed.bucket(port=proxy.port), threads, within=0.6)
    assert line.startswith("MINIO_ENDPOINT:")


async def test_a_service_that_speaks_no_tls_is_named(seaweed, threads):
    encrypted = S3Account(f"https://127.0.0.1:{seaweed.port}", access_key="K", secret_key="S", region="r")
    line = await refusal(S3Bucket(encrypted, "images"), threads, within=0.6)
    assert line.startswith("MINIO_ENDPOINT:")
    assert "MINIO_SECURE" in line


async def test_a_service_that_comes_up_meanwhile_is_used(seaweed, threads):
    with stand_in(seaweed.port) as between:
        between.rules = [Rule("GET", "list-type", complains(503, "XMinioServerNotInitialized"), times=3)]
        await prepare(seaweed.bucket(port=between.port), threads)
        assert between.count("GET", "list-type") >= 4


FORKING = """
import asyncio, os, sys
from chitram.adapters.blobs.s3 import S3BlobStore
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from tests.services.seaweed import account

async def use(threads, *, put):
    store = S3BlobStore(S3Bucket(account(int(sys.argv[1])), sys.argv[2]), threads=threads, clock=SystemClock())
    await store.prepare(owner="d1", expect_data=False, within=30)
    if put:
        await store.put_disposable("thumbs/one", b"1")
    await store.aclose()

def run(put):
    threads = DiskThreads(workers=1)
    asyncio.run(asyncio.wait_for(use(threads, put=put), 60))
    threads.close()

run(put=False)
child = os.fork()
if child == 0:
    try:
        run(put=True)
        os._exit(0)
    finally:
        os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_may_fork_after_it_made_sure_of_its_store(seaweed):
    """As a worker does; what the driver has begun before would be dead in the child."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING, str(seaweed.port), seaweed.new_bucket()]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


def test_a_server_on_a_disk_does_not_carry_the_driver():
    script = "import sys, chitram.entrypoints.asgi, chitram.entrypoints.cli.main; print('obstore' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


async def test_what_the_environment_says_of_aws_is_of_no_account(seaweed, threads, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "token",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_REGION": "eu-north-1",
    }.items():
        monkeypatch.setenv(name, value)
    async with s3_store(seaweed.bucket(), threads=threads) as store:
        await store.put_disposable("thumbs/one", b"1")
        assert (await store.head("thumbs/one")).size == 1

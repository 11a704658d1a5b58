"""Links by which clients fetch originals from the S3 service itself, and the server that hands them out."""

import asyncio
import hashlib
import random
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from chitram.adapters.blobs.s3_links import S3Links
from chitram.adapters.blobs.s3_requests import S3Requests
from chitram.adapters.memory.clock import SystemClock
from tests.factories.servers import UNLIMITED, running_server
from tests.faults.traffic import UPLOAD, form, heavy_picture
from tests.services.seaweed import SECRET_KEY, SeaweedFS

pytestmark = pytest.mark.slow

DATA = random.Random(7).randbytes(50_000)
KEY = "blobs/ab/" + "ab" * 32 + ".000000000001"
FIELDS = {
    "content_type": "image/webp",
    "disposition": "attachment; filename=\"a b.webp\"; filename*=UTF-8''%E0%B0%9A%E0%B0%BF.webp",
    "cache_control": "private, no-store",
}


@pytest.fixture
def links(seaweed: SeaweedFS) -> S3Links:
    bucket = seaweed.bucket()
    requests = S3Requests(bucket.account)
    assert requests.send("PUT", bucket.path(), patience=10).status == 200
    assert requests.send("PUT", bucket.path(KEY), patience=10, body=DATA).status == 200
    return S3Links(bucket, clock=SystemClock())


async def test_a_link_gives_the_bytes_with_our_fields(links: S3Links):
    url = await links.signed_url(KEY, expires=timedelta(seconds=60), **FIELDS)
    whole = httpx.get(url)
    assert (whole.status_code, whole.content) == (200, DATA)
    assert whole.headers["content-type"] == "image/webp"
    assert whole.headers["content-disposition"] == FIELDS["disposition"]
    assert whole.headers["cache-control"] == "private, no-store"
    part = httpx.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, DATA[10:20])


async def test_a_link_is_for_one_object_one_act_and_a_while(links: S3Links):
    url = await links.signed_url(KEY, expires=timedelta(seconds=60), **FIELDS)
    assert httpx.get(url.replace(KEY, KEY[:-1] + "2")).status_code == 403
    assert httpx.get(url.replace("image%2Fwebp", "text%2Fhtml")).status_code == 403
    assert httpx.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000")).status_code == 403
    assert httpx.put(url, content=b"x").status_code == 403
    assert httpx.delete(url).status_code == 403
    assert httpx.get(url.partition("?")[0]).status_code == 403
    brief = await links.signed_url(KEY, expires=timedelta(seconds=1), **FIELDS)
    async with asyncio.timeout(30):
        while httpx.get(brief).status_code != 403:
            await asyncio.sleep(0.2)


def test_a_server_redirects_who_may_see_an_original(seaweed: SeaweedFS, tmp_path: Path):
    settings = seaweed.environment(MINIO_DELIVERY="redirect", **UNLIMITED)
    data = heavy_picture(random.Random(1), size=20_000)
    with running_server(tmp_path, **settings) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        made = client.post(UPLOAD, files=form(data)).json()
        path = f"/api/v1/images/{made['id']}/file"
        sent = client.get(path)
        assert (sent.status_code, sent.content) == (307, b"")
        assert sent.headers["cache-control"] == "private, no-store"  # unlisted
        assert SECRET_KEY not in str(sent.headers)
        followed = client.get(path, follow_redirects=True)
        assert hashlib.sha256(followed.content).hexdigest() == made["sha256"]
        assert followed.headers["content-type"] == "image/png"
        part = client.get(path, headers={"Range": "bytes=5-9"}, follow_redirects=True)
        assert (part.status_code, part.content) == (206, followed.content[5:10])
        asked = client.head(path)
        assert (asked.status_code, asked.headers["content-length"]) == (200, str(len(followed.content)))
        assert client.get(path, headers={"If-None-Match": asked.headers["etag"]}).status_code == 304
        assert client.get(f"/api/v1/images/{made['id']}/thumbnail").status_code == 200
        # A page may show pictures from there.
        policy = client.get(f"/image/{made['id']}").headers["content-security-policy"]
        assert f"img-src 'self' http://{urlsplit(sent.headers['location']).netloc} " in policy
        client.delete(f"/api/v1/images/{made['id']}", headers={"X-Delete-Token": made["delete_token"]})
        assert client.get(path).status_code == 404

"""Requests that try to reach what is not theirs: by paths, ranges and methods."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.raw import converse, request
from tests.faults.traffic import UPLOAD, form

pytestmark = pytest.mark.slow

#: What no answer may contain, whatever goes wrong.
TELLING = re.compile(r"Traceback|site-packages|\.py\b|sqlite|SELECT |/(?:tmp|root|home)/|uvicorn|Starlette|FastAPI\b")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("misuse"), **UNLIMITED, LOG_LEVEL="debug") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def image(client: httpx.Client) -> str:
    identity: str = client.post(UPLOAD, files=form(pictures.jpeg(200, 150, grain=0.2))).json()["id"]
    return identity


@pytest.fixture
def size(client: httpx.Client, image: str) -> int:
    return int(client.head(f"/api/v1/images/{image}/file").headers["content-length"])


# ---------------------------------------------------------------------------------------------------------- paths

IDS = [
    "..", "../../chitram.db", "..%2f..%2fchitram.db", "%2e%2e%2f%2e%2e%2fchitram.db", "..%5c..%5cchitram.db",
    "%252e%252e%252fchitram.db", "..%c0%af..%c0%afchitram.db", "....//....//chitram.db", "/etc/passwd",
    "%2fetc%2fpasswd",
    "%00", "AAAAAAAAAAA%00", "AAAAAAAAAAA%0a", "AAAAAAAAAA%41", "AAAAAAAAAA", "AAAAAAAAAAAA", "CON", "NUL.jpg",
    "C:%5cboot.ini", "%ef%bc%a1AAAAAAAAAA", "%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1%d9%a1",
    "'%20OR%201=1--", "%25s%25n", "{{7*7}}", "AAAAAAAAAA*", "AAAAAAAAAA_", "AAAAAAAAAA%25", "a" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["", "/file", "/thumbnail", "/checksum", "/similar"])
def test_no_id_reaches_anything_else(server: Server, suffix: str):
    for identity in IDS:
        answers = converse(server.port, request("GET", f"/api/v1/images/{identity}{suffix}", "Connection: close"))
        assert answers.statuses in ([404], [400]), (identity, answers.data[:300])
        assert b"SQLite format" not in answers.data
        assert not TELLING.search(answers.data.partition(b"\r\n\r\n")[2].decode())


def test_no_id_deletes_or_verifies_anything_else(server: Server):
    for identity in IDS:
        for method, suffix in (("DELETE", ""), ("POST", "/verify")):
            head = request(method, f"/api/v1/images/{identity}{suffix}", "X-Delete-Token: x", "Connection: close")
            assert converse(server.port, head).statuses in ([404], [400], [405]), (method, identity)


# ---------------------------------------------------------------------------------------------------------- ranges

RANGES = {
    "a thousand": "bytes=" + ",".join(f"{n}-{n}" for n in range(1_000)),
    "overlapping": "bytes=" + ",".join(["0-"] * 200),
    "no bytes from the end": "bytes=-0",
    "beyond the end": "bytes=99999999-",
    "huge": "bytes=0-" + "9" * 4_000,
    "huge start": "bytes=" + "9" * 4_000 + "-",
    "backwards": "bytes=5-2",
    "negative": "bytes=--5",
    "no numbers": "bytes=-",
    "blank": "bytes=",
    "other unit": "pages=1-2",
    "other digits": "bytes=\xb2-\xb3",
    "many blanks": "bytes=" + " " * 5_000 + "0-1",
    "many commas": "bytes=" + "," * 5_000 + "0-1",
}


@pytest.mark.parametrize("value", RANGES.values(), ids=RANGES.keys())
def test_ranges_never_cost_more_than_the_file(server: Server, image: str, size: int, value: str):
    head = request("GET", f"/api/v1/images/{image}/file", f"Range: {value}", "Connection: close")
    answers = converse(server.port, head)
    assert answers.statuses in ([200], [206], [416])
    # Multipart heads included: what is asked for twice is not sent without bound.
    assert len(answers.data) < 2 * size + 20_000


# ---------------------------------------------------------------------------------------------------------- methods


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "POST", "OPTIONS", "PROPFIND", "DEBUG", "PATCH"])
@pytest.mark.parametrize("suffix", ["", "/file", "/thumbnail", "/checksum"])
def test_methods_that_are_none_of_ours(server: Server, image: str, method: str, suffix: str):
    head = request(method, f"/api/v1/images/{image}{suffix}", "X-Canary: canary", "Connection: close")
    answers = converse(server.port, head)
    # The image itself knows PATCH, which is its owner's.
    refusals = ([403],) if (method, suffix) == ("PATCH", "") else ([405], [400])
    assert answers.statuses in refusals
    assert b"canary" not in answers.data.lower().replace(b"x-canary", b"")
    if answers.statuses == [405]:
        assert re.search(rb"\r\nallow: [A-Z, ]*GET", answers.data)


@pytest.mark.parametrize("field", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_methods_are_not_overridden(client: httpx.Client, field: str):
    uploaded = client.post(UPLOAD, files=form(pictures.png(seed=3))).json()
    path, token = f"/api/v1/images/{uploaded['id']}", uploaded["delete_token"]
    client.get(path, headers={field: "DELETE", "X-Delete-Token": token}, params={"_method": "DELETE"})
    client.post(path, headers={field: "DELETE", "X-Delete-Token": token}, data={"_method": "DELETE"})
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("suffix", ["", "/file", "/thumbnail"])
def test_head_is_get_without_a_body(client: httpx.Client, image: str, suffix: str):
    path = f"/api/v1/images/{image}{suffix}"
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    ignored = {"date", "x-request-id", "x-cache", "repr-digest"}
    assert {k: v for k, v in head.headers.items() if k not in ignored} == {
        k: v for k, v in whole.headers.items() if k not in ignored
    }


def test_reading_never_deletes(client: httpx.Client):
    uploaded = client.post(UPLOAD, files=form(pictures.png(seed=4))).json()
    for method in ("GET", "HEAD"):
        for suffix in ("", "/file", "/thumbnail", "/delete"):
            client.request(
                method,
                f"/api/v1/images/{uploaded['id']}{suffix}",
                params={"delete_token": uploaded["delete_token"]},
                headers={"X-Delete-Token": uploaded["delete_token"]},
            )
    assert client.get(f"/api/v1/images/{uploaded['id']}").status_code == 200

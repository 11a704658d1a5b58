"""Nobody can find out by uploading whether somebody else has the same file."""

import random
import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.counts import SOAK
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.traffic import UPLOAD, form, heavy_picture

pytestmark = pytest.mark.slow

PAIRS = 300
#: Known bytes save a write to the disk; the decode, which comes first either way, has to outweigh that.
MOST = 3.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("oracle"), **UNLIMITED) as running:
        yield running


def shape(value: object) -> object:
    """Names and types of an answer, without what has to differ."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return type(value).__name__


def describe(answer: httpx.Response) -> tuple[object, ...]:
    body = answer.json()
    told = {key: body[key] for key in ("file_size", "width", "height", "sha256", "thumbnail_ready", "duplicate_of")}
    headers = [(name, len(value)) for name, value in answer.headers.multi_items() if name != "date"]
    return answer.status_code, shape(body), told, headers


def test_known_and_unknown_bytes_are_answered_alike(server: Server):
    data = heavy_picture(random.Random(1), size=50_000)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        first, second = (client.post(UPLOAD, files=form(data)) for _ in range(2))
        assert describe(first) == describe(second)
        assert first.json()["id"] != second.json()["id"]
        assert first.json()["delete_token"] != second.json()["delete_token"]
        # The token of one says nothing about the other.
        refused = client.delete(
            f"/api/v1/images/{first.json()['id']}", headers={"X-Delete-Token": second.json()["delete_token"]}
        )
        assert refused.status_code == 403
        # Deleting one leaves no trace in what is told of the other.
        before = client.get(f"/api/v1/images/{second.json()['id']}").json()
        token = first.json()["delete_token"]
        gone = client.delete(f"/api/v1/images/{first.json()['id']}", headers={"X-Delete-Token": token})
        assert gone.status_code == 204
        assert client.get(f"/api/v1/images/{second.json()['id']}").json() == before


@pytest.mark.soak
def test_known_and_unknown_bytes_take_about_as_long(server: Server, proof):
    assert SOAK
    dice = random.Random(2)
    unknown, known = [], []
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(PAIRS):
            data = heavy_picture(dice, size=200_000)
            for times in (unknown, known):
                started = time.perf_counter()
                assert client.post(UPLOAD, files=form(data)).status_code == 201
                times.append(time.perf_counter() - started)
    ratio = statistics.median(unknown) / statistics.median(known)
    proof.record(
        "Uploading tells nothing of others' files",
        "median time of unknown bytes over that of known ones",
        f"{ratio:.2f}",
    )
    assert 1 / MOST < ratio < MOST

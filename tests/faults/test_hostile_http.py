"""Files that were made to do harm, through the door that everybody uses."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories import hostile, pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.onlookers import Onlooker, onlooker
from tests.faults.stampede import persistent
from tests.faults.traffic import UPLOAD, form

pytestmark = pytest.mark.slow

ALL_FORMATS = "image/jpeg,image/png,image/webp,image/gif,image/avif"
DECODE_MEMORY = 512
#: The server holds pieces of files and a cache of small thumbnails, never a picture: some 90 MiB when it has warmed up.
SERVER_BUDGET = 160
#: A decoder is an idle one, some 35 MiB, and what its limit lets it take.
DECODER_BUDGET = DECODE_MEMORY + 64
#: Reasons that a refusal may give; a crash or a timeout would be one too many for files that are known.
REASONS = {"unsupported_type", "corrupt", "truncated", "too_many_pixels", "too_many_frames"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"ALLOWED_CONTENT_TYPES": ALL_FORMATS, "DECODE_MEMORY_MB": str(DECODE_MEMORY), "MAX_FILE_SIZE_MB": "8"}
    with running_server(tmp_path_factory.mktemp("hostile"), **UNLIMITED, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def others(server: Server, client: httpx.Client) -> Iterator[Onlooker]:
    """Somebody else, whose picture is asked for all the time while the attacks go on."""
    uploaded = client.post(UPLOAD, files=form(pictures.jpeg(80, 60))).json()
    assert server.process is not None
    with onlooker(server.url, server.process.pid, path=f"/api/v1/images/{uploaded['id']}/thumbnail?size=150") as seen:
        yield seen


def upload(client: httpx.Client, data: bytes) -> httpx.Response:
    """The answer; who is asked to come back on a busy machine does so."""
    return persistent(lambda http: http.post(UPLOAD, files=form(data)))(client)


def check_stored(client: httpx.Client, answer: httpx.Response) -> bytes:
    """What was accepted is served, inert, with the hash that was answered; its bytes."""
    body = answer.json()
    stored = client.get(f"/api/v1/images/{body['id']}/file")
    assert stored.status_code == 200
    assert hashlib.sha256(stored.content).hexdigest() == body["sha256"]
    assert stored.headers["content-type"] == body["content_type"]
    assert stored.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/api/v1/images/{body['id']}/thumbnail").status_code == 200
    return stored.content


@pytest.mark.parametrize("name", sorted(hostile.REFUSED.keys() - {"empty"}))
def test_a_bad_file_is_refused_with_its_reason(client: httpx.Client, others: Onlooker, name: str):
    make, reason = hostile.REFUSED[name]
    answer = upload(client, make())
    detail = answer.json()["detail"]
    assert (answer.status_code, detail["code"]) == (400, "INVALID_FILE_FORMAT"), answer.text
    assert detail["details"]["reason"] == reason
    assert others.failures == []


@pytest.mark.parametrize("name", sorted(hostile.ACCEPTED))
def test_what_is_a_picture_too_is_kept_without_the_rest(client: httpx.Client, others: Onlooker, name: str):
    answer = upload(client, hostile.ACCEPTED[name]())
    assert answer.status_code == 201, answer.text
    stored = check_stored(client, answer)
    for trace in (b"<script", b"PK\3\4", b"PK\5\6", pictures.SECRET):
        assert trace not in stored
    assert others.failures == []


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "avif"])
def test_spoilt_pictures_are_refused_or_harmless(client: httpx.Client, others: Onlooker, kind: str, proof):
    data = getattr(pictures, kind)(96, 72, seed=5)
    tries = count(40, 2_000)
    spoilt = [*hostile.truncations(data, step=max(1, len(data) // tries)), *hostile.bit_flips(data, count=tries)]
    taken = 0
    for number, bad in enumerate(spoilt):
        answer = upload(client, bad)
        if not bad:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (400, "INVALID_REQUEST")
        elif answer.status_code == 201:
            taken += 1
            check_stored(client, answer)
        else:
            detail = answer.json()["detail"]
            assert (answer.status_code, detail["code"]) == (400, "INVALID_FILE_FORMAT"), (number, answer.text)
            assert detail["details"]["reason"] in REASONS
    assert others.failures == []
    proof.record(
        "A hostile file costs its own request at most", f"spoilt {kind}s: sent, taken as pictures, answered with 5xx",
        f"{len(spoilt)}, {taken}, 0",
    )  # fmt: skip


def test_a_bomb_cannot_be_hidden_by_what_is_said_about_it(client: httpx.Client, others: Onlooker):
    """Name and declared type decide nothing."""
    bomb = hostile.png_bomb()
    for filename, declared in (("a.jpg", "image/jpeg"), ("a", "application/octet-stream"), ("a.svg", "image/svg+xml")):
        answer = client.post(UPLOAD, files={"file": (filename, bomb, declared)})
        assert answer.status_code == 400
        assert answer.json()["detail"]["details"]["reason"] == "too_many_pixels"
    answer = client.post(UPLOAD, files={"file": ("a.html", pictures.png(), "text/html")})
    assert answer.json()["detail"]["details"]["reason"] == "type_mismatch"
    assert others.failures == []


def test_memory_stays_within_its_budget_and_others_are_served(
    server: Server, client: httpx.Client, others: Onlooker, proof
):
    """Everything once more at the same time, then the account of what the onlookers saw."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda make: upload(client, make()), [*hostile.HOSTILE.values()] * count(1, 20)))
    assert {answer.status_code for answer in answers} == {201, 400}
    assert others.failures == []
    assert others.answered
    assert others.server < SERVER_BUDGET
    assert others.decoder < DECODER_BUDGET
    assert client.get("/health").json()["status"] == "healthy"
    assert "Traceback" not in server.log.read_text()
    proof.record(
        "A hostile file costs its own request at most",
        "memory of the server and of the largest decoder under attack, MiB; slowest small request of others, ms",
        f"{others.server:.0f}, {others.decoder:.0f}; {others.slowest * 1000:.0f}",
    )


def test_errors_tell_nothing_about_the_inside(server: Server, client: httpx.Client):
    for make in hostile.HOSTILE.values():
        text = upload(client, make()).text
        for telling in (
            str(Path.cwd()),
            str(server.directory),
            "Traceback",
            "site-packages",
            "sqlite",
            "pyvips",
            "PIL",
        ):
            assert telling not in text, json.loads(text)

"""A whole server on a disk that is full: uploads are refused, everything else goes on, and room is all it needs."""

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server
from tests.faults.disks import Disk, mounted_disk
from tests.faults.traffic import UPLOAD, Deletion, Ledger, form, heavy_picture

pytestmark = pytest.mark.slow

SETTINGS = {
    **UNLIMITED,
    "MAX_FILE_SIZE_MB": "1",
    "COLLECT_GRACE_SECONDS": "0",
    "SWEEP_INTERVAL_SECONDS": "0.2",
}


@contextmanager
def server_on(directory: Path, disk: Disk, *, reserve: int) -> Iterator[Server]:
    settings = {**SETTINGS, "STORAGE_RESERVE_MB": str(reserve)}
    server = Server(directory, settings=settings, data=disk.inside / "data", launcher=disk.launcher)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def upload(client: httpx.Client, ledger: Ledger, data: bytes) -> httpx.Response:
    answer = client.post(UPLOAD, files=form(data))
    if answer.status_code == 201:
        ledger.add(answer, sha256=hashlib.sha256(data).hexdigest())
    return answer


def fill(client: httpx.Client, ledger: Ledger, *, size: int, dice: random.Random) -> httpx.Response:
    """Upload until the server refuses; its refusal."""
    for _ in range(400):
        answer = upload(client, ledger, heavy_picture(dice, size=size))
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk never got full")


def settled(disk: Disk) -> dict[str, Any]:
    """The census once the collector and jobs are between two rounds; what it says after a while is final."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = disk.census(disk.inside / "data")
        if not found["violations"] and not found["orphans"]:
            break
        time.sleep(0.1)
    return found


def expect_full(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["detail"]["code"]) == (507, "STORAGE_FULL"), answer.text


def expect_service(client: httpx.Client, ledger: Ledger) -> None:
    """Everything but uploads goes on."""
    for entry in ledger.entries.values():
        ledger.check(client, entry)
        if entry.deletion is Deletion.NONE:
            assert client.get(f"/api/v1/images/{entry.id}").status_code == 200
    assert ledger.unexpected == []
    assert client.get("/health/live").status_code == 200
    assert client.get("/api/v1/images").status_code == 200


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_no_room_at_all(tmp_path: Path, kind: str):
    """Without a reserve the disk is really full, for files and for the database alike."""
    dice, ledger = random.Random(11), Ledger()
    with (
        mounted_disk(tmp_path, kind=kind, size="24M") as disk,
        server_on(tmp_path, disk, reserve=0) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        # The early check asks for twice the largest file: take what is left after that away.
        expect_full(fill(client, ledger, size=700_000, dice=dice))
        refused = upload(client, ledger, pictures.png())
        expect_full(refused)
        ballast = disk.outside / "ballast"
        with ballast.open("wb", buffering=0) as file:
            free_down_to(file, disk, left=0)
        expect_full(upload(client, ledger, pictures.png()))
        expect_service(client, ledger)
        assert client.get("/health").status_code in (200, 503)
        ballast.unlink()
        victims = list(ledger.entries.values())[: len(ledger.entries) // 2]
        for entry in victims:
            ledger.delete(client, entry)
        assert ledger.unexpected == []
        await_room(client, ledger, dice)
        expect_service(client, ledger)
        census = settled(disk)
        assert census["violations"] == []
        assert census["staged"] == []
        assert "Traceback" not in client.get("/health").text


def free_down_to(file, disk: Disk, *, left: int) -> None:
    """Write into `file` until the disk is full, then give `left` bytes back."""
    size = 0
    for block in (1 << 20, 1 << 14, 1 << 10, 1):
        try:
            while True:
                size += file.write(bytes(block))
        except OSError:
            file.seek(size)
    file.truncate(max(0, size - left))


def await_room(client: httpx.Client, ledger: Ledger, dice: random.Random) -> None:
    """Room came back: uploads are taken again, by the same process, as soon as the collector has been there."""
    deadline = time.monotonic() + 20
    while (answer := upload(client, ledger, heavy_picture(dice, size=200_000))).status_code != 201:
        expect_full(answer)
        assert time.monotonic() < deadline, "room came back and uploads did not"
        time.sleep(0.1)


SIZE = 300_000


def squeezed_upload(disk: Disk, data: bytes, *, left: int) -> Iterator[bytes]:
    """A form in whose middle the disk fills up, but for `left` bytes."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + data[:1000]
    time.sleep(0.2)
    with (disk.outside / "ballast").open("wb", buffering=0) as file:
        free_down_to(file, disk, left=left)
    yield data[1000:] + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    "lefts", [range(0, 300_000, 60_000), range(300_000, 480_000, 12_000)], ids=["file", "database"]
)
def test_room_that_ends_in_the_middle_of_an_upload(tmp_path: Path, lefts: range):
    """The early check passes; then the disk fills up, so that the file or the rows that come after it find no room."""
    dice, ledger = random.Random(13), Ledger()
    outcomes = set()
    with (
        mounted_disk(tmp_path, kind="ext4", size="24M") as disk,
        server_on(tmp_path, disk, reserve=0) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        upload(client, ledger, pictures.png())
        for left in lefts:
            data = heavy_picture(dice, size=SIZE)
            fields = {"Content-Type": "multipart/form-data; boundary=b"}
            answer = client.post(UPLOAD, content=squeezed_upload(disk, data, left=left), headers=fields)
            outcomes.add(answer.status_code)
            if answer.status_code == 201:
                ledger.add(answer, sha256=hashlib.sha256(data).hexdigest())
            else:
                expect_full(answer)
            expect_service(client, ledger)
            # Deleting needs a little of the database's room; where there is none it is refused honestly.
            ledger.delete(client, next(iter(ledger.surviving())))
            (disk.outside / "ballast").unlink()
            await_room(client, ledger, dice)
            expect_service(client, ledger)
        census = settled(disk)
        assert census["violations"] == []
        assert census["orphans"] == [], "a refused upload left its bytes behind"
    assert 507 in outcomes


def test_the_reserve_keeps_room_for_everything_else(tmp_path: Path):
    dice, ledger = random.Random(12), Ledger()
    with (
        mounted_disk(tmp_path, kind="ext4", size="40M") as disk,
        server_on(tmp_path, disk, reserve=8) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        refused = fill(client, ledger, size=900_000, dice=dice)
        expect_full(refused)
        assert int(refused.headers["retry-after"]) >= 1
        expect_service(client, ledger)
        # Refused early: the reserve is still there, and deletes find the room that they need.
        for entry in list(ledger.entries.values()):
            ledger.delete(client, entry)
        assert ledger.busy == 0
        assert ledger.unexpected == []
        await_room(client, ledger, dice)
        assert client.get("/health").json()["status"] == "healthy"

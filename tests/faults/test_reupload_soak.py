"""Deleting and uploading the same few pictures at the same time, with a collector that never waits: nothing is lost.

That it can fail was seen with each of these taken out of the code: the look at the state under the row's lock in
`Collector._mark_erasing`; the comparison of generations in `Uploads._adopt`; `revive` there together with the new count
of images in the collector, each of which makes up for the other.
"""

import hashlib
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import ENDED, UNLIMITED, running_server
from tests.faults.census import take_census
from tests.faults.traffic import UPLOAD, Deletion, Entry, Ledger, Work, form, pictures_of, traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(14_400)]

CLIENTS = 4
CONTENTS = 3
#: Images that a client keeps at most: so few that contents die out all the time.
KEPT = 2
SETTINGS = {**UNLIMITED, "COLLECT_GRACE_SECONDS": "0", "SWEEP_INTERVAL_SECONDS": "0.005", "LOG_LEVEL": "warning"}


class Tally:
    """Ends the traffic after so many operations."""

    def __init__(self, operations: int) -> None:
        self.enough = threading.Event()
        self._left = operations
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self.enough.set()


def toss(ledger: Ledger, contents: list[bytes], *, tally: Tally) -> Work:
    """Upload one of the pictures and read it at once, or read and delete one."""
    own: list[Entry] = []

    def work(client: httpx.Client, dice: random.Random) -> None:
        tally.count()
        if len(own) >= KEPT or (own and dice.random() < 0.5):
            entry = own.pop(dice.randrange(len(own)))
            ledger.check(client, entry)
            ledger.delete(client, entry)
            ledger.check(client, entry)
            return
        data = dice.choice(contents)
        entry = ledger.add(client.post(UPLOAD, files=form(data)), sha256=hashlib.sha256(data).hexdigest())
        if entry is not None:
            own.append(entry)
            ledger.check(client, entry)

    return work


def delete_at_last(client: httpx.Client, entry: Entry) -> None:
    """Delete what may still be there: also where the server was too busy to say whether it did so."""
    while entry.deletion is not Deletion.ANSWERED:
        answer = client.delete(f"/api/v1/images/{entry.id}", headers={"X-Delete-Token": entry.token})
        if answer.status_code in (204, 404):
            assert answer.status_code == 204 or entry.deletion is Deletion.ASKED, answer.text
            entry.deletion = Deletion.ANSWERED
        else:
            assert answer.status_code == 503, answer.text
            time.sleep(0.05)


def await_empty_store(data: Path) -> None:
    deadline = time.monotonic() + 20
    while (census := take_census(data)).blobs and time.monotonic() < deadline:
        time.sleep(0.05)
    assert census.blobs == []
    assert census.objects == {}
    assert census.thumbnails == {}
    assert census.stray_bands == 0


def test_delete_against_upload_of_the_same_bytes(tmp_path: Path, proof):
    operations = count(2_000, 100_000)
    ledger, tally = Ledger(), Tally(operations)
    contents = pictures_of(7, count=CONTENTS)
    with running_server(tmp_path, **SETTINGS) as server:
        works = [toss(ledger, contents, tally=tally) for _ in range(CLIENTS)]
        with traffic(server.url, works, seed=1):
            assert tally.enough.wait(timeout=operations)
        assert ledger.unexpected == []
        generations = len({path.name for path in (tmp_path / "data/storage/blobs").rglob("*.*")})
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for entry in ledger.entries.values():
                ledger.check(client, entry)
            assert ledger.unexpected == []
            for entry in ledger.entries.values():
                delete_at_last(client, entry)
        await_empty_store(server.data)
        assert server.stop() in ENDED
    assert ledger.unexpected == []
    assert generations <= CONTENTS
    proof.record(
        "Deleting never takes bytes that an upload counts on",
        f"{CLIENTS} clients, {CONTENTS} pictures, collector without grace: operations, uploads, deletes; lost",
        f"{operations}, {len(ledger.entries)}, {ledger.deletions}; 0",
    )

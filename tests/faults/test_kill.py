"""kill -9 at any instant: what was answered stays, what was deleted stays deleted, and the litter goes by itself."""

import asyncio
import os
import random
import time
from pathlib import Path

import httpx
import pytest

from chitram.bootstrap import operating
from chitram.settings import AppSettings, HousekeepingSettings, Settings
from tests.counts import count
from tests.factories.servers import ENDED, UNLIMITED, Server
from tests.faults.census import Census, take_census
from tests.faults.traffic import Deletion, Entry, Ledger, come_and_go, pictures_of, traffic

pytestmark = pytest.mark.slow

CLIENTS = 4
#: What is left behind has to be gone this soon after a start, in seconds.
PATIENCE = 20.0
#: Kills between two of these sweeps: nearly each leaves an object, and the sweep takes over a hundred for a sign
#: that rows are missing.
SWEEP_EVERY = 25
SETTINGS = {**UNLIMITED, "COLLECT_GRACE_SECONDS": "0", "SWEEP_INTERVAL_SECONDS": "0.2"}


def settled_census(server: Server) -> Census:
    """The census once nothing is under way any more; what it says after PATIENCE is final."""
    deadline = time.monotonic() + PATIENCE
    while True:
        census = take_census(server.data)
        # Jobs that were running come back when their lease is over; until then the sweepers do their work.
        unfinished = census.violations() or census.staged or census.jobs["ready"] or census.unrendered()
        if not unfinished or time.monotonic() > deadline:
            return census
        time.sleep(0.1)


def check(server: Server, ledger: Ledger, entries: list[Entry]) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for entry in entries:
            ledger.check(client, entry)
            if entry.deletion is Deletion.NONE:
                answer = client.get(f"/api/v1/images/{entry.id}/thumbnail")
                if answer.status_code != 200 or not answer.content:
                    ledger.unexpected.append(f"{entry.id}/thumbnail: {answer.status_code} {answer.text[:200]}")


def let_files_age(server: Server) -> None:
    """Make everything in the store look two days old."""
    then = time.time() - 2 * 86_400
    for path in (server.data / "storage").rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def sweep_days_later(server: Server) -> None:
    """What the sweep finds that looks for objects without a row."""
    server.kill()
    let_files_age(server)
    asyncio.run(erase_orphans(server))
    server.start()


async def erase_orphans(server: Server) -> None:
    """What the sweeper does that only begins when a server has been up for some minutes."""
    app, housekeeping = AppSettings(env="test", data_dir=server.data), HousekeepingSettings(collect_grace_seconds=0)
    async with operating(Settings(app=app, housekeeping=housekeeping)) as application:
        await application.collector.erase_orphans()


def one_round(server: Server, ledger: Ledger, *, seed: int) -> None:
    """Traffic, an end in the middle of it, a start, and a look at everything that this round did."""
    dice = random.Random(seed)
    before = set(ledger.entries)
    shared = pictures_of(seed % 3, count=4)
    with traffic(server.url, [come_and_go(ledger, shared=shared) for _ in range(CLIENTS)], seed=seed):
        time.sleep(dice.uniform(0.02, 0.7))
        server.kill()
    server.start()
    census = settled_census(server)
    assert census.violations() == []
    assert census.staged == []
    assert census.unrendered() == []
    assert census.jobs["ready"] == census.jobs["dead"] == 0
    old = [ledger.entries[key] for key in dice.sample(sorted(before), min(20, len(before)))]
    check(server, ledger, old + [entry for key, entry in ledger.entries.items() if key not in before])
    assert ledger.unexpected == []


@pytest.mark.parametrize("mode", ["inline", "background"])
def test_killed_at_any_instant(tmp_path: Path, mode: str, proof):
    rounds = count(5, 100)
    server = Server(tmp_path, settings={**SETTINGS, "THUMBNAIL_MODE": mode})
    ledger = Ledger()
    try:
        server.start()
        for number in range(rounds):
            one_round(server, ledger, seed=number)
            if number % SWEEP_EVERY == SWEEP_EVERY - 1:
                sweep_days_later(server)
        check(server, ledger, list(ledger.entries.values()))
        assert ledger.unexpected == []
        sweep_days_later(server)
        census = settled_census(server)
        assert census.orphans() == []
        assert {entry.id for entry in ledger.surviving()} <= set(census.images)
        examined = server.chitram("doctor")
        assert examined.returncode == 0, examined.stdout + examined.stderr
        assert server.stop() in ENDED
    finally:
        server.kill()
    assert ledger.entries
    proof.record(
        "An answered upload survives kill -9",
        f"{mode} thumbnails: kills, answered uploads, answered deletes; lost or revived",
        f"{rounds}, {len(ledger.entries)}, {ledger.deletions}; 0",
    )

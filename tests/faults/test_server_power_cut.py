"""The whole server loses its disk at a random instant; what was answered is there when the power comes back."""

import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import UNLIMITED, Server
from tests.faults.disks import Disk, mounted_disk
from tests.faults.powercut.godown import cut_power
from tests.faults.traffic import Deletion, Ledger, come_and_go, pictures_of, traffic

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

CLIENTS = 3
SETTINGS = {**UNLIMITED, "STORAGE_RESERVE_MB": "1", "COLLECT_GRACE_SECONDS": "0", "SWEEP_INTERVAL_SECONDS": "0.2"}

#: Objects whose upload was cut off wait for their grace period; jobs that were running come back when their lease is
#: over, and until then the sweepers do their work.
SETTLED = {"violations": [], "orphans": [], "staged": [], "unrendered": [], "ready": 0, "dead": 0}


def one_round(server: Server, disk: Disk, ledger: Ledger, *, seed: int) -> None:
    dice = random.Random(seed)
    before = set(ledger.entries)
    server.start()
    works = [come_and_go(ledger, shared=pictures_of(seed % 3, count=4)) for _ in range(CLIENTS)]
    with traffic(server.url, works, seed=seed) as stop:
        time.sleep(dice.uniform(0.02, 0.8))
        # A real machine sends nothing once its power is gone. Here the server lives on for a moment, on a file system
        # that was shut down, and there an fsync that was under way may report success for what is lost.
        with ledger.lock:
            ledger.dark = True
        cut_power(str(disk.outside))
        time.sleep(0.05)
        stop.set()
        server.kill()
    disk.unmount()
    disk.mount()
    ledger.dark = False
    server.start()
    found = settled(disk)
    assert found | {"orphans": []} == SETTLED
    fresh = [entry for key, entry in ledger.entries.items() if key not in before]
    old = [ledger.entries[key] for key in dice.sample(sorted(before), min(20, len(before)))]
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for entry in old + fresh:
            ledger.check(client, entry)
            if entry.deletion is Deletion.NONE:
                assert client.get(f"/api/v1/images/{entry.id}/thumbnail").status_code == 200
    assert ledger.unexpected == []
    server.kill()


def settled(disk: Disk) -> dict[str, Any]:
    """The census once nothing is under way any more; what it says after a while is final."""
    deadline = time.monotonic() + 40
    while True:
        found = disk.census(disk.inside / "data")
        if found | {"orphans": []} == SETTLED or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


@pytest.mark.parametrize("mode", ["inline", "background"])
def test_what_was_answered_survives_a_power_cut(tmp_path: Path, mode: str, proof):
    rounds = count(2, 100)
    ledger = Ledger()
    with mounted_disk(tmp_path, kind="ext4", size="512M") as disk:
        settings = {**SETTINGS, "THUMBNAIL_MODE": mode}
        server = Server(tmp_path, settings=settings, data=disk.inside / "data", launcher=disk.launcher)
        try:
            for number in range(rounds):
                one_round(server, disk, ledger, seed=number)
            server.start()
            with httpx.Client(base_url=server.url, timeout=60) as client:
                for entry in ledger.entries.values():
                    ledger.check(client, entry)
            assert ledger.unexpected == []
            examined = server.chitram("doctor", "--json")
            assert examined.returncode in (0, 1), examined.stdout + examined.stderr
        finally:
            server.kill()
    proof.record(
        "An answered upload survives a power cut",
        f"whole server, {mode} thumbnails: cuts, answered uploads, answered deletes; lost, changed or revived",
        f"{rounds}, {len(ledger.entries)}, {ledger.deletions}; 0",
    )

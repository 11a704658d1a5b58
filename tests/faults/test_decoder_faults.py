"""Decoders and their parent are killed under real uploads: whoever is being served may fail, nobody after them."""

import hashlib
import random
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.counts import count
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.onlookers import onlooker
from tests.faults.traffic import UPLOAD, Ledger, Work, form, picture, traffic

pytestmark = pytest.mark.slow

WORKERS = 2
DECODE_MEMORY = 256
SETTINGS = {**UNLIMITED, "DECODE_WORKERS": str(WORKERS), "DECODE_MEMORY_MB": str(DECODE_MEMORY)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, **SETTINGS) as running:
        yield running


def fork_server(server: Server) -> psutil.Process | None:
    """The process that decoders are forked from."""
    assert server.process is not None
    found = [p for p in psutil.Process(server.process.pid).children() if "forkserver" in " ".join(p.cmdline())]
    return found[0] if found else None


def kill_something(server: Server, dice: random.Random, *, parent: bool) -> bool:
    """kill -9 the fork server or one of its decoders; whether there was one."""
    try:
        victim = fork_server(server)
        if victim is not None and not parent:
            victim = dice.choice(victim.children() or [None])
        if victim is None:
            return False
        victim.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def upload_all_the_time(ledger: Ledger, outcomes: Counter[str]) -> Work:
    """New pictures, so that each is decoded. A killed decoder may cost its upload; nothing else may happen."""

    def work(client: httpx.Client, dice: random.Random) -> None:
        data = picture(dice, side=32)
        answer = client.post(UPLOAD, files=form(data))
        if answer.status_code == 400 and answer.json()["detail"]["details"].get("reason") == "decoder_crashed":
            outcomes["crashed"] += 1
            return
        if ledger.add(answer, sha256=hashlib.sha256(data).hexdigest()):
            outcomes["kept"] += 1

    return work


@pytest.mark.parametrize("parent", [False, True], ids=["decoders", "fork server"])
def test_killed_under_load(server: Server, parent: bool, proof):
    kills = count(6, 300)
    ledger, outcomes, dice = Ledger(), Counter[str](), random.Random(3)
    done = 0
    with traffic(server.url, [upload_all_the_time(ledger, outcomes)] * 4, seed=5):
        while done < kills:
            time.sleep(dice.uniform(0.05, 0.4))
            done += kill_something(server, dice, parent=parent)
    assert ledger.unexpected == []
    assert outcomes["kept"]
    # At most what was being decoded when the kill came.
    assert outcomes["crashed"] + ledger.busy <= kills * WORKERS
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for seed in range(2 * WORKERS):
            assert client.post(UPLOAD, files=form(pictures.jpeg(seed=seed))).status_code == 201
        for entry in ledger.entries.values():
            ledger.check(client, entry)
        assert client.get("/health").json()["status"] == "healthy"
    assert ledger.unexpected == []
    proof.record(
        "A lost decoder costs the request it served",
        f"{'fork server' if parent else 'decoder'} killed under load: kills; uploads kept, refused as crashed, put off",
        f"{kills}; {outcomes['kept']}, {outcomes['crashed']}, {ledger.busy}",
    )


def test_stopped_decoders_are_given_up(tmp_path: Path):
    """A decoder that hangs is killed after its time; the uploads behind it go on."""
    settings = {**SETTINGS, "DECODE_CPU_SECONDS": "1", "DECODE_TIMEOUT_SECONDS": "2", "DECODE_WORKERS": "1"}
    with running_server(tmp_path, **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post(UPLOAD, files=form(pictures.png())).status_code == 201
        parent = fork_server(server)
        assert parent is not None
        (decoder,) = parent.children()
        decoder.suspend()
        answer = client.post(UPLOAD, files=form(pictures.png(seed=1)))
        assert answer.status_code == 400
        assert answer.json()["detail"]["details"]["reason"] == "decode_timeout"
        assert client.post(UPLOAD, files=form(pictures.png(seed=1))).status_code == 201
        assert not decoder.is_running()


def costly_png(side: int) -> bytes:
    """A whole picture of few bytes and `side`² pixels."""
    return pictures.png_of(side, side, rows=zlib.compress(bytes(side * (1 + 3 * side)), 9))


def test_a_picture_that_needs_too_much_memory_costs_its_own_request(server: Server, proof):
    """Within the budget of pixels, and beyond the memory of a decoder."""
    interlaced = bytearray(costly_png(9_000))
    interlaced[28] = 1
    interlaced[29:33] = zlib.crc32(interlaced[12:29]).to_bytes(4, "big")
    assert server.process is not None
    uploaded = httpx.post(f"{server.url}{UPLOAD}", files=form(pictures.png()), timeout=30).json()
    with (
        onlooker(server.url, server.process.pid, path=f"/api/v1/images/{uploaded['id']}/thumbnail") as others,
        httpx.Client(base_url=server.url, timeout=60) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        for answer in pool.map(lambda bomb: client.post(UPLOAD, files=form(bomb)), [bytes(interlaced)] * 4):
            assert answer.status_code in (201, 400), answer.text
            if answer.status_code == 400:
                assert answer.json()["detail"]["code"] == "INVALID_FILE_FORMAT"
        assert client.post(UPLOAD, files=form(pictures.png(seed=2))).status_code == 201
    assert others.failures == []
    assert others.decoder < DECODE_MEMORY + 100
    assert others.server < 160
    proof.record(
        "A lost decoder costs the request it served",
        f"pictures of 81 megapixels, interlaced, at {DECODE_MEMORY} MiB: peak of a decoder, MiB",
        f"{others.decoder:.0f}",
    )


def test_the_fork_server_leaves_no_wakeup_descriptor_behind():
    """A child that dies after the loop's end would otherwise have its signal written to a closed descriptor."""
    script = (
        "import signal, socket\n"
        "from chitram.adapters.codec.forkserver import serve\n"
        "near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "near.close()\n"
        "serve(far, jobs='tests.faults.stillborn_jobs', memory_bytes=1 << 30, cpu_seconds=5)\n"
        "print(signal.set_wakeup_fd(-1))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "-1", done.stderr

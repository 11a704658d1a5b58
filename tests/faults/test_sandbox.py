"""A decoder that crashes, hangs, grows, lies or tries to get out costs one request, and nothing else."""

import asyncio
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from chitram.adapters.codec.sandbox import SandboxedCodec
from chitram.adapters.codec.wire import Reply, budget_to_json, largest_reply, parse_ingested, parse_inspected
from chitram.domain.errors import InvalidFileFormat, InvalidReason, ServiceUnavailable, UploadBusy
from chitram.domain.media import FORMATS, Budget
from tests.factories import hostile, pictures

pytestmark = pytest.mark.slow

BUDGET = Budget(frozenset(FORMATS), max_pixels=10_000, max_frames=10, max_total_pixels=100_000)
JOBS = "tests.faults.misbehaving_jobs"


@asynccontextmanager
async def sandbox(*, jobs: str = JOBS, **settings: Any) -> AsyncIterator[SandboxedCodec]:
    chosen = {
        "workers": 1,
        "memory_bytes": 256 << 20,
        "cpu_seconds": 20.0,
        "wall_seconds": 60.0,
        "recycle_after": 100,
        "strip_metadata": True,
        **settings,
    }
    codec = await SandboxedCodec.start(jobs=jobs, **chosen)
    try:
        yield codec
    finally:
        await codec.aclose()


@pytest.fixture
def fd() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(b"hello")
        file.flush()
        yield file.fileno()


def same(reply: Reply) -> Reply:
    return reply


async def run(codec: SandboxedCodec, job: str, fd: int, **arguments: object) -> Mapping[str, Any]:
    return (await codec.run(job, fd=fd, arguments=arguments, parse=same, at_most=1 << 20)).result


async def refused(codec: SandboxedCodec, job: str, fd: int, **arguments: object) -> InvalidReason:
    with pytest.raises(InvalidFileFormat) as refusal:
        await run(codec, job, fd, **arguments)
    return refusal.value.reason


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def children(codec: SandboxedCodec) -> list[psutil.Process]:
    return psutil.Process(codec.pid).children()


@pytest.mark.parametrize("job", ["segfault", "abort", "leave", "exhaust", "fail"])
async def test_a_crash_costs_one_request(fd: int, job: str) -> None:
    async with sandbox() as codec:
        before = (await run(codec, "echo", fd))["pid"]
        assert await refused(codec, job, fd) is InvalidReason.DECODER_CRASHED
        after = await run(codec, "echo", fd)
        assert after["text"] == "hello"
        assert after["pid"] != before
        assert codec.stats().crashes == 1
        assert codec.stats().timeouts == 0


async def test_cpu_time_is_limited(fd: int) -> None:
    async with sandbox(cpu_seconds=0.5) as codec:
        assert await refused(codec, "burn", fd) is InvalidReason.DECODE_TIMEOUT
        assert (await run(codec, "echo", fd))["text"] == "hello"
        assert codec.stats().timeouts == 1


async def test_cpu_time_is_limited_for_each_file_and_not_for_all(fd: int) -> None:
    async with sandbox(cpu_seconds=0.5) as codec:
        first = await run(codec, "echo", fd)
        for _ in range(30):
            assert (await run(codec, "echo", fd))["pid"] == first["pid"]


@pytest.mark.parametrize("job", ["sleep", "hold_the_lock"])
async def test_wall_clock_time_is_limited(fd: int, job: str) -> None:
    async with sandbox(wall_seconds=0.3) as codec:
        assert await refused(codec, job, fd) is InvalidReason.DECODE_TIMEOUT
        assert (await run(codec, "echo", fd))["text"] == "hello"
        await until(lambda: len(children(codec)) == 1)


async def test_memory_is_limited(fd: int) -> None:
    async with sandbox() as codec:
        assert await run(codec, "allocate", fd) == {"mapped": "ENOMEM", "taken": "MemoryError"}


async def test_there_is_no_way_out(fd: int) -> None:
    async with sandbox() as codec:
        found = dict(await run(codec, "escape", fd))
        # The standard three, the channel and the file.
        assert (found.pop("descriptors"), found.pop("core")) == (5, 0)
        assert found == dict.fromkeys(found, "EPERM")
        assert len(found) == 16
        assert os.pread(fd, 5, 0) == b"hello"


async def test_no_file_can_be_opened(fd: int, tmp_path: Path) -> None:
    """A decoder that was taken over must not be able to hand out secrets through a reply."""
    secret = tmp_path / "secret.key"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    paths = [
        secret,
        tmp_path,
        "/etc/passwd",
        "/proc/self/fd",
        f"/proc/{os.getpid()}/environ",
        f"/proc/{os.getpid()}/mem",
    ]
    async with sandbox() as codec:
        found = await run(codec, "steal", fd, paths=[str(path) for path in paths])
        assert len(found) == 6 * (len(paths) + 3)
        assert set(found.values()) == {"EACCES", "EPERM", "ENOSYS"}
        assert {answer for way, answer in found.items() if way.endswith(" open")} == {"EACCES"}
    assert secret.read_text() == "hunter2"


async def test_without_landlock_files_are_out_of_reach_too(fd: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with sandbox(jobs="tests.faults.old_kernel_jobs") as codec:
        found = await run(codec, "steal", fd, paths=["/etc/passwd"])
        assert set(found.values()) == {"EACCES", "EPERM", "ENOSYS"}
    assert caplog.text.count("Decoding processes run without Landlock:") == 1


async def test_a_kernel_that_has_it_all_is_not_complained_of(fd: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with sandbox() as codec:
        await run(codec, "echo", fd)
    assert "run without" not in caplog.text


async def test_no_call_leads_out(fd: int) -> None:
    async with sandbox() as codec:
        found = await run(codec, "call", fd)
        assert {name: answer for name, answer in found.items() if answer not in {"EPERM", "ENOSYS"}} == {}


async def test_processes_own_nothing_and_are_the_first_to_go(fd: int) -> None:
    async with sandbox() as codec:
        found = await run(codec, "identity", fd)
        nobody = 65_534 if os.geteuid() == 0 else os.geteuid()
        assert found["user"] == nobody
        assert found["effective"][0] == nobody
        (process,) = children(codec)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert re.search(r"CapPrm:\t0+\nCapEff:\t0+\n", status)
        if os.geteuid() == 0:
            assert re.search(r"Groups:\s*\n", status)
            # Not dumpable: what belongs to the process is out of reach even of others that are nobody.
            assert Path(f"/proc/{process.pid}/mem").stat().st_uid == 0
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"


async def test_processes_see_no_environment_and_are_polite(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "hunter2")
    async with sandbox() as codec:
        found = await run(codec, "echo", fd)
        assert "JWT_SECRET_KEY" not in found["environment"]
        assert found["nice"] >= 10


async def test_processes_are_replaced_after_so_many_files(fd: int) -> None:
    async with sandbox(recycle_after=2) as codec:
        pids = [(await run(codec, "echo", fd))["pid"] for _ in range(6)]
        assert [len({*pids[at : at + 2]}) for at in (0, 2, 4)] == [1, 1, 1]
        assert len(set(pids)) == 3
        await until(lambda: len(children(codec)) <= 1)


async def test_requests_are_served_in_order(fd: int) -> None:
    async with sandbox() as codec:
        served: list[int] = []

        async def request(number: int) -> None:
            await run(codec, "echo", fd, seconds=0.01)
            served.append(number)

        await asyncio.gather(*(request(number) for number in range(20)))
        assert served == list(range(20))


async def test_too_many_waiting_requests_are_sent_away(fd: int) -> None:
    async with sandbox() as codec:
        holder = asyncio.create_task(run(codec, "sleep", fd))
        await until(lambda: codec.stats().busy == 1)
        waiting = [asyncio.create_task(run(codec, "echo", fd)) for _ in range(64)]
        await until(lambda: codec.stats().waiting == 64)
        with pytest.raises(UploadBusy) as busy:
            await run(codec, "echo", fd)
        assert busy.value.retry_after
        holder.cancel()
        assert {reply["text"] for reply in await asyncio.gather(*waiting)} == {"hello"}
        with pytest.raises(asyncio.CancelledError):
            await holder


async def test_a_cancelled_request_poisons_nothing(fd: int) -> None:
    async with sandbox() as codec:
        before = (await run(codec, "echo", fd))["pid"]
        for delay in (0.0, 0.001, 0.01, 0.05):
            running = asyncio.create_task(run(codec, "echo", fd, seconds=5))
            queued = asyncio.create_task(run(codec, "echo", fd, seconds=5))
            await asyncio.sleep(delay)
            queued.cancel()
            running.cancel()
            await asyncio.gather(running, queued, return_exceptions=True)
        with tempfile.TemporaryFile() as other:
            other.write(b"mine")
            other.flush()
            found = await run(codec, "echo", other.fileno())
        assert found["text"] == "mine"
        assert found["pid"] != before
        assert codec.stats().waiting == codec.stats().busy == 0
        await until(lambda: len(children(codec)) == 1)


async def test_a_dead_idle_process_is_not_blamed_on_the_next_file(fd: int) -> None:
    async with sandbox() as codec:
        for _ in range(5):
            pid = (await run(codec, "echo", fd))["pid"]
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not psutil.pid_exists(pid))
            assert (await run(codec, "echo", fd))["text"] == "hello"


async def test_a_dead_fork_server_is_replaced_and_its_processes_die_with_it(fd: int) -> None:
    async with sandbox() as codec:
        first = (await run(codec, "echo", fd))["pid"]
        server = codec.pid
        running = asyncio.create_task(run(codec, "echo", fd, seconds=0.5))
        await until(lambda: codec.stats().busy == 1)
        os.kill(server, signal.SIGKILL)
        assert (await running)["text"] == "hello"
        assert codec.pid != server
        assert codec.stats().restarts == 1
        await until(lambda: not psutil.pid_exists(first) and not psutil.pid_exists(server))


async def test_closing_ends_every_process_and_every_request(fd: int) -> None:
    async with sandbox(workers=2) as codec:
        await run(codec, "echo", fd)
        running = asyncio.create_task(run(codec, "sleep", fd))
        await until(lambda: codec.stats().busy == 1)
        pids = [codec.pid, *(child.pid for child in children(codec))]
        await codec.aclose()
        with pytest.raises(ServiceUnavailable):
            await running
        with pytest.raises(ServiceUnavailable):
            await run(codec, "echo", fd)
        await until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


async def test_everything_ends_with_the_server(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(
        "import asyncio, sys\n"
        "from chitram.adapters.codec.sandbox import SandboxedCodec\n"
        "async def main():\n"
        "    codec = await SandboxedCodec.start(workers=2, memory_bytes=1 << 28, cpu_seconds=1, wall_seconds=1,\n"
        f"        recycle_after=9, strip_metadata=True, jobs={JOBS!r})\n"
        "    print(codec.pid, flush=True)\n"
        "    await asyncio.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    try:
        assert server.stdout is not None
        fork_server = psutil.Process(int(await server.stdout.readline()))
        await until(lambda: len(fork_server.children()) == 2)
        everything = [fork_server, *fork_server.children()]
    finally:
        server.kill()
        await server.communicate()
    await until(lambda: not any(process.is_running() for process in everything))


async def test_no_process_is_left_as_a_zombie(fd: int) -> None:
    async with sandbox() as codec:
        for _ in range(3):
            await refused(codec, "abort", fd)
        await run(codec, "echo", fd)
        await until(lambda: all(child.status() != psutil.STATUS_ZOMBIE for child in children(codec)))


async def test_a_decoder_that_cannot_be_loaded_is_unavailable(fd: int) -> None:
    async with sandbox(jobs="tests.faults.no_such_jobs") as codec:
        with pytest.raises(ServiceUnavailable):
            await run(codec, "echo", fd)


async def test_processes_that_die_at_birth_are_unavailable(fd: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with sandbox(jobs="tests.faults.stillborn_jobs") as codec:
        with pytest.raises(ServiceUnavailable):
            await run(codec, "echo", fd)
    assert "before it was ready" in caplog.text


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\2[]",
        b"\0\0\0\3nil",
        b"\0\0\0\2{}",
        b'\0\0\0\x0c{"result":1}',
        b'\0\0\0\x10{"refused": "x"}',
        b'\0\0\0\x1f{"refused": [1],"message": "x"}',
        b'\0\0\0\x1d{"blobs":[1048577],"result":1}',
        b'\0\0\0\x19{"blobs":[-1],"result":{}}',
        b'\0\0\0\x1b{"blobs":[true],"result":{}',
    ],
)
async def test_what_is_no_reply_is_a_crash(fd: int, said: bytes) -> None:
    async with sandbox() as codec:
        assert await refused(codec, "babble", fd, bytes=said.hex()) is InvalidReason.DECODER_CRASHED
        assert (await run(codec, "echo", fd))["text"] == "hello"


TRUE = {"content_type": "image/png", "width": 10, "height": 10, "frames": 1, "pieces": None}
JPEG = "ffd8ff"
RENDERED = {**TRUE, "thumbnail_type": "image/jpeg", "perceptual_hash": 1, "placeholder": "AAAA"}


@pytest.mark.parametrize(
    ("change", "blobs"),
    [
        ({"content_type": "text/html"}, []),
        ({"content_type": []}, []),
        ({"width": 0}, []),
        ({"width": 10_001}, []),
        ({"width": 101, "height": 100}, []),
        ({"height": "10"}, []),
        ({"frames": True}, []),
        ({"frames": 11}, []),
        ({"pieces": 1}, []),
        ({"pieces": [[0, 6]]}, []),
        ({"pieces": [[5, 1]]}, []),
        ({"pieces": [[-1, 1]]}, []),
        ({"pieces": [[0, 0]]}, []),
        ({"pieces": [None]}, []),
        ({"pieces": ["x"]}, ["00"]),
        ({"pieces": [[0, 9000]]}, []),
    ],
)
async def test_facts_that_cannot_be_are_a_crash(fd: int, change: dict[str, Any], blobs: list[str]) -> None:
    async with sandbox() as codec:
        with pytest.raises(InvalidFileFormat) as refusal:
            await codec.run(
                "lie",
                fd=fd,
                arguments={"result": {**TRUE, **change}, "blobs": blobs},
                parse=lambda reply: parse_inspected(reply, budget=BUDGET, file_size=5),
                at_most=largest_reply(5),
            )
        assert refusal.value.reason is InvalidReason.DECODER_CRASHED


@pytest.mark.parametrize(
    ("change", "blobs"),
    [
        ({"thumbnail_type": "text/html"}, [JPEG] * 3),
        ({"thumbnail_type": None}, [JPEG] * 3),
        ({}, [JPEG] * 2),
        ({}, [JPEG, JPEG, "3c68746d6c3e"]),
        ({"perceptual_hash": 2**64}, [JPEG] * 3),
        ({"perceptual_hash": -1}, [JPEG] * 3),
        ({"placeholder": "<script>"}, [JPEG] * 3),
        ({"placeholder": None}, [JPEG] * 3),
    ],
)
async def test_thumbnails_that_cannot_be_are_a_crash(fd: int, change: dict[str, Any], blobs: list[str]) -> None:
    def parse(reply: Reply) -> object:
        return parse_ingested(reply, budget=BUDGET, file_size=5)

    async with sandbox() as codec:
        arguments = {"result": RENDERED, "blobs": [JPEG] * 3}
        await codec.run("lie", fd=fd, arguments=arguments, parse=parse, at_most=largest_reply(5))
        arguments = {"result": {**RENDERED, **change}, "blobs": blobs}
        with pytest.raises(InvalidFileFormat) as refusal:
            await codec.run("lie", fd=fd, arguments=arguments, parse=parse, at_most=largest_reply(5))
        assert refusal.value.reason is InvalidReason.DECODER_CRASHED


async def test_interlaced_pictures_are_refused_before_they_burst_the_memory() -> None:
    limits = {"memory_bytes": 256 << 20, "jobs": "chitram.adapters.codec.jobs"}
    large = replace(BUDGET, max_pixels=100_000_000)
    async with sandbox(**limits) as codec:
        with tempfile.TemporaryFile() as file:
            file.write(pictures.interlaced_png(7000, 7000))
            file.flush()
            for work in (codec.inspect, codec.ingest):
                with pytest.raises(InvalidFileFormat) as refusal:
                    await work(file.fileno(), budget=large)
                assert refusal.value.reason is InvalidReason.TOO_MANY_PIXELS
        with tempfile.TemporaryFile() as file:
            file.write(pictures.interlaced_png(6600, 6600))
            file.flush()
            assert (await codec.ingest(file.fileno(), budget=large)).inspected.width == 6600
        assert codec.stats().crashes == 0


async def test_everything_is_loaded_before_the_walls_go_up() -> None:
    """A process can open nothing: a module that a decoder wants to load late would fail it."""
    samples = {name: make() for name, make in hostile.HOSTILE.items()}
    for make in (pictures.jpeg, pictures.png, pictures.webp, pictures.avif):
        samples[make.__name__] = make(48, 32, icc=pictures.telling_profile(), secrets=True, orientation=6)
    samples |= {f"png {mode}": pictures.png(48, 32, mode=mode) for mode in ("1", "LA", "PA", "RGBA", "L16", "RGBA16")}
    samples |= {f"{make.__name__} 3": make(48, 32, frames=3) for make in (pictures.webp, pictures.gif, pictures.avif)}
    samples |= {f"jpeg {mode}": pictures.jpeg(48, 32, mode=mode, progressive=True) for mode in ("L", "CMYK")}
    budget = {**budget_to_json(replace(BUDGET, max_pixels=100_000_000)), "content_types": sorted(FORMATS)}
    arguments = {"budget": budget, "strip_metadata": True, "memory_bytes": 256 << 20}
    async with sandbox(jobs="tests.faults.watched_jobs") as codec:
        for data in samples.values():
            with tempfile.TemporaryFile() as file:
                file.write(data)
                file.flush()
                found = await run(codec, "ingest", file.fileno(), **arguments)
            assert found["loaded"] == []
            assert found["said"] in {"taken", *InvalidReason}
        assert codec.stats().crashes == 0


async def test_starting_does_not_wait_for_the_libraries() -> None:
    async with sandbox(jobs="chitram.adapters.codec.jobs") as codec:
        assert codec.stats().workers == 0
        await until(lambda: codec.stats().workers == 1)

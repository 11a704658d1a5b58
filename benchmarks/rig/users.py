"""Many people at a time: each keeps a connection, asks for something, reads it, thinks, and asks again."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import uvloop

from benchmarks.rig.servers import Running
from benchmarks.rig.tables import percentile
from benchmarks.rig.uploading import upload_end, upload_head

#: Of a hundred requests.
MIX: Mapping[str, int] = {"thumbnail": 70, "metadata": 20, "original": 5, "upload": 5}
TAILS = {"thumbnail": "/thumbnail", "metadata": "", "original": "/file"}
_SHED = frozenset({429, 503})


@dataclass(slots=True)
class Outcome:
    """What became of the requests of one kind: seconds of those that were served, and how many were not."""

    seconds: list[float] = field(default_factory=list)
    shed: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Crowd:
    """`users` people with connections of their own, who think `think` seconds on average; `paths` are of images."""

    server: Running
    paths: tuple[str, ...]
    picture: Callable[[], bytes]
    users: int
    think: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Figures of one crowd: by kind what became of it, over so many seconds; CPU seconds of the server a second."""

    outcomes: dict[str, Outcome]
    seconds: float
    cpu: float

    @property
    def goodput(self) -> float:
        """Requests a second that were served."""
        return sum(len(outcome.seconds) for outcome in self.outcomes.values()) / self.seconds

    @property
    def shed(self) -> int:
        return sum(outcome.shed for outcome in self.outcomes.values())

    @property
    def errors(self) -> int:
        return sum(outcome.errors for outcome in self.outcomes.values())

    def p(self, share: float, *kinds: str) -> float:
        """Milliseconds that `share` of the served requests of `kinds` did not exceed."""
        return percentile([second for kind in kinds for second in self.outcomes[kind].seconds], share) * 1e3


def run(crowd: Crowd, *, warm_up: float, seconds: float) -> Traffic:
    """Let the crowd be there for `warm_up` seconds, then measure for `seconds`."""
    return uvloop.run(_run(crowd, warm_up=warm_up, seconds=seconds))


async def _run(crowd: Crowd, *, warm_up: float, seconds: float) -> Traffic:
    begin = time.perf_counter() + warm_up
    outcomes = {kind: Outcome() for kind in MIX}
    people = [asyncio.create_task(_live(crowd, outcomes, begin=begin)) for _ in range(crowd.users)]
    await asyncio.sleep(warm_up)
    cpu = crowd.server.cpu_seconds()
    await asyncio.sleep(seconds)
    cpu = crowd.server.cpu_seconds() - cpu
    for person in people:
        person.cancel()
    await asyncio.gather(*people, return_exceptions=True)
    return Traffic(outcomes, seconds, cpu / seconds)


async def _live(crowd: Crowd, outcomes: dict[str, Outcome], *, begin: float) -> None:
    await asyncio.sleep(random.uniform(0, crowd.think))
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", crowd.server.port, limit=1 << 20)
            try:
                while True:
                    await _ask(crowd, reader, writer, outcomes, begin=begin)
                    await asyncio.sleep(random.uniform(0.5, 1.5) * crowd.think)
            finally:
                writer.close()
        except (OSError, EOFError):
            await asyncio.sleep(crowd.think)


async def _ask(
    crowd: Crowd,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    outcomes: dict[str, Outcome],
    *,
    begin: float,
) -> None:
    """One request. Counted when it began after `begin`."""
    (kind,) = random.choices(tuple(MIX), tuple(MIX.values()))
    started, status, closes = time.perf_counter(), 0, False
    try:
        if kind == "upload":
            data = crowd.picture()
            writer.writelines((upload_head(len(data)), data, upload_end()))
        else:
            path = random.choice(crowd.paths) + TAILS[kind]
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        status, closes = await _read_answer(reader)
    finally:
        taken, outcome = time.perf_counter() - started, outcomes[kind]
        if started >= begin and status in (200, 201):
            outcome.seconds.append(taken)
        elif started >= begin and status in _SHED:
            outcome.shed += 1
        elif started >= begin and (status or not _cancelled()):
            outcome.errors += 1
    if closes:
        raise EOFError


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Status, and whether the connection ends with this answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while length:
        piece = await reader.read(min(length, 1 << 20))
        if not piece:
            raise EOFError
        length -= len(piece)
    return int(head[9:12]), b"connection: close" in head

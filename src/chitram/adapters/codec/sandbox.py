"""The codec behind walls: untrusted files are looked at in separate, confined processes.

A decoder that crashes, hangs or grows costs the request whose file made it do so, and nothing else.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from chitram.adapters.codec.processes import ForkServer, Limits, Worker, WorkerLost
from chitram.adapters.codec.wire import (
    MAX_MESSAGE,
    Header,
    ProtocolError,
    Reply,
    budget_to_json,
    largest_reply,
    parse_ingested,
    parse_inspected,
    parse_refusal,
)
from chitram.domain.errors import InvalidFileFormat, InvalidReason, ServiceUnavailable, UploadBusy
from chitram.domain.media import Budget, Ingested, Inspected

_log = logging.getLogger(__name__)

_JOBS = "chitram.adapters.codec.jobs"
#: Requests that may wait for each process; more are told to come back.
_WAITING_PER_WORKER = 64
_READY_SECONDS = 15.0
#: A request is tried again when the fork server died under it, which is not the file's doing.
_ATTEMPTS = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SandboxStats:
    """`workers`: processes that exist. `busy` and `waiting`: requests. The others count since the start."""

    workers: int
    busy: int
    waiting: int
    jobs: int
    crashes: int
    timeouts: int
    restarts: int


class SandboxedCodec:
    """`ports.codec.Codec` over a pool of processes. Requests are served in the order in which they came."""

    def __init__(
        self, *, workers: int, limits: Limits, wall_seconds: float, recycle_after: int, strip_metadata: bool, jobs: str
    ) -> None:
        self._size = workers
        self._limits = limits
        self._wall_seconds = wall_seconds
        self._recycle_after = recycle_after
        self._strip_metadata = strip_metadata
        self._jobs = jobs
        self._slots = asyncio.Semaphore(workers)
        self._server = ForkServer.launch(limits, jobs=jobs)
        self._idle: list[Worker] = []
        self._in_use: set[Worker] = set()
        self._closed = False
        self._warned = False
        self._waiting = self._count_jobs = self._crashes = self._timeouts = self._restarts = 0
        self._warming = asyncio.create_task(self._warm())

    @classmethod
    async def start(
        cls,
        *,
        workers: int,
        memory_bytes: int,
        cpu_seconds: float,
        wall_seconds: float,
        recycle_after: int,
        strip_metadata: bool,
        jobs: str = _JOBS,
    ) -> "SandboxedCodec":
        """Start the fork server and return; the processes come up meanwhile, and the first request waits for one.

        `memory_bytes` above what an idle process has, `cpu_seconds` and `wall_seconds` a file. A process is replaced
        after `recycle_after` files. `jobs` names the module with the work to do.
        """
        return cls(
            workers=workers,
            limits=Limits(memory_bytes, cpu_seconds),
            wall_seconds=wall_seconds,
            recycle_after=recycle_after,
            strip_metadata=strip_metadata,
            jobs=jobs,
        )

    async def inspect(self, fd: int, *, budget: Budget) -> Inspected:
        size = os.fstat(fd).st_size
        parse = partial(parse_inspected, budget=budget, file_size=size)
        return await self.run(
            "inspect", fd=fd, arguments=self._arguments(budget), parse=parse, at_most=largest_reply(size)
        )

    async def ingest(self, fd: int, *, budget: Budget) -> Ingested:
        size = os.fstat(fd).st_size
        parse = partial(parse_ingested, budget=budget, file_size=size)
        return await self.run(
            "ingest", fd=fd, arguments=self._arguments(budget), parse=parse, at_most=largest_reply(size)
        )

    async def run(
        self, job: str, *, fd: int, arguments: Mapping[str, Any], parse: Callable[[Reply], T], at_most: int
    ) -> T:
        """Let a process do `job` on the file behind `fd` and `parse` its reply, with blobs of `at_most` bytes together.

        `parse` raises ProtocolError for what cannot be. InvalidFileFormat when the job refuses the file or the process
        does not survive it; UploadBusy when too many requests wait; ServiceUnavailable when no process can be had.
        """
        if self._waiting >= _WAITING_PER_WORKER * self._size:
            raise UploadBusy(retry_after=1.0)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            with _read_only(fd) as own:
                for _ in range(_ATTEMPTS):
                    with contextlib.suppress(WorkerLost):
                        return await self._attempt(job, fd=own, arguments=arguments, parse=parse, at_most=at_most)
            raise ServiceUnavailable("The picture decoder cannot be started right now.", retry_after=1.0)
        finally:
            self._slots.release()

    async def aclose(self) -> None:
        """End every process. Requests that are under way or wait fail with ServiceUnavailable."""
        self._closed = True
        self._warming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._warming
        for worker in self._in_use:
            worker.interrupt()
        while self._idle:
            self._idle.pop().close()
        await self._server.stop()

    @property
    def pid(self) -> int:
        """The process below which all others are."""
        return self._server.pid

    def stats(self) -> SandboxStats:
        """Figures for the metrics."""
        return SandboxStats(
            workers=len(self._server.workers),
            busy=len(self._in_use),
            waiting=self._waiting,
            jobs=self._count_jobs,
            crashes=self._crashes,
            timeouts=self._timeouts,
            restarts=self._restarts,
        )

    def _arguments(self, budget: Budget) -> dict[str, Any]:
        memory = self._limits.memory_bytes
        return {"budget": budget_to_json(budget), "strip_metadata": self._strip_metadata, "memory_bytes": memory}

    async def _attempt(
        self, job: str, *, fd: int, arguments: Mapping[str, Any], parse: Callable[[Reply], T], at_most: int
    ) -> T:
        """One try. WorkerLost when the process was lost through no fault of the file."""
        worker = await self._checkout()
        self._in_use.add(worker)
        healthy = False
        try:
            async with asyncio.timeout(self._wall_seconds):
                header, blobs = await worker.call({"job": job, "arguments": arguments}, fd=fd, at_most=at_most)
            outcome = _outcome(header, blobs=blobs, parse=parse)
            healthy = True
        except TimeoutError:
            raise self._timed_out() from None
        except ProtocolError as error:
            raise self._crashed(str(error)) from None
        except WorkerLost as lost:
            raise self._blamed(lost) from None
        finally:
            self._check_in(worker, healthy=healthy)
        self._count_jobs += 1
        if isinstance(outcome, InvalidFileFormat):
            raise outcome
        return outcome

    async def _checkout(self) -> Worker:
        """A process that is ready."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.exited.done():
                return worker
            worker.close()
        if self._closed:
            raise ServiceUnavailable
        if self._server.lost:
            self._restarts += 1
            self._server = ForkServer.launch(self._limits, jobs=self._jobs)
        return await self._spawn()

    async def _spawn(self) -> Worker:
        worker = self._server.spawn()
        ready = False
        try:
            async with asyncio.timeout(_READY_SECONDS):
                hello, _ = await worker.read(at_most=0)
            ready = True
        except (TimeoutError, ProtocolError):
            raise WorkerLost(None) from None
        except WorkerLost as lost:
            _log.warning("A decoding process ended before it was ready (exit status %s)", lost.status)
            raise WorkerLost(None) from None
        finally:
            if not ready:
                worker.kill()
        if (missing := hello.content.get("missing")) and not self._warned:
            self._warned = True
            _log.warning("Decoding processes run without %s: there is none to be had here", ", ".join(missing))
        return worker

    def _check_in(self, worker: Worker, *, healthy: bool) -> None:
        """Keep a process for the next request, let it go when it has served enough, or end it when it failed."""
        self._in_use.discard(worker)
        if not healthy:
            worker.kill()
        elif self._closed or worker.served >= self._recycle_after or worker.exited.done():
            worker.close()
        else:
            self._idle.append(worker)

    async def _warm(self) -> None:
        """Bring up the processes before they are asked for."""
        for _ in range(self._size):
            async with self._slots:
                if len(self._server.workers) >= self._size:
                    return
                try:
                    self._idle.append(await self._spawn())
                except WorkerLost:
                    # Requests try again, and report it.
                    return

    def _timed_out(self) -> InvalidFileFormat:
        self._timeouts += 1
        return InvalidFileFormat(InvalidReason.DECODE_TIMEOUT, "The picture takes too long to decode.")

    def _crashed(self, why: str) -> InvalidFileFormat:
        self._crashes += 1
        _log.warning("A decoding process failed on a file: %r", why)
        return InvalidFileFormat(InvalidReason.DECODER_CRASHED, "The picture cannot be decoded safely.")

    def _blamed(self, lost: WorkerLost) -> Exception:
        """What the end of a process means for the request whose file it had."""
        if self._closed:
            return ServiceUnavailable()
        if lost.status is None:
            return lost
        return self._timed_out() if lost.status == -signal.SIGXCPU else self._crashed(f"exit status {lost.status}")


def _outcome(header: Header, *, blobs: list[bytes], parse: Callable[[Reply], T]) -> T | InvalidFileFormat:
    """What a reply says; ProtocolError when it says nothing that can be believed."""
    refusal = parse_refusal(header.content)
    if refusal is not None:
        return InvalidFileFormat(*refusal)
    if "failed" in header.content:
        raise ProtocolError(str(header.content["failed"])[:MAX_MESSAGE])
    result = header.content.get("result")
    if not isinstance(result, dict):
        raise ProtocolError("a reply has no result")
    return parse(Reply(result, blobs))


@contextlib.contextmanager
def _read_only(fd: int) -> Iterator[int]:
    """The same file opened again, for reading alone and with a position of its own: the caller's is out of reach."""
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # Without /proc the limit on file sizes and the system call filter still keep the file as it is.
        yield fd
        return
    try:
        yield own
    finally:
        os.close(own)

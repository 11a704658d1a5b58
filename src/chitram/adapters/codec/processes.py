"""The server's side of the fork server and of one decoding process, on the event loop, without threads."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chitram.adapters.codec.wire import Header, frame, header_length, parse_header

_MODULE = "chitram.adapters.codec.forkserver"
_MESSAGE = 4096
_CHUNK = 256 << 10
_STOP_SECONDS = 5.0


class WorkerLost(Exception):
    """The process at the other end of a channel is gone. `status` as in os.waitstatus_to_exitcode; None when the fork
    server went with it, so that the file is not to blame.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decoding process may use: bytes of memory above its base, seconds of CPU time a file."""

    memory_bytes: int
    cpu_seconds: float


class Worker:
    """One decoding process. At most one call at a time; after a failed or cancelled one only `kill` is left."""

    def __init__(self, server: "ForkServer", *, number: int, channel: socket.socket) -> None:
        self.number = number
        self.served = 0
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._server = server
        self._channel = channel

    async def call(self, message: Mapping[str, Any], *, fd: int, at_most: int) -> tuple[Header, list[bytes]]:
        """Send one job with the file that it is about, and read the reply, whose blobs have `at_most` bytes together.

        WorkerLost when the process ends instead, ProtocolError when the reply is none.
        """
        self.served += 1
        try:
            # A request is far smaller than the buffer of a channel on which nothing else is under way.
            socket.send_fds(self._channel, [frame(message)], [fd])
        except OSError:
            # It had gone before the job reached it: the file is not to blame.
            raise WorkerLost(None) from None
        return await self.read(at_most=at_most)

    async def read(self, *, at_most: int) -> tuple[Header, list[bytes]]:
        """The next reply."""
        length = header_length(await self._exactly(4))
        header = parse_header(await self._exactly(length), at_most=at_most)
        return header, [await self._exactly(size) for size in header.lengths]

    def interrupt(self) -> None:
        """Let a call that is under way fail as if the process had ended."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the channel: an idle process then ends by itself."""
        self._channel.close()

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._server.kill(self)

    async def _exactly(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        parts: list[bytes] = []
        while length:
            try:
                part = await loop.sock_recv(self._channel, min(length, _CHUNK))
            except ConnectionError:
                part = b""
            if not part:
                raise WorkerLost(await self.exited)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


class ForkServer:
    """The running fork server. `lost` is set once it is gone, and every worker's `exited` with it."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self.lost = False
        self.workers: dict[int, Worker] = {}
        self._numbers = itertools.count()
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control, self._hear)

    @classmethod
    def launch(cls, limits: Limits, *, jobs: str) -> "ForkServer":
        """Start one. Returns at once; it answers when its libraries are loaded."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        arguments = (theirs.fileno(), jobs, limits.memory_bytes, limits.cpu_seconds)
        # Of the environment it gets what it takes to find the code, and tuning: no secret can leak from it.
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MALLOC_ARENA_MAX": "2",
            "VIPS_CONCURRENCY": "1",
            "VIPS_BLOCK_UNTRUSTED": "1",
            # Nothing may be written: whatever is decoded stays in memory, within the limit.
            "VIPS_DISC_THRESHOLD": "64g",
        }
        with theirs:
            process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                [sys.executable, "-m", _MODULE, *map(str, arguments)],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # The terminal's Ctrl-C is for the server, which lets running work finish.
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    def spawn(self) -> Worker:
        """A new decoding process; its first reply says that it is ready. WorkerLost when the fork server is gone."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        worker = Worker(self, number=next(self._numbers), channel=ours)
        with theirs:
            try:
                message = json.dumps({"spawn": worker.number}).encode()
                socket.send_fds(self._control, [message], [theirs.fileno()])
            except OSError:
                worker.close()
                raise WorkerLost(None) from None
        self.workers[worker.number] = worker
        return worker

    def kill(self, worker: Worker) -> None:
        """End a decoding process at once, whatever it is doing."""
        worker.close()
        if worker.number in self.workers and not self.lost:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps({"kill": worker.number}).encode())

    async def stop(self) -> None:
        """End it and everything below it, and wait until it is gone."""
        self._lose()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _hear(self) -> None:
        """Take what the fork server says."""
        try:
            data = self._control.recv(_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            self._process.kill()
            self._process.wait()
            return
        message = json.loads(data)
        worker = self.workers.pop(message["exited"], None)
        if worker is not None and not worker.exited.done():
            worker.exited.set_result(message["status"])

    def _lose(self) -> None:
        """Nothing will be heard of any worker any more."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._control)
        self._control.close()
        for worker in self.workers.values():
            if not worker.exited.done():
                worker.exited.set_result(None)
        self.workers.clear()

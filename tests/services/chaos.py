"""A TCP proxy on the loopback address that stands between a client and a service, and misbehaves on demand."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_CHUNK = 65536


@dataclass(slots=True)
class Faults:
    """What goes wrong at present; all of it may be changed at any moment.

    delay: seconds before each piece is passed on. rate: bytes a second towards the client; 0: no limit.
    black_hole: nothing is passed on, connections stay. refuse: new connections are reset at once.
    cut_after: an answer's connection is reset when so many bytes of it were passed on.
    swallow_answers: what the service says is thrown away and the connection is reset, so that the client cannot know
    whether it was done.
    """

    delay: float = 0
    rate: int = 0
    black_hole: bool = False
    refuse: bool = False
    cut_after: int | None = None
    swallow_answers: bool = False


class ChaosProxy:
    """Runs in a thread of its own, so that it also serves clients that block. Made by `chaos`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.faults = Faults()
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def reset(self, **faults: object) -> None:
        """These faults and no others from now on; without any, none."""
        self.faults = Faults(**faults)  # type: ignore[arg-type]  # the caller names its fields

    def drop(self) -> None:
        """Reset every connection that is open now."""
        self._loop.call_soon_threadsafe(self._drop)

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end(server))
        self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        """Close everything and wait until it is closed, or what is left is blamed on a later test."""
        server.close()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:  # a connection taken last has no task at first
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            await asyncio.sleep(0)
        self._drop()
        await asyncio.sleep(0.01)  # transports close their sockets when the loop comes round to it

    def _drop(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.faults.refuse:
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except (OSError, asyncio.CancelledError):  # it does not answer, or the proxy ends
            _reset(writer)
            return
        self._writers |= {writer, back}
        try:
            with suppress(asyncio.CancelledError):  # the proxy ends
                await asyncio.gather(self._pass_on(reader, back), self._answer(there, writer))
        finally:
            self._writers -= {writer, back}
            for each in (writer, back):
                with suppress(OSError, RuntimeError):
                    each.close()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(_CHUNK):
                await self._wait()
                sink.write(data)
                await sink.drain()
            sink.write_eof()
        except (OSError, RuntimeError):  # a reset is passed on too, or the other end would wait for ever
            _reset(sink)

    async def _answer(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        passed = 0
        try:
            while data := await source.read(_CHUNK):
                await self._wait()
                if self.faults.swallow_answers:
                    _reset(sink)
                    return
                limit = self.faults.cut_after
                if limit is not None and passed + len(data) > limit:
                    sink.write(data[: max(0, limit - passed)])
                    await sink.drain()
                    _reset(sink)
                    return
                passed += len(data)
                await self._write(sink, data)
            sink.write_eof()
        except (OSError, RuntimeError):
            _reset(sink)

    async def _write(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        piece = len(data) if not self.faults.rate else max(1, self.faults.rate // 20)
        for start in range(0, len(data), piece):
            sink.write(data[start : start + piece])
            await sink.drain()
            if self.faults.rate:
                await asyncio.sleep(piece / self.faults.rate)

    async def _wait(self) -> None:
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        while self.faults.black_hole:
            await asyncio.sleep(0.02)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    with suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError, RuntimeError):
        writer.transport.abort()


@contextmanager
def chaos(target: int) -> Iterator[ChaosProxy]:
    """A proxy in front of `target`, a port of the loopback address, until the context ends."""
    proxy = ChaosProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

"""Files straight from the page cache to a socket, around the server's own buffers."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

_PIECE = 256 * 1024


async def send_file(transport: asyncio.Transport, file: int, *, offset: int, count: int, patience: float) -> None:
    """Send `count` bytes of `file` from `offset` on, after what `transport` still has to write.

    Returns early when the client has gone, or takes less than 256 KiB of it in `patience` seconds: then the connection
    is broken. EOFError when the file ends before.
    """
    if transport.is_closing():
        return
    # A descriptor of our own: the transport's may be closed meanwhile, and its number be another client's by then.
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    try:
        async with asyncio.timeout(patience) as timer:
            async for _ in _pieces(transport, descriptor, file, offset=offset, count=count):
                timer.reschedule(asyncio.get_running_loop().time() + patience)
    except TimeoutError:
        transport.abort()
    except ConnectionError:
        # The transport finds out by itself.
        pass
    finally:
        os.close(descriptor)


async def _pieces(
    transport: asyncio.Transport, descriptor: int, file: int, *, offset: int, count: int
) -> AsyncIterator[None]:
    """Send, and yield each time that another piece has been taken."""
    taken = 0
    while count and not transport.is_closing():
        if transport.get_write_buffer_size():
            # The loop writes at the end of its round, or else as soon as there is room.
            await asyncio.sleep(0)
            if transport.get_write_buffer_size():
                await _writable(descriptor)
            continue
        try:
            sent = os.sendfile(descriptor, file, offset, count)
        except BlockingIOError:
            await _writable(descriptor)
            continue
        if not sent:
            raise EOFError("the file ends before what was promised of it")
        offset, count, taken = offset + sent, count - sent, taken + sent
        if taken >= _PIECE:
            taken = 0
            yield


async def _writable(descriptor: int) -> None:
    """Wait until the socket takes more, or is broken."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        with suppress(asyncio.InvalidStateError):
            ready.set_result(None)

    loop.add_writer(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)

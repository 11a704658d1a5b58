"""Connections to Redis: each carries one exchange at a time and is thrown away when an exchange did not end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

#: One answer of Redis in its binary form: bytes, a number, a list of these, or None.
Reply = Any


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. Its first argument is always the incarnation of the server that runs it."""

    text: str
    sha1: str

    @classmethod
    def of(cls, text: str) -> "Script":
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Link:
    """One connection. `incarnation` names the data that the server has: it has another one after a restart, and so has
    another server that takes its place, whatever of the old data they come with.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self.incarnation = ""
        self.used = False

    async def open(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]  # so the driver has it
        server, replication = await self.call("INFO", "server"), await self.call("INFO", "replication")
        identity = f"{_field(server, b'run_id')}/{_field(replication, b'master_replid')}"
        self.incarnation = hashlib.sha256(identity.encode()).hexdigest()[:16]

    async def call(self, *arguments: str | bytes | int) -> Reply:
        if not self._connection.is_connected:
            # The driver would connect again, and `incarnation` be that of another server.
            raise LostError("the connection is closed")
        try:
            await self._connection.send_command(*arguments, check_health=False)
        except RuntimeError as error:
            # So uvloop has it of a connection that was reset while it was idle.
            raise LostError("the connection is closed") from error
        return await self._connection.read_response()

    async def evaluate(self, script: Script, *, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Reply:
        rest = (len(keys), *keys, self.incarnation, *arguments)
        try:
            return await self.call("EVALSHA", script.sha1, *rest)
        except NoScriptError:
            return await self.call("EVAL", script.text, *rest)

    async def close(self) -> None:
        """Close the connection without waiting for the other end, which may never say that it has heard."""
        await self._connection.disconnect(nowait=True)


class LinkPool:
    """At most `size` connections to `address`. It opens them when they are needed."""

    def __init__(self, address: str, *, size: int) -> None:
        """ValueError for an address that is none."""
        # Time limits are ours, around the whole of an exchange; the driver's would start a task for every command.
        options = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None, "driver_info": None}
        try:
            self._factory = ConnectionPool.from_url(address, **options)
        except ValueError:
            # What the driver says of an address may hold a piece of the password.
            raise ValueError("is not the address of a Redis") from None
        self._places = asyncio.Semaphore(size)
        self._idle: list[Link] = []
        self._closed = False

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """A connection that nobody else has. It is kept for the next one only if its last exchange was complete."""
        async with self._places:
            link = self._idle.pop() if self._idle else await self._open()
            try:
                yield link
            except ReadOnlyError:
                # A former master: its name may stand for another server by now.
                await link.close()
                raise
            except ResponseError:
                await self._keep(link)
                raise
            except BaseException:
                # An answer may still be on its way, and would be taken for that of the next question.
                await link.close()
                raise
            await self._keep(link)

    async def forget_idle(self) -> None:
        """Close what nobody uses now: the server that they lead to is gone."""
        while self._idle:
            await self._idle.pop().close()

    async def aclose(self) -> None:
        """Close everything; what is under way is closed when it ends."""
        self._closed = True
        await self.forget_idle()

    async def _open(self) -> Link:
        link = Link(self._factory.make_connection())  # type: ignore[no-untyped-call]  # as above
        try:
            await link.open()
        except BaseException:
            await link.close()
            raise
        return link

    async def _keep(self, link: Link) -> None:
        if self._closed:
            await link.close()
            return
        link.used = True
        self._idle.append(link)


def _field(info: bytes, name: bytes) -> str:
    """A field of what INFO says."""
    for line in info.splitlines():
        key, _, value = line.partition(b":")
        if key == name:
            return value.decode("ascii", errors="replace")
    raise LostError(f"INFO does not say {name.decode()}")

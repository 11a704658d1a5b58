"""A request's body as it arrives, with an eye on the pace."""

import asyncio
from dataclasses import dataclass

from chitram.domain.errors import RequestTimeout
from chitram.entrypoints.support.asgi import Message, Receive


class ClientDisconnected(Exception):
    """The client went away before its request was complete; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a client may be: on average at least `min_rate` bytes a second once `grace` seconds are over, and done
    within `deadline` seconds. Only time spent waiting for the client counts.
    """

    grace: float = 10.0
    min_rate: float = 4096.0
    deadline: float = 300.0


class RequestBody:
    """Iterates over the non-empty pieces of the body. Raises RequestTimeout and ClientDisconnected."""

    def __init__(self, receive: Receive, *, pace: Pace) -> None:
        self._receive = receive
        self._pace = pace
        self._received = 0
        self._waited = 0.0
        self._ended = False

    def __aiter__(self) -> "RequestBody":
        return self

    async def __anext__(self) -> bytes:
        while not self._ended:
            message = await self._next_message()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            self._ended = not message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            if piece:
                self._received += len(piece)
                return piece
        raise StopAsyncIteration

    async def _next_message(self) -> Message:
        pace = self._pace
        earned = pace.grace + self._received / pace.min_rate if pace.min_rate else pace.deadline
        patience = min(earned, pace.deadline) - self._waited
        loop = asyncio.get_running_loop()
        started = loop.time()
        timeout = asyncio.timeout(max(patience, 0.0))
        try:
            async with timeout:
                return await self._receive()
        except TimeoutError:
            if timeout.expired():
                raise RequestTimeout from None
            raise
        finally:
            self._waited += loop.time() - started

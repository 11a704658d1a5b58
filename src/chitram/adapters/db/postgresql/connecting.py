"""One connection of the driver: its address, its time-outs, and what tells that the other end is gone."""

import asyncio
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from chitram.adapters.db.patience import Patience
from chitram.adapters.db.postgresql.failures import Unreachable, connection_failure

#: A peer that acknowledges nothing for so long is gone, in seconds; an idle one is asked for a sign of life.
DEAD_AFTER = 5
_KEEPALIVE = {"TCP_KEEPIDLE": DEAD_AFTER, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3}
#: What the driver itself gives up later than we do, in seconds.
_DRIVER_GRACE = 2.0


def driver_address(url: str) -> str:
    """`url` as the driver takes it; ValueError, which never shows it (it may carry a password), for another kind."""
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+asyncpg") or not separator:
        raise ValueError("DATABASE_URL: expected postgresql://")
    try:
        path = urlsplit(f"postgresql://{rest}").path
    except ValueError:
        raise ValueError("DATABASE_URL is not a URL") from None
    if not path.strip("/"):
        raise ValueError("DATABASE_URL: names no database")
    return f"postgresql://{rest}"


class WatchedConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver comes without types
    """A connection that notices a peer that has gone without a word."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:  # noqa: ANN401 - the driver's own
        super().__init__(protocol, transport, *rest)
        connected = transport.get_extra_info("socket")
        if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
            return
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = {**_KEEPALIVE, "TCP_USER_TIMEOUT": DEAD_AFTER * 1000}
        for name, value in options.items():
            with suppress(AttributeError, OSError):  # not on every system
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def connect(address: str, *, patience: Patience, name: str, read_only: bool = False) -> WatchedConnection:
    """A connection to `address`, called `name` in the server's list; ServiceUnavailable."""
    settings = {
        "application_name": name,
        "statement_timeout": _milliseconds(patience.statement),
        "lock_timeout": _milliseconds(patience.lock),
        "idle_in_transaction_session_timeout": _milliseconds(patience.idle),
        # Compiling a statement takes longer than any of ours does.
        "jit": "off",
        **({"default_transaction_read_only": "on"} if read_only else {}),
    }
    try:
        connection: WatchedConnection = await asyncpg.connect(
            address,
            timeout=patience.connect,
            command_timeout=patience.answer + _DRIVER_GRACE,
            connection_class=WatchedConnection,
            server_settings=settings,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise connection_failure(error) from error
    except ValueError:
        # It would show the part of the password that was taken for something else.
        raise Unreachable("its address cannot be understood: are signs in the password percent-encoded?") from None
    return connection


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))

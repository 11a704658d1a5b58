"""An ASGI application behind a real listener on this event loop, up and gone without a server's pauses."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn


@contextlib.asynccontextmanager
async def listening(config: uvicorn.Config) -> AsyncIterator[int]:
    """Serve `config` on loopback; gives the port. Ends when the last connection and request have ended.

    `uvicorn.Server.serve` looks every tenth of a second whether it is to end, which hundreds of tests would wait for.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    await server.on_tick(0)  # the fields of every answer, such as Date
    try:
        yield listener.getsockname()[1]
    finally:
        for each in server.servers:
            each.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        async with asyncio.timeout(30):
            while server.server_state.connections or server.server_state.tasks:
                await asyncio.sleep(0.001)

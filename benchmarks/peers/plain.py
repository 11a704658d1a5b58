"""Limits: the same answers in plain ASGI, on the same server, with nothing around them."""

import os
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson

from chitram.adapters.db.engine import connect
from chitram.adapters.db.lookup import lookup_sql

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]

#: Where the path of the constant body, and that of the database, stand in the environment.
BODY, DATABASE = "BENCHMARK_BODY", "BENCHMARK_DATABASE"


def constant() -> App:
    """Answers every request with the bytes of one file, held in memory."""
    body = Path(os.environ[BODY]).read_bytes()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: MutableMapping[str, Any], _receive: object, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": body})

    return app


def driver() -> App:
    """Answers with one row by primary key, as JSON: sqlite3 alone, inline on the event loop."""
    connection: sqlite3.Connection = connect(Path(os.environ[DATABASE]), read_only=True)
    sql = lookup_sql()

    async def app(scope: MutableMapping[str, Any], _receive: object, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            return
        row = connection.execute(sql, (scope["path"].rpartition("/")[2],)).fetchone()
        body = orjson.dumps(row)
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return app

"""The access log: cheap, because it writes a line for every request."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import TextIO

import orjson

from chitram.observability.logs import dump_json, escape_controls
from chitram.observability.redaction import redact_text

FLUSH_SECONDS = 0.1
FLUSH_LINES = 64
_MAX_USER_AGENT = 200
_MAX_PATH = 512


class AccessLog:
    """One line a request, of the same form as all other lines, written in batches to keep it cheap.

    Lines wait for at most FLUSH_SECONDS, or FLUSH_LINES of them. Call it in a running event loop, `close` at the end.
    """

    def __init__(self, *, stream: TextIO | None = None, json: bool | None = None) -> None:
        self._stream = stream or sys.stderr
        self._json = not self._stream.isatty() if json is None else json
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._prefix = ""

    def request(
        self,
        *,
        request_id: str,
        client: str,
        method: str,
        path: str,
        route: str,
        status: int,
        duration_ms: float,
        bytes_out: int,
        user_agent: str,
    ) -> None:
        """Log one answered request. `path` comes without its query, where secrets may be."""
        # In an address that was put together badly, what should be the query or a header has become part of the path.
        path = _without_secrets(path[:_MAX_PATH])
        entry = {
            "timestamp": self._timestamp(),
            "level": "info",
            "logger": "chitram.access",
            "event": "request",
            "request_id": request_id,
            "client": client,
            "method": method,
            "path": path,
            "route": route,
            "status": status,
            "duration_ms": int(duration_ms * 1000) / 1000,
            "bytes_out": bytes_out,
            "user_agent": _without_secrets(user_agent[:_MAX_USER_AGENT]),
        }
        self._lines.append(_for_programs(entry) if self._json else _for_people(entry))
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            lines.append("")
            self._stream.write("\n".join(lines))
            self._stream.flush()

    def close(self) -> None:
        """Write what waits; the stream stays open, for it belongs to somebody else."""
        self.flush()

    def _timestamp(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{int((now - second) * 1_000_000):06d}Z"


def _without_secrets(text: str) -> str:
    """As redact_text, which most texts need not be put through: secrets have a name and a sign behind it, or a form."""
    suspicious = "=" in text or ":" in text or "%" in text or "eyJ" in text or "chitram_" in text
    return redact_text(text) if suspicious else text


def _for_programs(entry: dict[str, object]) -> str:
    try:
        line = orjson.dumps(entry)
    except TypeError:  # Lone surrogates.
        return dump_json(entry)
    return line.decode("ascii") if line.isascii() else dump_json(entry)


def _for_people(entry: Mapping[str, object]) -> str:
    line = "{timestamp} {status} {method} {path} {duration_ms} ms {bytes_out} B {client} {request_id}".format_map(entry)
    return escape_controls(line).encode(errors="backslashreplace").decode()

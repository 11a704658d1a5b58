"""What was logged."""

import io
import json

from chitram.observability import configure_logging

NASTY = 'a\r\n{"event": "forged"}\x1b[31m\u2028end'

REQUEST = {
    "request_id": "req-12345",
    "client": "192.0.2.1",
    "method": "GET",
    "path": "/a",
    "route": "/{x}",
    "status": 200,
    "duration_ms": 1.23456,
    "bytes_out": 5,
    "user_agent": "curl",
}


def configured(**options):
    stream = io.StringIO()
    configure_logging(stream=stream, **options)
    return stream


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]

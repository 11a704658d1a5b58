"""One pipeline for all logs, those of the libraries included."""

import json as json_module
import logging
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from chitram.observability.redaction import REDACTED, is_secret, redact

#: The id of the request that is being answered. A variable of our own: to bind one in structlog costs ten times that.
current_request_id: ContextVar[str] = ContextVar("chitram_request_id", default="")

#: The logger of the audit log, which no level silences.
AUDIT_LOGGER = "chitram.audit"

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROLS_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logging(*, level: str = "INFO", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Send everything, our own logs and those of the libraries, through one pipeline to `stream` (standard error).

    `json` gives one JSON object a line, the default when the stream is no terminal; otherwise lines for people. Raises
    ValueError for an unknown `level`. Values cannot break out of their line, and secrets are taken out.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level: {level}")
    target = stream or sys.stderr
    as_json = not target.isatty() if json is None else json
    enrich: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *enrich,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*enrich, structlog.stdlib.ExtraAdder(), _tidy],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json=as_json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    logging.getLogger(AUDIT_LOGGER).setLevel(min(number, logging.INFO))
    _adopt_libraries(number)


def _add_request_id(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    identity = current_request_id.get()
    if identity:
        event.setdefault("request_id", identity)
    return event


def _tidy(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Drop the coloured second copy of uvicorn's messages, and the name that makes errors of all of them."""
    event.pop("color_message", None)
    if event.get("logger") == "uvicorn.error":
        event["logger"] = "uvicorn"
    return event


def _rendering(*, as_json: bool) -> list[Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, scrub, structlog.processors.JSONRenderer(serializer=dump_json)]
    # No local variables in tracebacks: they hold what requests brought.
    console = structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, scrub, _escape_controls, console]


def _adopt_libraries(level: int) -> None:
    """Take away the handlers that libraries brought, and silence what would repeat our access log with its secrets."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "alembic", "sqlalchemy"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    for name in ("sqlalchemy", "alembic", "asyncio", "PIL", "multipart"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def scrub(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Take out secrets: whole values by the name of their field, and those that stand inside of others."""
    for key, value in event.items():
        event[key] = REDACTED if is_secret(key) else redact(value)
    return event


def _escape_controls(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Make control characters visible, so that no value can start a line of its own or steer the terminal."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = escape_controls(value, lines=key in ("exception", "stack"))
    return event


def escape_controls(text: str, *, lines: bool = False) -> str:
    """`text` with its control characters made visible, but for line ends when it may have several `lines`."""
    pattern = _CONTROLS_BUT_LINES if lines else _CONTROLS
    return pattern.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def dump_json(value: MutableMapping[str, Any], **_options: object) -> str:
    """`value` as one line of JSON, whatever is in it and whatever a reader takes for the end of a line."""
    try:
        text = orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # Lone surrogates and very large integers.
        return json_module.dumps(value, default=repr)
    return text if text.isascii() else _CONTROLS.sub(lambda match: f"\\u{ord(match.group()):04x}", text)

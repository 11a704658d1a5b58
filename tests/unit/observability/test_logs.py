"""One pipeline for all logs."""

import asyncio
import io
import logging

import pytest
import structlog

from chitram.observability import configure_logging, current_request_id
from tests.unit.observability.captured import NASTY, configured, lines


def test_our_lines_and_the_libraries_have_one_form():
    stream = configured(level="info")
    structlog.contextvars.bind_contextvars(request_id="req-12345")
    structlog.get_logger("chitram.x").info("hello", count=1)
    extra = {"port": 80, "color_message": "\x1b[1mstarted\x1b[0m %s"}
    logging.getLogger("uvicorn.error").info("started %s", "now", extra=extra)
    ours, theirs = lines(stream)
    assert (ours["event"], ours["count"], ours["level"], ours["logger"]) == ("hello", 1, "info", "chitram.x")
    assert (theirs["event"], theirs["port"], theirs["logger"]) == ("started now", 80, "uvicorn")
    assert ours["request_id"] == theirs["request_id"] == "req-12345"
    assert ours["timestamp"].endswith("Z")
    assert "color_message" not in theirs


async def test_lines_carry_the_id_of_their_request():
    stream = configured()

    async def request():
        current_request_id.set("req-12345")
        structlog.get_logger("x").info("mine")
        structlog.get_logger("x").info("of another", request_id="req-67890")

    await asyncio.create_task(request())
    structlog.get_logger("x").info("nobody's")
    assert [line.get("request_id") for line in lines(stream)] == ["req-12345", "req-67890", None]


def test_levels():
    stream = configured(level="WARNING")
    structlog.get_logger("x").info("no")
    structlog.get_logger("x").warning("yes")
    logging.getLogger("uvicorn.error").info("no")
    assert [line["event"] for line in lines(stream)] == ["yes"]
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging(level="LOUD")


def test_the_servers_own_access_log_and_chatty_libraries_are_silent():
    logging.getLogger("uvicorn.access").addHandler(logging.NullHandler())
    stream = configured(level="INFO")
    assert not logging.getLogger("uvicorn.access").hasHandlers()
    logging.getLogger("sqlalchemy.engine").info("SELECT")
    logging.getLogger("alembic").warning("seen")
    assert [line["event"] for line in lines(stream)] == ["seen"]


@pytest.mark.parametrize("as_json", [True, False])
def test_values_stay_in_their_line(as_json):
    stream = configured(json=as_json)
    structlog.get_logger("x").info(NASTY, name=NASTY)
    logging.getLogger("y").warning("%s", NASTY)
    text = stream.getvalue()
    assert len(text.splitlines()) == 2
    if as_json:
        assert lines(stream)[0]["name"] == NASTY
    else:
        assert "\\x1b[31m" in text


def test_tracebacks_are_one_line_of_json_without_local_variables():
    stream = configured()
    secret_local = "hunter" + "2"
    try:
        len(secret_local) / 0
    except ZeroDivisionError:
        structlog.get_logger("x").exception("failed")
    (line,) = lines(stream)
    assert "ZeroDivisionError" in line["exception"]
    assert "hunter2" not in stream.getvalue()


def test_odd_values_do_not_break_a_line():
    stream = configured()
    structlog.get_logger("x").info("odd", surrogate="\ud800", big=10**30, thing=object(), raw=b"\xff")
    assert lines(stream)[0]["surrogate"] == "\ud800"


def test_the_form_follows_the_stream():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    configure_logging(stream=terminal)
    structlog.get_logger("x").info("hello")
    assert "hello" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")

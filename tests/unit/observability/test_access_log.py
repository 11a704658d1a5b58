"""The access log."""

import asyncio
import io

import pytest
import structlog

from chitram.observability import AccessLog
from chitram.observability.access_log import FLUSH_LINES
from tests.unit.observability.captured import NASTY, REQUEST, configured, lines


async def test_the_access_log_writes_in_batches():
    stream = io.StringIO()
    log = AccessLog(stream=stream)
    for _ in range(FLUSH_LINES - 1):
        log.request(**REQUEST)
    assert stream.getvalue() == ""
    log.request(**REQUEST)
    assert len(lines(stream)) == FLUSH_LINES
    log.request(**REQUEST)
    log.close()
    log.close()
    assert len(lines(stream)) == FLUSH_LINES + 1
    line = lines(stream)[0]
    expected = {**REQUEST, "duration_ms": 1.234, "level": "info", "event": "request", "logger": "chitram.access"}
    assert {key: value for key, value in line.items() if key != "timestamp"} == expected


async def test_a_single_line_does_not_wait_for_others():
    stream = io.StringIO()
    log = AccessLog(stream=stream, json=True)
    log.request(**REQUEST)
    async with asyncio.timeout(30):
        while not stream.getvalue():
            await asyncio.sleep(0.01)


async def test_access_lines_look_like_all_others():
    stream = configured()
    structlog.get_logger("x").info("request")
    log = AccessLog(stream=stream)
    log.request(**REQUEST)
    log.close()
    ours, access = lines(stream)
    assert set(ours) < set(access)
    assert len(ours["timestamp"]) == len(access["timestamp"])


@pytest.mark.parametrize("odd", ["", "\ud800"])
@pytest.mark.parametrize("as_json", [True, False])
async def test_nothing_in_a_request_breaks_out_of_its_line(as_json, odd):
    stream = io.StringIO()
    log = AccessLog(stream=stream, json=as_json)
    log.request(**{**REQUEST, "path": NASTY + odd, "user_agent": NASTY})
    log.close()
    assert len(stream.getvalue().splitlines()) == 1

import asyncio
import io
import json
import logging
from dataclasses import dataclass

import pytest
import structlog
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from chitram import __version__
from chitram.observability import AccessLog, Metrics, configure_logging, current_request_id
from chitram.observability.access_log import FLUSH_LINES

NASTY = 'a\r\n{"event": "forged"}\x1b[31m\u2028end'


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root = logging.getLogger()
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "alembic", "asyncio", "PIL")
    loggers = [root, *map(logging.getLogger, (*names, "multipart", "uvicorn.asgi"))]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


def configured(**options):
    stream = io.StringIO()
    configure_logging(stream=stream, **options)
    return stream


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


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


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_taken_out(as_json):
    stream = configured(json=as_json)
    log = structlog.get_logger("x")
    log.info("asked /a?delete_token=hunter2&x=1", delete_token="hunter2", authorization="Bearer hunter2")
    log.info("headers", headers={"X-Delete-Token": "hunter2"}, parts=["delete_token=hunter2"], Password="hunter2")
    try:
        int("delete_token=hunter2")
    except ValueError:
        log.exception("failed")
        logging.getLogger("uvicorn.error").exception("failed")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "&x=1" in text
    assert text.count("ValueError") >= 2


@dataclass(frozen=True)
class Credentials:
    password: str


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        "authorization: Bearer hunter2",
        "Authorization=Basic hunter2==",
        "Proxy-Authorization: Digest username='a', response='hunter2'",
        "Cookie: a=b; session=hunter2",
        "set-cookie: session=hunter2; Path=/",
        "{'Authorization': 'Bearer hunter2'}",
        '{"x-delete-token": "hunter2", "password": "hunter2"}',
        "[(b'x-delete-token', b'hunter2'), (b'cookie', b\"a='b'; c=hunter2\")]",
        r"{\"authorization\": \"Bearer hunter2\"}",
        "/AAAAAAAAAAA%3Fdelete_token%3Dhunter2%26a=b",
        "/AAAAAAAAAAA&delete%5Ftoken=hunter2",
        "/AAAAAAAAAAA%253Fdelete_token%253Dhunter2",
        "{'delete_token': ['hunter2', 'hunter2'], 'cookie': ('hunter2',)}",
        [(b"host", b"h"), (b"x-delete-token", b"hunter2"), (b"Cookie", b"hunter2")],
        ([b"authorization", b"Bearer hunter2"],),
        {"request": {"headers": [{"Authorization": "Bearer hunter2"}], "query": {"delete_token": ["hunter2"]}}},
        {b"x-delete-token": b"hunter2", 1: 2},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"password": "hunter2"}}}}}}}}}},
        {"text": "delete_token=hunter2"},
        b"x-delete-token: hunter2",
        Credentials(password="hunter2"),
        {"x-delete-token: hunter2"},
    ],
)
def test_secrets_are_found_wherever_they_stand(value, as_json):
    stream = configured(json=as_json)
    structlog.get_logger("x").info("asked", value=value)
    logging.getLogger("y").info("asked %s", value)
    assert "hunter2" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2
    assert "[redacted]" in stream.getvalue()


def test_what_is_no_secret_stays():
    stream = configured()
    value = {"author": "x", "tokens": 3, "list": [1, 2.5, True, None], "pair": ("name", "value"), "word": "tokenized"}
    structlog.get_logger("x").info("the password was changed, GET /a?size=150&v=1", value=value)
    (line,) = lines(stream)
    assert line["event"] == "the password was changed, GET /a?size=150&v=1"
    assert line["value"] == {**value, "pair": ["name", "value"]}


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


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("between", ["?", "&", "/", "%3F"])
async def test_a_token_in_the_path_is_taken_out(as_json, between):
    stream = io.StringIO()
    log = AccessLog(stream=stream, json=as_json)
    log.request(**{**REQUEST, "path": f"/api/v1/images/AAAAAAAAAAA{between}delete_token=hunter2&a=b"})
    log.close()
    assert "hunter2" not in stream.getvalue()
    assert f"AAAAAAAAAAA{between}delete_token=[redacted]&a=b" in stream.getvalue()


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


def exported(metrics):
    content_type, body = metrics.render(None)
    assert content_type.startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


@dataclass(frozen=True)
class Sandbox:
    workers: int
    busy: int
    waiting: int
    jobs: int
    crashes: int
    timeouts: int
    restarts: int


def exercised():
    metrics = Metrics(now=lambda: 1000.0)
    metrics.request_answered(route="/a", method="GET", status=200, seconds=0.01)
    metrics.request_answered(route="/a", method="GET", status=200, seconds=0.01)
    metrics.upload_finished(100)
    metrics.upload_refused("FILE_TOO_LARGE")
    metrics.watch_codec(lambda: Sandbox(workers=2, busy=1, waiting=3, jobs=10, crashes=1, timeouts=2, restarts=4))
    metrics.thumbnail_cache_asked(hit=True)
    metrics.thumbnail_cache_asked(hit=False)
    metrics.record_cache_asked(hit=True)
    metrics.record_cache_asked(hit=False)
    metrics.set_jobs({"ready": 3, "dead": 1})
    metrics.job_finished("render", "done")
    metrics.set_blobs({"live": 2}, live_bytes=300)
    metrics.sweep_finished("collector", 4)
    metrics.sweep_finished("collector", None)
    metrics.effect_failed(ValueError())
    metrics.storage_operated("put", seconds=0.1, failed=False)
    metrics.storage_operated("put", seconds=0.1, failed=True)
    metrics.requests_in_flight = 7
    return metrics


def test_every_described_metric_is_exported_and_the_other_way_round():
    families = exported(exercised())
    described = {d.name.removesuffix("_total"): d for d in Metrics.describe()}
    ours = {name for name in families if name.startswith("chitram_")}
    assert ours == set(described)
    for name, description in described.items():
        assert families[name].documentation == description.help
        assert description.help.endswith(".")
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == set(description.labels)


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("chitram_http_requests_total", {"route": "/a", "method": "GET", "status": "200"}, 2),
        ("chitram_http_request_duration_seconds_count", {"route": "/a"}, 2),
        ("chitram_http_requests_in_flight", {}, 7),
        ("chitram_uploads_total", {"result": "created"}, 1),
        ("chitram_uploads_total", {"result": "FILE_TOO_LARGE"}, 1),
        ("chitram_upload_bytes_total", {}, 100),
        ("chitram_decodes_total", {"outcome": "crash"}, 1),
        ("chitram_decodes_total", {"outcome": "timeout"}, 2),
        ("chitram_decodes_total", {"outcome": "done"}, 7),
        ("chitram_decoder_processes", {}, 2),
        ("chitram_decoder_requests", {"state": "waiting"}, 3),
        ("chitram_decoder_restarts_total", {}, 4),
        ("chitram_thumbnail_cache_requests_total", {"result": "hit"}, 1),
        ("chitram_record_cache_requests_total", {"result": "miss"}, 1),
        ("chitram_jobs", {"state": "ready"}, 3),
        ("chitram_blobs", {"state": "live"}, 2),
        ("chitram_blob_bytes", {}, 300),
        ("chitram_sweep_runs_total", {"sweep": "collector", "result": "failed"}, 1),
        ("chitram_sweep_repaired_total", {"sweep": "collector"}, 4),
        ("chitram_sweep_last_success_timestamp_seconds", {"sweep": "collector"}, 1000),
        ("chitram_after_commit_failures_total", {}, 1),
        ("chitram_storage_operation_duration_seconds_count", {"operation": "put"}, 2),
        ("chitram_storage_operation_errors_total", {"operation": "put"}, 1),
        ("chitram_build_info", {"version": __version__}, 1),
    ],
)
def test_what_is_counted(name, labels, value):
    assert exercised().registry.get_sample_value(name, labels) == value


def test_metrics_have_a_registry_of_their_own():
    first, second = Metrics(), Metrics()
    first.upload_finished(1)
    assert second.registry.get_sample_value("chitram_upload_bytes_total") == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("chitram")]
    assert first.registry.get_sample_value("process_open_fds") > 0


def test_openmetrics_on_request():
    content_type, body = Metrics().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")

import asyncio
import io
import json
import re

import pytest
from structlog.testing import capture_logs

from chitram.domain.errors import ImageNotFound, StorageUnavailable
from chitram.entrypoints.support import exchange
from chitram.entrypoints.support.asgi import CLIENT, HOST, REPLY_HEADERS, REQUEST_ID, ROUTE
from chitram.entrypoints.support.body import ClientDisconnected, Pace, RequestBody
from chitram.entrypoints.support.edge import Edge
from chitram.observability import AccessLog, Metrics, current_request_id
from tests.unit.support.asgi_client import body_messages, call, make_scope


class Site:
    """An edge around `app`, with what it logs and counts."""

    def __init__(self, app, **options):
        self.metrics, self.log = Metrics(), io.StringIO()
        self.access_log = AccessLog(stream=self.log, json=True)
        self.edge = Edge(app, metrics=self.metrics, access_log=self.access_log, **options)

    async def ask(self, path="/", *, messages=(), **options):
        self.scope = make_scope(path, **options)
        return await call(self.edge, self.scope, messages=messages)

    def lines(self):
        self.access_log.flush()
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def counted(self, **labels):
        return self.metrics.registry.get_sample_value("chitram_http_requests_total", labels)


def answering(status=200, *, headers=(), body=b"ok", route="/things/{id}"):
    async def app(scope, _receive, send):
        scope[ROUTE] = route
        fields = [(b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return app


def raising(error):
    async def app(_scope, _receive, _send):
        raise error

    return app


async def test_every_answer_carries_the_security_headers():
    answer = await Site(answering()).ask()
    for name, value in exchange.SECURITY_HEADERS:
        assert answer.header(name.decode()) == value.decode()
    assert answer.header("strict-transport-security") is None
    assert answer.header("server") is None
    secure = await Site(answering()).ask(scheme="https")
    assert secure.header("strict-transport-security") == "max-age=31536000"


async def test_what_the_inner_application_set_stays():
    own = [(b"content-security-policy", b"sandbox"), (b"referrer-policy", b"origin")]
    answer = await Site(answering(headers=own)).ask()
    assert answer.header("content-security-policy") == "sandbox"
    assert answer.header("referrer-policy") == "origin"


async def test_shared_header_lists_are_left_alone():
    shared = [(b"content-length", b"0")]

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": shared})
        await send({"type": "http.response.body"})

    await Site(app).ask()
    assert shared == [(b"content-length", b"0")]


async def test_fields_wanted_on_every_answer_are_on_errors_too():
    async def app(scope, _receive, _send):
        scope[REPLY_HEADERS] = [(b"ratelimit", b'"upload";r=0')]
        raise ImageNotFound

    assert (await Site(app).ask()).header("ratelimit") == '"upload";r=0'


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abcDEF12._-", True),
        ("a" * 128, True),
        ("short", False),
        ("a" * 129, False),
        ("has space", False),
        ("x\r\ninjected", False),
        ("", False),
    ],
)
async def test_request_ids(given, kept):
    site = Site(answering())
    answer = await site.ask(headers=[("x-request-id", given)])
    identity = answer.header("x-request-id")
    assert (identity == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", identity)
    assert site.scope[REQUEST_ID] == identity == site.lines()[0]["request_id"]


async def test_log_lines_of_a_request_carry_its_id():
    seen = {}

    async def app(scope, receive, send):
        seen["request_id"] = current_request_id.get()
        await answering()(scope, receive, send)

    answer = await asyncio.create_task(Site(app).ask())
    assert seen["request_id"] == answer.header("x-request-id")
    assert current_request_id.get() == ""


async def test_ids_of_our_own_differ():
    site = Site(answering())
    assert len({(await site.ask()).header("x-request-id") for _ in range(600)}) == 600


async def test_forwarded_fields_count_only_from_trusted_proxies():
    forged = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")]
    site = Site(answering(), trusted_proxies=["10.0.0.0/8"])
    await site.ask(headers=forged)
    assert (site.scope[CLIENT], site.scope["scheme"], site.scope[HOST]) == ("192.0.2.7", "http", "img.example.org")
    await site.ask(headers=forged, client=("10.0.0.1", 1))
    assert (site.scope[CLIENT], site.scope["scheme"], site.scope[HOST]) == ("1.1.1.1", "https", "img.example.org")
    await site.ask(client=None)
    assert site.scope[CLIENT] == ""


async def test_hosts_that_are_not_ours_are_refused_but_health_answers():
    site = Site(answering(), allowed_hosts=["img.example.org"])
    answer = await site.ask(headers=[("host", "evil.example")])
    assert answer.status == 400
    assert json.loads(answer.body)["detail"]["code"] == "INVALID_REQUEST"
    assert (await site.ask("/health/live", headers=[("host", "10.0.0.3:8000")])).status == 200
    assert (await site.ask(headers=[("host", "img.example.org"), ("host", "evil.example")])).status == 400


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        ("1.1", [b"10.0.0.3:8000"], 200),
        ("1.1", [b"a", b"b"], 400),
        ("1.1", [b"a b"], 400),
        ("1.1", [], 400),
        ("1.0", [], 200),
        ("1.0", [b""], 200),
        ("1.0", [b"a", b"b"], 400),
    ],
)
async def test_health_has_any_name_but_only_one(path, version, hosts, status):
    site = Site(answering(), allowed_hosts=["img.example.org"])
    scope = make_scope(path, http_version=version)
    scope["headers"][:] = [(b"host", host) for host in hosts]
    assert (await call(site.edge, scope)).status == status


@pytest.mark.parametrize(
    ("version", "default", "status"),
    [("1.0", "img.example.org", 200), ("1.0", "", 400), ("1.1", "img.example.org", 400)],
)
async def test_who_cannot_name_a_host_means_the_one_that_we_have(version, default, status):
    site = Site(answering(), default_host=default)
    scope = make_scope(http_version=version)
    scope["headers"].clear()
    assert (await call(site.edge, scope)).status == status
    assert scope[HOST] == (default if version == "1.0" else "")


async def test_routes_are_counted_by_template_and_methods_are_few():
    site = Site(answering())
    await site.ask("/things/secret-path")
    await site.ask("/things/x", method="BREW")
    assert site.counted(route="/things/{id}", method="GET", status="200") == 1
    assert site.counted(route="/things/{id}", method="OTHER", status="200") == 1
    other = Site(answering(route=None))
    await other.ask("/x")
    assert other.counted(route="unmatched", method="GET", status="200") == 1
    assert b"secret-path" not in other.metrics.render(None)[1] + site.metrics.render(None)[1]


async def test_the_frameworks_route_is_used():
    class Route:
        path = "/framework/{x}"

    async def app(scope, receive, send):
        await answering(route=None)(scope, receive, send)
        scope["route"] = Route()

    site = Site(app)
    await site.ask("/framework/1")
    assert site.counted(route="/framework/{x}", method="GET", status="200") == 1


async def test_the_access_log_has_no_query():
    site = Site(answering())
    await site.ask("/things/1", query="delete_token=hunter2", headers=[("user-agent", "curl\x1b[31m/8\n" + "x" * 500)])
    line = site.lines()[0]
    assert "hunter2" not in site.log.getvalue()
    assert line["event"] == "request"
    assert (line["path"], line["status"], line["bytes_out"], line["client"]) == ("/things/1", 200, 2, "192.0.2.7")
    assert len(line["user_agent"]) == 200
    assert len(site.log.getvalue().splitlines()) == 1


async def test_without_an_access_log_nothing_is_written():
    edge = Edge(answering(), metrics=Metrics(), access_log=None)
    assert (await call(edge, make_scope())).status == 200


async def test_unexpected_failures_are_answered_and_logged():
    site = Site(raising(ZeroDivisionError("secret detail")))
    with capture_logs() as logs:
        answer = await site.ask()
    body = json.loads(answer.body)
    assert (answer.status, body["detail"]["code"]) == (500, "INTERNAL_ERROR")
    assert body["detail"]["details"]["request_id"] == answer.header("x-request-id")
    assert b"secret detail" not in answer.body
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert site.counted(route="unmatched", method="GET", status="500") == 1
    assert site.metrics.requests_in_flight == 0


async def test_errors_of_ours_that_nobody_answered_are_answered():
    with capture_logs() as logs:
        assert (await Site(raising(StorageUnavailable())).ask()).status == 503
        assert (await Site(raising(ImageNotFound())).ask()).status == 404
    assert [entry["code"] for entry in logs] == ["STORAGE_UNAVAILABLE"]


async def test_a_failure_in_the_middle_breaks_the_connection():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    site = Site(app)
    with pytest.raises(ZeroDivisionError):
        await site.ask()
    assert site.lines()[0]["bytes_out"] == 4


async def test_a_failure_after_the_answer_is_only_logged():
    async def app(scope, receive, send):
        await answering()(scope, receive, send)
        raise ZeroDivisionError

    with capture_logs() as logs:
        answer = await Site(app).ask()
    assert (answer.status, answer.complete) == (200, True)
    assert len(logs) == 1


@pytest.mark.parametrize("app", [raising(ClientDisconnected())])
async def test_clients_that_went_away_count_as_499(app):
    site = Site(app)
    with capture_logs() as logs:
        assert (await site.ask()).status == 0
    assert logs == []
    assert site.lines()[0]["status"] == 499
    assert site.counted(route="unmatched", method="GET", status="499") == 1


async def test_the_lifespan_passes_and_websockets_are_refused():
    seen, sent = [], []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    async def send(message):
        sent.append(message)

    edge = Site(app).edge
    await edge({"type": "lifespan"}, None, send)
    await edge({"type": "websocket"}, None, send)
    assert seen == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def refusing_after(count):
    """Reads `count` pieces of the body, then refuses the rest."""

    async def app(scope, receive, send):
        for _ in range(count):
            await receive()
        await answering(413, body=b"too large")(scope, receive, send)

    return app


def upload(*pieces, length=None, **headers):
    declared = sum(map(len, pieces)) if length is None else length
    fields = [("content-length", str(declared)), *headers.items()]
    return {"method": "POST", "headers": fields, "messages": body_messages(*pieces)}


async def test_an_early_answer_is_complete_before_the_rest_is_read():
    events, waiting = [], body_messages(*[bytes(100_000)] * 5)

    async def receive():
        events.append("receive")
        return waiting.pop(0)

    async def send(message):
        events.append((message["type"].rpartition(".")[2], message.get("body"), message.get("more_body", False)))

    scope = make_scope("/", method="POST", headers=[("content-length", "500000")])
    await Site(refusing_after(1)).edge(scope, receive, send)
    assert events == [
        "receive",
        ("start", None, False),
        ("body", b"too large", True),
        *["receive"] * 4,
        ("body", b"", False),
    ]


async def test_a_large_rest_closes_the_connection_and_a_small_one_does_not():
    large = await Site(refusing_after(1)).ask(**upload(bytes(100_000), bytes(100_000)))
    small = await Site(refusing_after(1)).ask(**upload(bytes(100_000), bytes(1000)))
    whole = await Site(refusing_after(2)).ask(**upload(bytes(100_000), bytes(1000)))
    assert [answer.header("connection") for answer in (large, small, whole)] == ["close", None, None]
    assert [answer.pieces for answer in (large, small, whole)] == [2, 2, 1]
    assert all(answer.complete and answer.body == b"too large" for answer in (large, small, whole))


async def test_a_body_of_unknown_length_closes_the_connection():
    options = {"method": "POST", "headers": [("transfer-encoding", "chunked")]}
    answer = await Site(refusing_after(1)).ask(messages=body_messages(b"a", b"b", b"c"), **options)
    assert (answer.header("connection"), answer.complete) == ("close", True)


async def test_an_empty_body_is_no_body():
    answer = await Site(refusing_after(0)).ask(**upload(b"", length=0))
    assert (answer.header("connection"), answer.pieces) == (None, 1)


async def test_whoever_waits_to_be_asked_for_the_body_is_not_waited_for():
    answer = await Site(refusing_after(0)).ask(**upload(b"abc", expect="100-continue"))
    assert (answer.header("connection"), answer.pieces) == ("close", 1)
    asked = await Site(refusing_after(1)).ask(**upload(bytes(10), bytes(70_000), bytes(1), expect="100-continue"))
    assert (asked.header("connection"), asked.pieces) == ("close", 2)


async def test_a_client_without_patience_is_read_out(monkeypatch):
    monkeypatch.setattr(exchange, "_CONTINUE_SECONDS", -1.0)
    answer = await Site(refusing_after(0)).ask(**upload(bytes(70_000), expect="100-continue"))
    assert answer.pieces == 2


async def test_answers_of_unknown_length_end_at_once():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"streamed"})

    answer = await Site(app).ask(**upload(bytes(100_000)))
    assert (answer.header("connection"), answer.pieces, answer.complete) == ("close", 1, True)


async def test_an_endless_body_is_given_up(monkeypatch):
    monkeypatch.setattr(exchange, "LINGER_BYTES", 10_000)
    taken = 0

    async def receive():
        nonlocal taken
        taken += 1000
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    sent = []

    async def send(message):
        sent.append(message)

    scope = make_scope("/", method="POST", headers=[("transfer-encoding", "chunked")])
    await Site(refusing_after(0)).edge(scope, receive, send)
    assert taken == 11_000
    assert sent[-1].get("more_body", False) is False


async def test_a_silent_client_is_given_up(monkeypatch):
    monkeypatch.setattr(exchange, "LINGER_IDLE_SECONDS", 0.01)
    sent = []

    async def receive():
        return await asyncio.Future()

    async def send(message):
        sent.append(message)

    scope = make_scope("/", method="POST", headers=[("content-length", "1000")])
    await Site(refusing_after(0)).edge(scope, receive, send)
    assert sent[-1] == {"type": "http.response.body", "body": b""}


async def test_a_failure_while_the_body_comes_is_answered_and_read_out():
    async def app(_scope, receive, _send):
        async for _ in RequestBody(receive, pace=Pace()):
            raise ImageNotFound

    answer = await Site(app).ask(**upload(bytes(10), bytes(100_000)))
    assert (answer.status, answer.header("connection"), answer.complete) == (404, "close", True)


async def test_a_failure_after_an_early_answer_still_ends_it():
    async def app(scope, receive, send):
        await answering(413)(scope, receive, send)
        raise ZeroDivisionError

    with capture_logs():
        answer = await Site(app).ask(**upload(bytes(100_000)))
    assert (answer.status, answer.complete) == (413, True)

"""Requests that try to write or learn what is not theirs: by names, addresses, hosts, and through the logs."""

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.raw import converse, request
from tests.faults.traffic import UPLOAD, form

pytestmark = pytest.mark.slow

#: What no answer may contain, whatever goes wrong.
TELLING = re.compile(r"Traceback|site-packages|\.py\b|sqlite|SELECT |/(?:tmp|root|home)/|uvicorn|Starlette|FastAPI\b")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("misuse"), **UNLIMITED, LOG_LEVEL="debug") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def image(client: httpx.Client) -> str:
    identity: str = client.post(UPLOAD, files=form(pictures.jpeg(200, 150, grain=0.2))).json()["id"]
    return identity


# ---------------------------------------------------------------------------------------------------------- names

NAMES = [
    "a\r\nSet-Cookie: x=1.png", "a\nb.png", 'a".png', "a;b.png", "a\\.png", "../../etc/passwd", "..\\..\\boot.ini",
    "చిత్రం.png", "😀.png", "\u202egnp.exe", "a\u0000b.png", "x" * 300 + ".png", "é" * 200 + ".png", "", ".", "..",
    "%0d%0aX: y.png", "-write x.png", "$(id).png", "<script>alert(1)</script>.png", "a\x7f\x1b[31mb.png", "con", "/",
    "\\",
]  # fmt: skip


def form_with(name: str) -> tuple[bytes, str]:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\nContent-Type: image/png\r\n\r\n'
    return head.encode() + pictures.png() + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_names(client: httpx.Client, name: str):
    body, content_type = form_with(name)
    answer = client.post(UPLOAD, content=body, headers={"Content-Type": content_type})
    if answer.status_code != 201:
        assert answer.status_code in (400, 422), answer.text
        return
    kept = answer.json()["filename"]
    assert not re.search(r"[\x00-\x1f\x7f/\\\u202a-\u202e\u2066-\u2069]", kept)
    assert 0 < len(kept.encode()) <= 255
    assert kept not in (".", "..")
    for query in ("", "?download=1"):
        served = client.get(f"/api/v1/images/{answer.json()['id']}/file{query}")
        assert served.status_code == 200
        assert "set-cookie" not in served.headers
        assert served.headers["content-disposition"].isascii()


# ---------------------------------------------------------------------------------------------------------- addresses


@contextmanager
def limited(directory: Path, **settings: str) -> Iterator[Server]:
    limits = {"RATE_LIMIT_PER_MINUTE": "3", "RATE_LIMIT_WINDOW_SECONDS": "600"}
    with running_server(directory, **limits, **settings) as running:
        yield running


def statuses_with_addresses(server: Server) -> list[int]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        return [
            client.post(
                UPLOAD,
                files=form(pictures.png()),
                headers={
                    "X-Forwarded-For": f"203.0.113.{n}",
                    "X-Real-IP": f"203.0.113.{n}",
                    "Forwarded": f"for=203.0.113.{n}",
                    "CF-Connecting-IP": f"203.0.113.{n}",
                    "True-Client-IP": f"203.0.113.{n}",
                },
            ).status_code
            for n in range(5)
        ]


def test_a_made_up_address_does_not_dodge_the_limit(tmp_path: Path):
    with limited(tmp_path) as server:
        assert statuses_with_addresses(server) == [201, 201, 201, 429, 429]


def test_what_a_trusted_proxy_says_counts(tmp_path: Path):
    with limited(tmp_path, TRUSTED_PROXIES="127.0.0.0/8") as server:
        assert statuses_with_addresses(server) == [201] * 5
        with httpx.Client(base_url=server.url, timeout=30) as client:
            # Everything left of what the proxy itself appended was written by the client.
            statuses = [
                client.post(
                    UPLOAD, files=form(pictures.png()), headers={"X-Forwarded-For": f"198.51.100.{n}, 192.0.2.9"}
                ).status_code
                for n in range(5)
            ]
        assert statuses == [201, 201, 201, 429, 429]


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost:80@evil.example", "localhost/..", "localhost evil", "", "[::1"]
)
def test_other_hosts_are_refused(tmp_path_factory: pytest.TempPathFactory, guarded: Server, host: str):
    for target in ("/api/v1/images", "/api/v1/images/AAAAAAAAAAA", "/docs", "/openapi.json"):
        answers = converse(guarded.port, request("GET", target, "Connection: close", host=host))
        assert answers.statuses == [400]
        assert b"evil" not in answers.data


def test_no_forwarded_host_gets_into_an_answer(guarded: Server):
    with httpx.Client(base_url=guarded.url, timeout=30) as client:
        for field in (
            "X-Forwarded-Host",
            "X-Host",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Forwarded-Server",
            "Forwarded",
        ):
            answer = client.post(UPLOAD, files=form(pictures.png()), headers={field: "evil.example"})
            assert answer.status_code == 201
            assert "evil" not in answer.text + str(answer.headers)
        absolute = converse(guarded.port, request("GET", "http://evil.example/api/v1/images", "Connection: close"))
        assert b"evil" not in absolute.data


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("hosts"), **UNLIMITED, ALLOWED_HOSTS="localhost,127.0.0.1") as running:
        yield running


# ---------------------------------------------------------------------------------------------------------- logs


def log_of(server: Server, client: httpx.Client) -> str:
    """The log once everything that was asked up to now is in it."""
    mark = secrets.token_hex(8)
    client.get("/health/live", headers={"User-Agent": mark})
    deadline = time.monotonic() + 10
    while mark not in (text := server.log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert mark in text
    return text


def test_nobody_writes_into_the_log(server: Server, client: httpx.Client):
    """Each line is one JSON object, whatever was sent, and no terminal is told anything."""
    canary = secrets.token_hex(8)
    nasty = f'{canary}\x1b[2J\x1b[31m"}}\\n{{"level":"critical","event":"forged {canary}"}}'
    client.get("/api/v1/images/AAAAAAAAAAA", headers={"User-Agent": nasty.encode("latin-1"), "Referer": canary})
    client.get("/%0d%0a%7b%22event%22%3a%22forged%22%7d%1b%5b31m" + canary)
    client.get("/api/v1/images/AAAAAAAAAAA", headers={"X-Request-Id": f'{canary}" x\ty'})
    body, content_type = form_with(f'{canary}\n{{"event":"forged"}}\x1b[31m.png')
    client.post(UPLOAD, content=body, headers={"Content-Type": content_type})
    lines = log_of(server, client).splitlines()
    assert any(canary in line for line in lines)
    for line in lines:
        assert "\x1b" not in line
        assert "forged" not in str(json.loads(line).get("event")), line


def test_no_delete_token_is_written_anywhere(server: Server, client: httpx.Client, proof):
    tokens = []
    for seed in range(8):
        uploaded = client.post(UPLOAD, files=form(pictures.png(seed=seed))).json()
        path, token = f"/api/v1/images/{uploaded['id']}", uploaded["delete_token"]
        tokens.append(token)
        client.get(
            path, params={"delete_token": token}, headers={"Referer": f"{server.url}{path}?delete_token={token}"}
        )
        client.get(f"{path}/file", params={"DELETE_TOKEN": token, "size": "x"})
        client.get(f"{path}/thumbnail?delete_token={token}&delete_token={token}")
        client.post(f"{path}/verify", headers={"X-Delete-Token": token})
        client.post(f"{path}/verify?delete_token=%{ord(token[0]):02x}{token[1:]}")
        client.put(path, headers={"X-Delete-Token": token}, params={"delete_token": token})
        client.get("/api/v1/images", params={"delete_token": token, "limit": "0"})
        client.delete(f"/api/v1/images/AAAAAAAAAAA?delete_token={token}")
        converse(server.port, request("GET", f"{path}?delete_token={token}", "Bad Field: x"))
        assert client.delete(path, params={"delete_token": token}).status_code == 204
    log_of(server, client)
    places = [server.log, *(path for path in server.data.rglob("*") if path.is_file() and path.name != "secret.key")]
    written = {path.name for path in places for token in tokens if token.encode() in path.read_bytes()}
    assert written == set()
    proof.record("A delete token is written nowhere", "tokens searched in the debug log and in all data; found", "8; 0")


def test_nothing_about_the_inside_is_told(server: Server, client: httpx.Client, image: str):
    asked = [
        client.get("/nowhere"), client.put(f"/api/v1/images/{image}"), client.get("/api/v1/images?limit=x&cursor=%00"),
        client.get("/api/v1/images?cursor=" + "A" * 150), client.get(f"/api/v1/images/{image}/thumbnail?size=../1"),
        client.get(f"/api/v1/images/{image}/similar?distance=1e999"), client.post(UPLOAD, content=b"{"),
        client.get("/api/v1/images/AAAAAAAAAAA", headers={"Accept": "application/problem+json"}),
        client.get(f"/api/v1/images/{image}", headers={"Authorization": "Bearer x"}),
    ]  # fmt: skip
    for answer in asked:
        assert 400 <= answer.status_code < 500, answer.request.url
        assert not TELLING.search(answer.text), answer.text
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
    assert "Traceback" not in log_of(server, client)

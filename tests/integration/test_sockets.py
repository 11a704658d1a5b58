"""What only a real server on a real socket shows: early answers that arrive, kept connections, a drain that drains."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, form, photo

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
#: Once it has shut down in order, the server ends by the very signal that asked it to, as its parent may want to know.
ENDED_WELL = (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Takes files of 1 MiB, and gives a body one second."""
    settings = {**UNLIMITED, "MAX_FILE_SIZE_MB": "1", "UPLOAD_DEADLINE_SECONDS": "1"}
    with running_server(tmp_path_factory.mktemp("sockets"), **settings) as running:
        yield running


class Wire:
    """One connection, spoken by hand."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        status = int(self._file.readline().split()[1])
        fields = {}
        while line := self._file.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return status, fields

    def answer(self) -> tuple[int, dict[str, str], dict]:
        """Status, fields and JSON body of the next answer."""
        status, fields = self.head()
        return status, fields, json.loads(self._file.read(int(fields["content-length"])))

    def at_end(self) -> bool:
        return self._file.read(1) == b""


def post(data: bytes, *extra: str, length: int | None = None) -> bytes:
    """An upload as bytes on the wire; `length` lies about the body."""
    body, fields = form(data)
    head = (
        f"POST {UPLOAD} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {fields['Content-Type']}",
        f"Content-Length: {len(body) if length is None else length}",
        *extra,
    )
    return "\r\n".join((*head, "", "")).encode() + body


def test_one_connection_survives_errors(server):
    body, fields = form(photo())
    with httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=1)) as client:
        seen = [
            client.get(f"{IMAGES}/{UNKNOWN}"),
            client.get("/nowhere"),
            client.put(IMAGES),
            client.get(IMAGES, params={"limit": "0"}),
            client.post(UPLOAD, content=b"x" * 1000, headers={"Content-Type": "text/plain"}),
            client.post(UPLOAD, files={"file": ("a.jpg", b"no picture", "image/jpeg")}),
            client.post(UPLOAD, content=body, headers=fields),
        ]
        assert [answer.status_code for answer in seen] == [404, 404, 405, 422, 422, 400, 201]
        ports = {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in seen}
        assert len(ports) == 1


@pytest.mark.parametrize("length", [MIB + 1, 2 * MIB, 30 * MIB])
def test_the_refusal_of_a_large_file_arrives(server, length):
    data = pictures.png(8, 8) + bytes(length - len(pictures.png(8, 8)))
    answer = httpx.post(f"{server.url}{UPLOAD}", files={"file": ("a.png", data, "image/png")}, timeout=30)
    assert answer.status_code == 413
    assert answer.json()["detail"]["code"] == "FILE_TOO_LARGE"


def test_a_client_that_asks_before_it_sends(server):
    head, _, body = post(photo(), "Expect: 100-continue").partition(b"\r\n\r\n")
    with Wire(server) as wire:
        wire.send(head + b"\r\n\r\n")
        assert wire.head() == (100, {})
        wire.send(body)
        assert wire.answer()[0] == 201


def test_a_length_that_promises_more_ends_in_a_timeout_and_keeps_nothing(server):
    with Wire(server) as wire:
        wire.send(post(photo(9), length=len(form(photo(9))[0]) + 10))
        status, fields, body = wire.answer()
        assert (status, body["detail"]["code"]) == (408, "REQUEST_TIMEOUT")
        assert fields["connection"] == "close"
    assert httpx.get(f"{server.url}/health").json()["upload_concurrency"] == "0/64 active"


def test_a_length_that_promises_less_is_a_broken_form(server):
    with Wire(server) as wire:
        wire.send(post(photo(), length=len(form(photo())[0]) - 30))
        status, _, body = wire.answer()
        assert (status, body["detail"]["code"]) == (400, "INVALID_REQUEST")


def test_what_is_no_http(server):
    with Wire(server) as wire:
        wire.send(b"\x16\x03\x01 client hello\r\n\r\n")
        status, fields, body = wire.answer()
        assert (status, body["detail"]["code"], fields["connection"]) == (400, "INVALID_REQUEST", "close")
        assert wire.at_end()


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
def test_an_upload_that_asks_for_another_protocol_is_an_upload(server, pieces):
    """The body says what is said to be a request, and the next request is the next request."""
    hidden = b"DELETE /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = post(photo() + hidden, *UPGRADE) + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    size = -(-len(sent) // pieces)
    with Wire(server) as wire:
        for start in range(0, len(sent), size):
            wire.send(sent[start : start + size])
        status, _, image = wire.answer()
        # What stands behind a picture's end is not kept.
        assert (status, image["file_size"]) == (201, len(photo()))
        assert wire.answer()[::2] == (200, {"status": "alive"})


def test_an_upload_of_curl_that_hopes_for_http_2(server, tmp_path):
    curl = shutil.which("curl")
    assert curl is not None, "curl is missing"
    (tmp_path / "photo.jpg").write_bytes(photo())
    arguments = ("-s", "--http2", "-F", f"file=@{tmp_path}/photo.jpg;type=image/jpeg", f"{server.url}{UPLOAD}")
    seen = server.log.stat().st_size
    process = subprocess.run([curl, *arguments], capture_output=True, check=True, timeout=60)
    assert json.loads(process.stdout)["file_size"] == len(photo())
    logged = server.log.read_bytes()[seen:]
    assert b"warning" not in logged.lower()


def test_a_client_that_names_no_host(server, tmp_path):
    head = f"GET {IMAGES} HTTP/1.0\r\n\r\n".encode()
    with Wire(server) as wire:
        wire.send(head)
        assert wire.answer()[0] == 400
    with running_server(tmp_path, **UNLIMITED, PUBLIC_URL="https://img.example.org", ALLOWED_HOSTS="*.org") as public:
        with Wire(public) as wire:
            wire.send(head)
            assert wire.answer()[0] == 200
        with Wire(public) as wire:
            wire.send(f"GET {IMAGES} HTTP/1.1\r\n\r\n".encode())
            assert wire.answer()[0] == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://localhost/health/live", 200),
        ("GET http://localhost/nowhere", 404),
        ("GET /health/live", 200),
        ("OPTIONS *", 404),
        ("CONNECT localhost:443", 400),
        ("CONNECT /", 405),
        ("GET ftp://localhost/", 400),
    ],
)
def test_forms_of_targets(server, line, status):
    with Wire(server) as wire:
        wire.send(f"{line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = wire.answer()
        assert answer[0] == status
        assert status == 200 or answer[2]["detail"]["code"] in ("NOT_FOUND", "INVALID_REQUEST", "METHOD_NOT_ALLOWED")
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("path", ["/health", "/metrics", IMAGES, "/openapi.json", f"{IMAGES}/{UNKNOWN}/checksum"])
def test_head_keeps_the_connection(server, path):
    with Wire(server) as wire:
        for _ in range(2):
            wire.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, fields = wire.head()
            assert status in (200, 404)
            assert int(fields["content-length"]) > 0
        wire.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.answer()[0] == 200


def test_an_upload_in_flight_outlives_the_signal_to_stop(tmp_path):
    with running_server(tmp_path, **UNLIMITED) as server:
        data = post(photo())
        with Wire(server) as wire:
            wire.send(data[:-500])
            wait_for_upload(server)
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            wait_until_deaf(server)
            wire.send(data[-500:])
            status, _, image = wire.answer()
            assert status == 201
        assert server.process.wait(30) in ENDED_WELL
        server.start()
        assert httpx.get(f"{server.url}{IMAGES}/{image['id']}/file").content == photo()
        assert server.stop() in ENDED_WELL


def wait_for_upload(server: Server) -> None:
    """Return when an upload holds a slot."""
    for _ in range(1000):
        if httpx.get(f"{server.url}/health").json()["upload_concurrency"].startswith("1/"):
            return
    pytest.fail("the upload did not begin")


def wait_until_deaf(server: Server) -> None:
    """Return when the server takes no more connections."""
    for _ in range(10_000):
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            return
    pytest.fail("the server still listens")

"""The delivered nginx configuration, run by a real nginx in front of a real server: what comes out at its TLS port."""

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.factories.pictures import jpeg, photograph
from tests.factories.servers import Server, running_server
from tests.services.chaos import chaos
from tests.services.nginx import NAME, Nginx, nginx
from tests.services.processes import running

pytestmark = pytest.mark.slow

PREFIX = "/_blobs/"
SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.1",
    "X_ACCEL_PREFIX": PREFIX,
    "PROXY_CACHE_SECONDS": "1",
    "DEFAULT_VISIBILITY": "public",
    "RATE_LIMIT_PER_MINUTE": "60",
    "BCRYPT_ROUNDS": "4",
    "MAX_FILE_SIZE_MB": "1",
    "ALLOWED_CONTENT_TYPES": "image/jpeg,image/png",
}
#: Fields that are nginx's, or of the moment.
UNLIKE = {"connection", "date", "server", "strict-transport-security", "x-accel-expires", "x-request-id"}
#: Longer than a deletion waits, in seconds.
LATE = 1.6
PASSWORD = "warm-minimal-terracotta"


@dataclass(frozen=True)
class Stage:
    """The proxy, and the server behind it."""

    proxy: Nginx
    server: Server
    client: httpx.Client
    direct: httpx.Client

    def upload(self, data: bytes | None = None, **headers: str) -> dict:
        answer = self.client.post(
            "/api/v1/images/upload", files={"file": ("a.jpg", data or jpeg(640, 480))}, headers=headers
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def status(self, path: str, **headers: str) -> int:
        return self.client.get(path, headers=headers).status_code

    def cached_files(self) -> list[Path]:
        return [path for path in self.proxy.cache.rglob("*") if path.is_file()]

    def asked_for_thumbnails(self) -> int:
        """How often the server was, by its own count."""
        return thumbnail_requests(self.direct)


def thumbnail_requests(direct: httpx.Client) -> int:
    lines = direct.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("chitram_http_requests_total{") and "/thumbnail" in line]
    return round(sum(float(line.rpartition(" ")[2]) for line in counts))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("nginx")
    with running_server(directory, LOG_FORMAT="json", **SETTINGS) as server:
        proxy = nginx(directory, upstream=server.port, storage=server.data / "storage", body_limit="2m")
        trust = ssl.create_default_context(cafile=str(proxy.certificate))
        with (
            running(proxy.service),
            httpx.Client(base_url=proxy.url, verify=trust, timeout=30) as client,
            httpx.Client(base_url=server.url, timeout=30) as direct,
        ):
            yield Stage(proxy, server, client, direct)


@pytest.fixture(scope="module")
def image(stage: Stage) -> dict:
    return stage.upload(jpeg(900, 700))


@pytest.fixture(scope="module")
def owner(stage: Stage) -> str:
    """An account's Authorization field."""
    body = {"email": "owner@example.org", "password": PASSWORD}
    answer = stage.direct.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return f"Bearer {answer.json()['access_token']}"


def fields(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in UNLIKE}


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"Range": "bytes=0-9"},
        {"Range": "bytes=100-"},
        {"Range": "bytes=-5"},
        {"Range": "bytes=0-999999999"},
        {"Range": "bytes=9999999-"},
        {"Range": "bytes=9-3"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=3-4", "If-Range": "<etag>"},
        {"Range": "bytes=3-4", "If-Range": "<date>"},
        {"Range": "bytes=3-4", "If-Range": '"another"'},
        {"If-None-Match": "<etag>"},
        {"If-None-Match": '"another"'},
        {"If-Modified-Since": "<date>"},
        {"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"},
        {"If-Match": "<etag>"},
        {"If-Match": '"another"'},
        {"If-Unmodified-Since": "<date>"},
        {"If-Unmodified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_original_is_answered_as_without_nginx(stage: Stage, image: dict, method: str, conditions: dict[str, str]):
    path = f"/i/{image['id']}.jpg"
    plain = stage.direct.head(path)
    known = {"<etag>": plain.headers["etag"], "<date>": plain.headers["last-modified"]}
    headers = {name: known.get(value, value) for name, value in conditions.items()}
    expected = stage.direct.request(method, path, headers=headers)
    found = stage.client.request(method, path, headers=headers)
    assert (found.status_code, found.content) == (expected.status_code, expected.content)
    assert fields(found) == fields(expected)
    assert found.headers["strict-transport-security"]
    assert "x-accel-redirect" not in found.headers


def test_several_ranges_are_ours(stage: Stage, image: dict):
    answer = stage.client.get(f"/i/{image['id']}.jpg", headers={"Range": "bytes=0-3,10-12"})
    whole = stage.direct.get(f"/i/{image['id']}.jpg").content
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert whole[0:4] in answer.content
    assert answer.headers["etag"]


def test_nginx_sends_the_file_itself(stage: Stage, image: dict):
    """The server names the file and sends nothing: only so are all these answers worth comparing."""
    asked = {"X-Sendfile-Type": "X-Accel-Redirect"}
    answer = stage.direct.get(f"/i/{image['id']}.jpg", headers=asked)
    address = answer.headers["x-accel-redirect"]
    assert answer.content == b""
    assert (stage.server.data / "storage" / address.removeprefix(PREFIX)).read_bytes() == stage.client.get(
        f"/i/{image['id']}.jpg"
    ).content


def test_a_file_that_nginx_cannot_open_is_an_error_of_the_store(stage: Stage):
    data = jpeg(500, 400, seed=77)
    made = stage.upload(data)
    path = next((stage.server.data / "storage/blobs").rglob(f"{made['sha256']}.*"))
    moved = path.with_name("aside")
    path.rename(moved)
    path.mkdir()
    try:
        answer = stage.client.get(f"/i/{made['id']}.jpg")
    finally:
        path.rmdir()
        moved.rename(path)
    assert answer.status_code == 503
    assert answer.json()["detail"]["code"] == "STORAGE_UNAVAILABLE"


def test_the_store_is_no_address_of_anybody(stage: Stage, image: dict):
    blob = next((stage.server.data / "storage/blobs").rglob("*.*"))
    key = blob.relative_to(stage.server.data / "storage").as_posix()
    assert blob.is_file()
    for path in (PREFIX, f"{PREFIX}{key}", f"{PREFIX}.staging", f"{PREFIX}x/../{key}", f"/%5fblobs/{key}"):
        answer = stage.client.get(path)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "NOT_FOUND"), path


def test_a_public_thumbnail_is_kept_by_nginx_and_ours_alike(stage: Stage, image: dict):
    path = f"/i/{image['id']}/300.jpg"
    expected = stage.direct.get(path)
    before = stage.asked_for_thumbnails()
    # Half a second of questions meets at most two leases' beginnings, and each has it asked for once or twice.
    deadline = time.monotonic() + 0.5
    asked = 0
    while time.monotonic() < deadline or asked < 20:
        found = stage.client.get(path)
        asked += 1
        assert (found.status_code, found.content) == (200, expected.content)
        assert fields(found) == fields(expected)
    assert stage.asked_for_thumbnails() - before < asked / 2
    tag = expected.headers["etag"]
    assert stage.client.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert stage.client.head(path).headers["content-length"] == expected.headers["content-length"]
    assert stage.cached_files()


def test_ids_of_requests_are_no_part_of_what_is_kept(stage: Stage, image: dict):
    path = f"/i/{image['id']}/150.jpg"
    given = [stage.client.get(path).headers["x-request-id"] for _ in range(4)]
    assert len(set(given)) == 4
    assert stage.client.get(path, headers={"X-Request-ID": "mine-and-only"}).headers["x-request-id"] == "mine-and-only"
    assert stage.client.get(path, headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"


@pytest.mark.parametrize(
    "path", ["/i/{id}/300.jpg", "/api/v1/images/{id}/thumbnail?size=300", "/api/v1/images/{id}/thumbnail?v={v}"]
)
def test_what_was_deleted_or_made_private_is_gone_at_once(stage: Stage, owner: str, path: str, proof):
    waits = []
    for change in ("delete", "private"):
        made = stage.upload(jpeg(400, 300, seed=hash((path, change)) % 1000), Authorization=owner)
        address = path.format(id=made["id"], v=made["sha256"][:8])
        assert {stage.status(address) for _ in range(10)} == {200}
        begun = time.monotonic()
        if change == "delete":
            answer = stage.client.delete(f"/api/v1/images/{made['id']}", headers={"Authorization": owner})
        else:
            answer = stage.client.patch(
                f"/api/v1/images/{made['id']}", json={"visibility": "private"}, headers={"Authorization": owner}
            )
        waits.append(time.monotonic() - begun)
        assert answer.status_code in (200, 204)
        assert {stage.status(address) for _ in range(10)} == {404}
        if change == "private":
            assert stage.status(address, Authorization=owner) == 200
            assert stage.status(address) == 404
    proof.record("C11", "a change is answered when no proxy can hand on what was before", f"{max(waits):.2f} s at most")


def test_what_became_unlisted_is_no_longer_for_search_engines(stage: Stage, owner: str):
    """The bytes and their tag are the same; the fields are not, and those that were kept would live on by a 304."""
    made = stage.upload(jpeg(420, 300, seed=8), Authorization=owner)
    address = f"/i/{made['id']}/300.jpg"
    for _ in range(10):
        assert "x-robots-tag" not in stage.client.get(address).headers
    answer = stage.client.patch(
        f"/api/v1/images/{made['id']}", json={"visibility": "unlisted"}, headers={"Authorization": owner}
    )
    assert answer.status_code == 200
    assert {stage.client.get(address).headers.get("x-robots-tag") for _ in range(10)} == {"noindex"}


def test_an_answer_that_comes_late_is_not_kept(stage: Stage, owner: str, tmp_path: Path):
    """The race that no purge wins: nginx asks before the deletion, and its answer arrives after the deletion's."""
    made = stage.upload(jpeg(420, 300, seed=5), Authorization=owner)
    path = f"/i/{made['id']}/600.jpg"
    with chaos(stage.server.port) as line:
        proxy = nginx(tmp_path, upstream=line.port, storage=tmp_path)
        trust = ssl.create_default_context(cafile=str(proxy.certificate))
        with running(proxy.service), httpx.Client(base_url=proxy.url, verify=trust, timeout=30) as client:
            before = stage.asked_for_thumbnails()
            line.reset(delay=LATE)
            with ThreadPoolExecutor(1) as pool:
                late = pool.submit(client.get, path)
                deadline = time.monotonic() + 20
                while stage.asked_for_thumbnails() == before:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                answer = stage.direct.delete(f"/api/v1/images/{made['id']}", headers={"Authorization": owner})
                assert answer.status_code == 204
                assert not late.done()
                line.reset()
                # It was asked for before the deletion, so it may still be shown, to that one client.
                assert late.result().status_code == 200
            assert {client.get(path).status_code for _ in range(10)} == {404}


def test_what_somebody_has_to_be_known_for_is_never_kept(stage: Stage, owner: str):
    made = stage.upload(jpeg(410, 300, seed=6), Authorization=owner)
    stage.client.patch(f"/api/v1/images/{made['id']}", json={"visibility": "private"}, headers={"Authorization": owner})
    kept = {path: path.stat().st_mtime_ns for path in stage.cached_files()}
    path = f"/i/{made['id']}/300.jpg"
    for _ in range(3):
        answer = stage.client.get(path, headers={"Authorization": owner})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
        assert stage.status(path) == 404
    assert made["id"].encode() not in b"".join(path.read_bytes() for path in set(stage.cached_files()) - set(kept))


def test_credentials_pass_by_what_is_kept(stage: Stage, image: dict):
    path = f"/i/{image['id']}/300.jpg"
    assert stage.status(path) == 200
    assert stage.status(path, Authorization="Bearer nonsense") == 401
    assert stage.status(path, Cookie="chitram_session=nonsense") == stage.direct.get(
        path, headers={"Cookie": "chitram_session=nonsense"}
    ).status_code  # fmt: skip
    assert stage.status(path) == 200


def test_made_up_queries_fill_nothing(stage: Stage, image: dict):
    before = len(stage.cached_files())
    for number in range(5):
        assert stage.status(f"/i/{image['id']}/300.jpg?x={number}") == 200
    assert len(stage.cached_files()) <= before


def test_a_forged_address_does_not_help_against_limits(stage: Stage):
    statuses = [
        stage.client.post(
            "/api/v1/auth/login",
            json={"email": "nobody@example.org", "password": PASSWORD},
            headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
        ).status_code
        for number in range(14)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    log = stage.server.log.read_text()
    assert "203.0.113." not in log


def test_a_file_that_is_too_large_is_refused_by_us(stage: Stage):
    picture = jpeg(64, 64)
    for size in (1024 * 1024 + 1, 1_500_000):
        answer = stage.client.post(
            "/api/v1/images/upload", files={"file": ("a.jpg", picture + bytes(size - len(picture)))}
        )
        assert (answer.status_code, answer.json()["detail"]["code"]) == (413, "FILE_TOO_LARGE")


def test_a_flood_is_refused_by_nginx_in_our_words(stage: Stage):
    answer = stage.client.post("/api/v1/images/upload", files={"file": ("a.jpg", bytes(3_000_000))})
    assert (answer.status_code, answer.json()["detail"]["code"]) == (413, "FILE_TOO_LARGE")
    assert answer.headers["x-request-id"]
    for name in ("content-security-policy", "referrer-policy", "x-frame-options", "x-content-type-options"):
        assert answer.headers[name] == stage.direct.get("/api/v1/auth/me").headers[name]
    assert answer.headers["strict-transport-security"]


def test_a_file_of_just_the_limit_passes(stage: Stage, tmp_path: Path):
    picture = photograph(1400, 1000)
    path = tmp_path / "a.png"
    picture.resize((560, 560)).save(path)
    data = path.read_bytes()
    padding = 1024 * 1024 - len(data)
    assert padding > 0
    # Bytes behind the end are metadata to us and go; what counts for the limit is what was sent.
    answer = stage.client.post("/api/v1/images/upload", files={"file": ("a.png", data + bytes(padding))})
    assert answer.status_code == 201, answer.text


def test_bodies_go_through_as_they_arrive(stage: Stage):
    """The upload has its place before its body is there: nginx does not wait for the end."""
    boundary = b"frontier"
    begin = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body = begin + jpeg(64, 64) + b"\r\n--frontier--\r\n"
    with closing(secure(stage)) as connection:
        head = (
            f"POST /api/v1/images/upload HTTP/1.1\r\nHost: {NAME}:{stage.proxy.https_port}\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: len(begin) + 100])
        deadline = time.monotonic() + 10
        while stage.direct.get("/health").json()["upload_concurrency"][0] == "0":
            assert time.monotonic() < deadline
        connection.sendall(body[len(begin) + 100 :])
        assert received(connection).startswith(b"HTTP/1.1 201 ")


def secure(stage: Stage) -> ssl.SSLSocket:
    trust = ssl.create_default_context(cafile=str(stage.proxy.certificate))
    plain = socket.create_connection(("127.0.0.1", stage.proxy.https_port), timeout=30)
    return trust.wrap_socket(plain, server_hostname=NAME)


def received(connection: ssl.SSLSocket) -> bytes:
    """Everything until the end, which may be a rude one."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except (ConnectionError, ssl.SSLError):
        pass
    return data


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "Host: another.example\r\n",
    ],
)
def test_requests_with_two_meanings_are_refused(stage: Stage, head: str):
    with closing(secure(stage)) as connection:
        request = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: {NAME}\r\n{head}\r\n"
        connection.sendall(request.encode() + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = received(connection)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))


def test_other_names_and_plain_text(stage: Stage):
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://127.0.0.1:{stage.proxy.https_port}/", verify=False)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{stage.proxy.http_port}/")
    moved = httpx.get(f"http://{NAME}:{stage.proxy.http_port}/upload?x=1")
    assert moved.status_code == 308
    assert moved.headers["location"].startswith(f"https://{NAME}")
    assert moved.headers["location"].endswith("/upload?x=1")


def test_tls_is_of_today(stage: Stage):
    address = f"127.0.0.1:{stage.proxy.https_port}"

    def handshake(*options: str) -> str:
        return subprocess.run(
            ["openssl", "s_client", "-connect", address, "-servername", NAME, *options],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        ).stdout.decode(errors="replace")  # fmt: skip

    assert "ALPN protocol: h2" in handshake("-alpn", "h2,http/1.1")
    assert "TLSv1.3" in handshake()
    assert "Cipher is (NONE)" in handshake("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in handshake("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")


def test_secrets_in_addresses_are_in_no_log_of_nginx(stage: Stage):
    stage.client.get("/register?invite=secret-in-a-query", headers={"Referer": "https://x/?secret-in-a-query"})
    stage.client.delete("/api/v1/images/00000000000?delete_token=secret-in-a-query")
    log = stage.proxy.access_log
    deadline = time.monotonic() + 10
    while "DELETE /api/v1/images/00000000000 " not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = log.read_text()
    assert "DELETE /api/v1/images/00000000000 " in lines
    assert "GET /register " in lines
    assert "secret-in-a-query" not in lines


def test_nginx_does_not_tell_its_version(stage: Stage):
    assert stage.client.get("/").headers["server"] == "nginx"


#: To a proxy that does not know this machine, the tests come from outside.
FROM_OUTSIDE = {"allow 127.0.0.1;": "", "allow ::1;": ""}


def test_smoke_goes_all_the_way_through_it_from_outside(stage: Stage, tmp_path: Path):
    storage = stage.server.data / "storage"
    proxy = nginx(tmp_path, upstream=stage.server.port, storage=storage, instead=FROM_OUTSIDE)
    with running(proxy.service):
        said = stage.server.chitram("smoke", "--insecure", proxy.url)
    assert (said.returncode, said.stderr) == (0, "")
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["ok"] * 8


def test_everybody_may_ask_for_health_and_the_machine_alone_for_metrics(stage: Stage, tmp_path: Path):
    assert stage.status("/metrics") == 200
    proxy = nginx(tmp_path, upstream=stage.server.port, storage=tmp_path, instead=FROM_OUTSIDE)
    trust = ssl.create_default_context(cafile=str(proxy.certificate))
    with running(proxy.service), httpx.Client(base_url=proxy.url, verify=trust, timeout=30) as client:
        for path in ("/health", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
        for path in ("/metrics", "//metrics", "/%6Detrics"):
            answer = client.get(f"{proxy.url}{path}")
            assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "NOT_FOUND"), path


def test_the_group_reads_what_is_stored_and_nothing_else(stage: Stage, image: dict):
    """nginx's user is in the group: neither the secret nor the database is its business, nor what is on its way in."""
    data = stage.server.data
    open_to_others = {path.relative_to(data) for path in data.rglob("*") if path.stat().st_mode & 0o077}
    inside = {Path(*path.parts[:2]) for path in open_to_others if len(path.parts) > 1}
    assert {path for path in open_to_others if len(path.parts) == 1} == {Path("storage")}
    store = {Path("storage") / name for name in ("blobs", "thumbs", ".chitram-store", ".staging", ".incoming")}
    assert Path("storage/blobs") in inside <= store
    assert [path for path in open_to_others if path.match(".staging/*") or path.match(".incoming/*")] == []
    assert [path for path in data.rglob("*") if path.stat().st_mode & 0o007] == []


def test_pages_and_forms_work_through_it(stage: Stage):
    page = stage.client.get("/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert page.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(("accepted", "coding"), [("gzip", "gzip"), ("gzip, br", "br"), ("identity", None)])
def test_text_is_compressed_as_the_client_likes_it(stage: Stage, accepted: str, coding: str | None):
    answer = stage.client.get("/openapi.json", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.json()["info"]["title"] == "Chitram"


def test_pictures_and_secrets_are_not_compressed(stage: Stage, image: dict):
    assert "content-encoding" not in stage.client.get(f"/i/{image['id']}.jpg").headers
    assert "content-encoding" not in stage.client.get("/api/v1/auth/me").headers


def test_a_server_that_is_gone_is_said_in_our_words(tmp_path: Path):
    proxy = nginx(tmp_path, upstream=1, storage=tmp_path)
    trust = ssl.create_default_context(cafile=str(proxy.certificate))
    with running(proxy.service):
        answer = httpx.get(f"{proxy.url}/api/v1/images", verify=trust)
    assert answer.status_code == 503
    detail = json.loads(answer.content)["detail"]
    assert (detail["code"], detail["details"]["request_id"]) == ("SERVICE_UNAVAILABLE", answer.headers["x-request-id"])
    assert answer.headers["retry-after"]


def test_clients_that_are_too_slow_are_let_go(stage: Stage, tmp_path: Path):
    """With the times of the configuration cut down to a second: a head, and a body, that do not come on."""
    times = {
        "client_header_timeout 15s;": "client_header_timeout 1s;",
        "client_body_timeout 30s;": "client_body_timeout 1s;",
    }
    proxy = nginx(tmp_path, upstream=stage.server.port, storage=tmp_path, instead=times)
    slow = Stage(proxy, stage.server, stage.client, stage.direct)
    begun = b"POST /api/v1/images/upload HTTP/1.1\r\nHost: localhost\r\n"
    with running(proxy.service):
        for sent in (
            begun,
            begun + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000\r\n\r\n--x\r\n",
        ):
            with closing(secure(slow)) as connection:
                connection.sendall(sent)
                # It is nginx that ends this: nothing more was sent, and the server would wait far longer.
                assert received(connection)[:12] in (b"", b"HTTP/1.1 408", b"HTTP/1.1 400")
    deadline = time.monotonic() + 10
    while stage.direct.get("/health").json()["upload_concurrency"][0] != "0":
        assert time.monotonic() < deadline

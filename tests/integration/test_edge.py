"""What every answer has in common, whichever door gives it; and the routes beside the images."""

import asyncio
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chitram import __version__
from chitram.adapters.blobs.marker import MARKER
from chitram.observability import Metrics
from chitram.settings import AppSettings, DecodeSettings, LimitSettings, Settings
from tests.factories.applications import client_of, house
from tests.factories.servers import free_port
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, code, post, token, uploaded
from tests.integration.standing import EMBEDDED

#: Of HTML pages, whose forms say where they come from by that.
PAGES = {"/docs": {"referrer-policy": "same-origin"}}
SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": None,
    "content-security-policy": None,
}


def real(tmp_path: Path, **app) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path, **app),
        limits=LimitSettings(enabled=False),
        decode=DecodeSettings(workers=1),
    )


async def test_security_fields_are_on_every_class_of_answer(client):
    image = await uploaded(client)
    path = f"{IMAGES}/{image['id']}"
    answers = [
        await post(client),
        await client.get(path),
        await client.get(path, headers={"If-None-Match": "*"}),
        await client.get(f"{path}/file"),
        await client.get(f"{path}/file", headers={"Range": "bytes=0-9"}),
        await client.get(f"{path}/file", headers={"Range": "bytes=0-9,20-29"}),
        await client.get(f"{path}/file", headers={"Range": "bytes=999999-"}),
        await client.get(f"{path}/thumbnail"),
        await client.head(f"{path}/file"),
        await client.get(f"{IMAGES}/{UNKNOWN}/file"),
        await client.get("/nowhere"),
        await client.put(path),
        await client.get(IMAGES, params={"limit": "0"}),
        await client.get(IMAGES, headers={"Host": "a b"}),
        await client.get("/health"),
        await client.get("/docs"),
        await client.get("/docs/swagger-ui.css"),
        await client.get("/openapi.json"),
        await client.get("/metrics"),
        await client.delete(path, headers=token(image)),
    ]
    expected = [201, 200, 304, 200, 206, 206, 416, 200, 200, 404, 404, 405, 422, 400, 200, 200, 200, 200, 200, 204]
    assert [answer.status_code for answer in answers] == expected
    for answer in answers:
        for name, value in (SECURITY | PAGES.get(answer.request.url.path, {})).items():
            assert name in answer.headers, (answer.request.url, name)
            assert value is None or answer.headers[name] == value
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
        assert len(answer.headers.get_list("x-request-id")) == 1


async def test_bytes_of_strangers_are_inert(client):
    image = await uploaded(client)
    for address in (image["url"], image["thumbnail_url"]):
        assert (await client.get(address)).headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_https_is_insisted_on_where_it_is_spoken(home):
    async with home.client() as client:
        answer = await client.get("https://testserver/health")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


class TestRequestId:
    async def test_one_that_was_sent_comes_back(self, client):
        answer = await client.get("/health", headers={"X-Request-Id": "trace-0123.abc"})
        assert answer.headers["x-request-id"] == "trace-0123.abc"

    @pytest.mark.parametrize("sent", ["", "short", "a" * 129, "has space", "evil\tone!", "<script>alert(1)"])
    async def test_anything_else_is_replaced(self, client, sent):
        answer = await client.get("/health", headers={"X-Request-Id": sent})
        assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["x-request-id"])

    async def test_it_stands_in_failures_of_ours(self, client, home):
        image = await uploaded(client)
        for key in home.objects():
            home.store.erase(key)
        answer = await client.get(image["url"], headers={"X-Request-Id": "trace-0123"})
        assert answer.json()["detail"]["details"]["request_id"] == "trace-0123"


class TestErrors:
    async def test_unknown_addresses(self, client):
        ours = ("/api/v1", f"{IMAGES}/", f"{IMAGES}//file", f"{IMAGES}/{UNKNOWN}/other", f"{IMAGES}/{UNKNOWN}/file/")
        for path in (*ours, "/i", "/i/", "/image", "/nowhere", "/docs/other.js", "/docs/index.html", "/.git/config"):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert code(answer) in ("NOT_FOUND", "IMAGE_NOT_FOUND")

    @pytest.mark.parametrize(
        ("path", "allow"),
        [
            (IMAGES, "GET, HEAD"),
            (UPLOAD, "POST"),
            (f"{IMAGES}/{UNKNOWN}", "DELETE, GET, HEAD, PATCH"),
            (f"{IMAGES}/{UNKNOWN}/file", "GET, HEAD"),
            (f"{IMAGES}/{UNKNOWN}/thumbnail", "GET, HEAD"),
            (f"{IMAGES}/{UNKNOWN}/checksum", "GET, HEAD"),
            (f"{IMAGES}/{UNKNOWN}/similar", "GET, HEAD"),
            (f"{IMAGES}/{UNKNOWN}/verify", "POST"),
            (f"{IMAGES}/{UNKNOWN}/claim", "POST"),
            ("/api/v1/auth/login", "POST"),
            ("/api/v1/auth/session", "DELETE, GET, HEAD, POST"),
            ("/api/v1/auth/tokens", "DELETE, GET, HEAD, POST"),
            ("/api/v1/auth/sessions/x", "DELETE"),
            ("/api/v1/users/me", "DELETE"),
            ("/health", "GET, HEAD"),
            ("/metrics", "GET, HEAD"),
            ("/docs", "GET, HEAD"),
        ],
    )
    async def test_wrong_methods(self, client, path, allow):
        for method in {"PUT", "PATCH", "OPTIONS", "TRACE", "POST", "DELETE"} - set(allow.split(", ")):
            answer = await client.request(method, path)
            assert (answer.status_code, code(answer)) == (405, "METHOD_NOT_ALLOWED"), method
            assert answer.headers["allow"] == allow

    async def test_head_is_answered_wherever_get_is(self, client):
        image = await uploaded(client)
        path = f"{IMAGES}/{image['id']}"
        ours = (IMAGES, f"{IMAGES}?limit=0", path, f"{path}/file", f"{path}/checksum", f"{path}/similar?distance=3")
        beside = ("/health", "/health/live", "/health/ready", "/metrics", "/docs", "/docs/swagger-ui.css")
        for address in (*ours, *beside, "/openapi.json", "/nowhere", f"{IMAGES}/{UNKNOWN}/checksum", UPLOAD):
            get, head = await client.get(address), await client.head(address)
            assert head.content == b"", address
            assert head.status_code == get.status_code, address
            varying = {"x-request-id", "x-cache"} | ({"content-length"} if address == "/metrics" else set())
            same = [
                {name: value for name, value in answer.headers.items() if name not in varying} for answer in (get, head)
            ]
            assert same[0] == same[1], address

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("", "limit=1&limit=2"),
            ("", "cursor=a&cursor=a"),
            (f"/{UNKNOWN}/similar", "distance=1&distance=2"),
            (f"/{UNKNOWN}/checksum", "delete_token=a&delete_token=b"),
            (f"/{UNKNOWN}/checksum", "delete_token=a&delete%5Ftoken=b"),
            (f"/{UNKNOWN}", "delete_token=a&delete_token=b"),
        ],
    )
    async def test_a_parameter_is_there_only_once(self, client, path, query):
        answer = await client.get(f"{IMAGES}{path}?{query}")
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        assert answer.json()["detail"]["details"]["errors"][0]["field"] == query.partition("=")[0]

    async def test_one_token_deletes_and_two_do_not(self, client):
        image = await uploaded(client)
        path, secret = f"{IMAGES}/{image['id']}", image["delete_token"]
        for method, address in (("DELETE", path), ("POST", f"{path}/verify")):
            answer = await client.request(method, f"{address}?delete_token={secret}&delete_token={secret}")
            assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        assert (await client.delete(f"{path}?delete_token={secret}&x=1&x=2")).status_code == 204

    async def test_problem_documents(self, client):
        headers = {"Accept": "application/problem+json", "X-Request-Id": "trace-0123"}
        for path, expected, status in (
            (f"{IMAGES}/{UNKNOWN}", "IMAGE_NOT_FOUND", 404),
            (f"{IMAGES}/{UNKNOWN}/checksum", "IMAGE_NOT_FOUND", 404),
            ("/nowhere", "NOT_FOUND", 404),
            (f"{IMAGES}?limit=0", "VALIDATION_ERROR", 422),
        ):
            answer = await client.get(path, headers=headers)
            assert answer.headers["content-type"] == "application/problem+json"
            body = answer.json()
            assert (body["status"], body["code"]) == (status, expected)
            assert answer.status_code == status
            assert body["instance"] == "urn:chitram:request:trace-0123"
            assert set(body) == {"type", "title", "status", "detail", "instance", "code", "details"}

    @pytest.mark.parametrize("host", ["evil.example", "img.example.org.evil.example", "a b", "img.example.org/x"])
    async def test_hosts_that_are_not_ours(self, tmp_path, host):
        settings = Settings(app=AppSettings(env="test", data_dir=tmp_path, allowed_hosts=("img.example.org",)))
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            answer = await client.get(IMAGES, headers={"Host": host})
            assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")
            assert host not in answer.text
            # Whoever asks for health need not know our name; what is no name at all is wrong there too.
            health = await client.get("/health", headers={"Host": host})
            assert health.status_code == (200 if host.replace(".", "").isalpha() else 400)
            assert (await client.get(IMAGES, headers={"Host": "IMG.example.org:8443"})).status_code == 200

    async def test_a_failure_of_ours_tells_nothing_about_itself(self, client, home):
        def fail():
            raise RuntimeError("the password is hunter2")

        home.application.images.list_public = fail
        with capture_logs() as logged:
            answer = await client.get(IMAGES)
        assert {"request failed", "unexpected failure"} >= {entry["event"] for entry in logged} != set()
        assert (answer.status_code, code(answer)) == (500, "INTERNAL_ERROR")
        assert "hunter2" not in answer.text
        assert (await client.get("/health")).status_code == 200


class TestDocs:
    async def test_everything_comes_from_us(self, client):
        page = await client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        links = [link for link in re.findall(r'(?:src|href)="([^"]+)"', page.text) if link != "data:,"]
        assert len(links) == 4
        for link in links:
            assert not link.startswith(("http:", "https:", "//")), link
            answer = await client.get(page.url.join(link))
            assert answer.status_code == 200
            if link.startswith("docs/"):
                assert answer.headers["content-security-policy"] == page.headers["content-security-policy"]

    async def test_works_under_its_policy(self, client):
        page = await client.get("/docs")
        policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert "http" not in page.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
        assert not re.search(r"\son\w+\s*=", page.text)
        assert 'url: "openapi.json"' in (await client.get("/docs/initialize.js")).text

    async def test_assets_with_and_without_compression(self, client):
        for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
            packed = await client.get(f"/docs/{name}", headers={"Accept-Encoding": "gzip"})
            plain = await client.get(f"/docs/{name}", headers={"Accept-Encoding": "identity"})
            assert packed.headers["content-encoding"] == "gzip"
            assert "content-encoding" not in plain.headers
            assert packed.content == plain.content
            assert plain.headers["vary"] == "Accept-Encoding"

    async def test_the_description_names_every_route(self, client):
        document = (await client.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        assert {path: set(item) for path, item in document["paths"].items()} == {
            "/api/v1/images": {"get"},
            "/api/v1/images/upload": {"post"},
            "/api/v1/images/{image_id}": {"get", "head", "patch", "delete"},
            "/api/v1/images/{image_id}/file": {"get", "head"},
            "/api/v1/images/{image_id}/thumbnail": {"get", "head"},
            "/api/v1/images/{image_id}/checksum": {"get"},
            "/api/v1/images/{image_id}/similar": {"get"},
            "/api/v1/images/{image_id}/verify": {"post"},
            "/api/v1/images/{image_id}/claim": {"post"},
            "/api/v1/auth/register": {"post"},
            "/api/v1/auth/login": {"post"},
            "/api/v1/auth/token": {"post"},
            "/api/v1/auth/me": {"get"},
            "/api/v1/auth/logout": {"post"},
            "/api/v1/auth/password": {"post"},
            "/api/v1/auth/session": {"get", "post", "delete"},
            "/api/v1/auth/sessions": {"get", "delete"},
            "/api/v1/auth/sessions/{session_id}": {"delete"},
            "/api/v1/auth/tokens": {"get", "post", "delete"},
            "/api/v1/auth/tokens/{token_id}": {"delete"},
            "/api/v1/users/me": {"delete"},
            "/api/v1/users/me/images": {"get"},
            "/api/v1/users/me/usage": {"get"},
            "/health": {"get"},
            "/health/live": {"get"},
            "/health/ready": {"get"},
            "/metrics": {"get"},
        }


class TestHealth:
    async def test_tells_each_part(self, tmp_path):
        async with client_of(real(tmp_path)) as client:
            answer = await client.get("/health")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json() == {
                "status": "healthy",
                "version": __version__,
                "environment": "test",
                "database": "connected",
                "storage": "connected",
                "storage_backend": "local",
                "cache": "connected",
                "cache_backend": "memory",
                "rate_limiter": "disabled",
                "rate_limiter_backend": "disabled",
                "upload_concurrency": "0/10 active",
            }
            assert (await client.get("/health/live")).json() == {"status": "alive"}
            ready = await client.get("/health/ready")
            checks = {"database": "connected", "storage": "connected", "cache": "connected", "jobs": "running"}
            assert (ready.status_code, ready.json()) == (200, {"status": "ready", "checks": checks})

    @pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
    async def test_every_answer_is_of_this_moment(self, client, path):
        assert (await client.get(path)).headers["cache-control"] == "no-store"

    @EMBEDDED  # its marker is a file there
    async def test_without_storage(self, client, home):
        (home.root / MARKER).unlink()
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["status"], answer.json()["storage"]) == (
            503,
            "unhealthy",
            "disconnected",
        )
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        assert (await client.get("/health/live")).status_code == 200

    async def test_with_the_job_runner_stopped(self, client):
        assert (await client.get("/health")).json()["status"] == "degraded"
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"]["jobs"] == "stopped"


class TestMetrics:
    async def test_every_described_one_is_there_and_routes_are_templates(self, tmp_path):
        async with client_of(real(tmp_path)) as client:
            image = await uploaded(client)
            path = f"{IMAGES}/{image['id']}"
            unknown = ("/nowhere/at/all", f"{IMAGES}/{UNKNOWN}/file")
            beside = ("/health", "/openapi.json", "/docs")
            for address in (image["url"], image["thumbnail_url"], path, f"{path}/checksum", *beside, *unknown):
                await client.get(address)
            await client.request("BREW", "/health")
            await client.head(f"{path}/checksum")
            answer = await client.get("/metrics")
        text = answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        for described in Metrics.describe():
            assert f"# TYPE {described.name}" in text or f"# TYPE {described.name.removesuffix('_total')}" in text
        assert image["id"] not in text
        assert "/nowhere" not in text
        routes = set(re.findall(r'route="([^"]*)"', text))
        assert {"unmatched", f"{IMAGES}/{{image_id}}/file", f"{IMAGES}/{{image_id}}", UPLOAD, *beside} <= routes
        assert all("{" in route or UNKNOWN not in route for route in routes)
        assert 'method="OTHER"' in text
        assert f'{{method="HEAD",route="{IMAGES}/{{image_id}}/checksum",status="200"}} 1.0' in text
        assert 'chitram_uploads_total{result="created"} 1.0' in text

    async def test_refused_uploads_are_counted_by_their_code(self, client, home):
        await post(client, b"x")
        await post(client, b"")
        _, body = home.application.metrics.render(None)
        assert b'chitram_uploads_total{result="INVALID_FILE_FORMAT"} 1.0' in body
        assert b'chitram_uploads_total{result="INVALID_REQUEST"} 1.0' in body

    async def test_on_a_port_of_their_own(self, tmp_path):
        port = free_port()
        async with client_of(real(tmp_path, metrics_bind=f"127.0.0.1:{port}")) as client:
            assert code(await client.get("/metrics")) == "NOT_FOUND"
            text = await fetch(port)
        assert "chitram_build_info" in text


async def fetch(port: int) -> str:
    """A scrape over a real socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()

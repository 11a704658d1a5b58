"""The files of the pages over HTTP, and what the first view weighs."""

import gzip

import pytest

from tests.integration.requests import code, uploaded

GZIP = {"Accept-Encoding": "gzip"}
#: Bytes of HTML, CSS and scripts, compressed.
BUDGET = 60_000


def loaded(page):
    """Addresses of style sheets and scripts of a page."""
    sheets = [found["href"] for found in page.all("link") if found.get("rel") == "stylesheet"]
    return sheets + [found["src"] for found in page.all("script") if "src" in found]


async def raw(client, path):
    """What an answer weighs as it is sent."""
    async with client.stream("GET", path, headers=GZIP) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join([piece async for piece in answer.aiter_raw()])


class TestFiles:
    async def test_are_kept_for_ever_under_their_own_name(self, stranger):
        for path in loaded(await stranger.open("/")):
            answer = await stranger.client.get(path, headers={"Accept-Encoding": "identity"})
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
            headers, body = await raw(stranger.client, path)
            assert (headers["content-encoding"], headers["content-length"]) == ("gzip", str(len(body)))
            assert gzip.decompress(body) == answer.content
            again = await stranger.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            head = await stranger.client.head(path, headers=GZIP)
            assert (head.content, head.headers["content-length"]) == (b"", str(len(body)))

    async def test_under_a_plain_name_are_asked_about(self, stranger):
        answer = await stranger.client.get("/static/app.css")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, no-cache")

    @pytest.mark.parametrize("name", ["", "nothing.css", "%2e%2e/rendering.py", "app.0000000000.css"])
    async def test_there_are_no_others(self, stranger, name):
        answer = await stranger.client.get(f"/static/{name}")
        assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")

    async def test_are_only_read(self, stranger):
        answer = await stranger.client.post("/static/app.css")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_the_first_view_keeps_to_its_budget(home, client, stranger):
    image = {}
    for _ in range(24):
        image = await uploaded(client, fields={"visibility": "public"})
    for path in ("/", f"/image/{image['id']}"):
        _, body = await raw(stranger.client, path)
        pending, weights = loaded(await stranger.open(path)), {path: len(body)}
        while pending:
            name = pending.pop()
            _, body = await raw(stranger.client, name)
            weights[name] = len(body)
            text = gzip.decompress(body).decode()
            directory = name.rpartition("/")[0]
            found = [part.partition('"')[0] for part in text.split('from "./')[1:]] if name.endswith(".js") else []
            pending += [each for each in (f"{directory}/{other}" for other in found) if each not in weights]
        assert len(weights) > 6
        assert sum(weights.values()) < BUDGET, weights

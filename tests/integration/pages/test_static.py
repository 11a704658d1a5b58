"""The files of the pages over HTTP."""

import gzip

import pytest

from tests.integration.pages.weighing import GZIP, loaded, raw
from tests.integration.requests import code


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

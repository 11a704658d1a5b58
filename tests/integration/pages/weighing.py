"""What a page makes a browser load, and what that weighs as it is sent."""

import re

import httpx

from tests.integration.pages.browsing import Page

GZIP = {"Accept-Encoding": "gzip"}
_IMPORT = re.compile(rb"""(?:\bfrom\s*|\bimport\s*\(?\s*)["']\./([\w.-]+\.js)["']""")


def loaded(page: Page) -> list[str]:
    """Addresses of style sheets and scripts of a page, without what those load themselves."""
    sheets = [found["href"] or "" for found in page.all("link") if found.get("rel") == "stylesheet"]
    return sheets + [found["src"] or "" for found in page.all("script") if "src" in found]


async def raw(client: httpx.AsyncClient, path: str) -> tuple[httpx.Headers, bytes]:
    """Header fields and body of an answer as it is sent to those who take gzip."""
    async with client.stream("GET", path, headers=GZIP) as answer:
        assert answer.status_code == 200, path
        return answer.headers, b"".join([piece async for piece in answer.aiter_raw()])


async def imported(client: httpx.AsyncClient, script: str) -> set[str]:
    """Addresses of the scripts that a script imports, at whatever depth."""
    pending, found = [script], set[str]()
    while pending:
        importer = pending.pop()
        text = (await client.get(importer)).content
        names = {f"{importer.rpartition('/')[0]}/{name.decode()}" for name in _IMPORT.findall(text)}
        pending += names - found
        found |= names
    return found


async def weights(client: httpx.AsyncClient, page: Page, *, path: str) -> dict[str, int]:
    """Address → bytes of the page itself and of every style sheet and script that it loads, compressed."""
    names = {path, *loaded(page)}
    for script in [name for name in names if name.endswith(".js")]:
        names |= await imported(client, script)
    return {name: len((await raw(client, name))[1]) for name in names}

"""The API's description: `/openapi.json` for programs; `/docs` for people, Swagger UI served by ourselves under our own
Content-Security-Policy.
"""

import gzip
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from chitram.domain.errors import NotFound
from chitram.entrypoints.support.asgi import accepts_gzip
from chitram.entrypoints.support.exchange import PAGE_REFERRER_POLICY

# Swagger UI sets style attributes and shows its icons as data: images; scripts come from files alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "initialize.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
COMPRESSED = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})
ASSETS = files("chitram.entrypoints.api") / "docs_assets"

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page(request: Request) -> Response:
    """The page."""
    return _asset(request, "index.html")


@router.get("/openapi.json")
async def description(request: Request) -> Response:
    """The description."""
    return JSONResponse(request.app.openapi())


@router.get("/docs/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file of the page."""
    if name not in TYPES or name == "index.html":
        raise NotFound
    return _asset(request, name)


def _asset(request: Request, name: str) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "public, max-age=3600"}
    if TYPES[name].startswith("text/html"):
        headers["Referrer-Policy"] = PAGE_REFERRER_POLICY
    if name not in COMPRESSED:
        return Response((ASSETS / name).read_bytes(), media_type=TYPES[name], headers=headers)
    data = (ASSETS / f"{name}.gz").read_bytes()
    headers["Vary"] = "Accept-Encoding"
    if accepts_gzip(request.scope):
        headers["Content-Encoding"] = "gzip"
    else:
        data = gzip.decompress(data)
    return Response(data, media_type=TYPES[name], headers=headers)

"""The page on the HTTP interface names every route: the API's, the door's, and the pages'."""

import re

import pytest

from chitram.entrypoints.asgi import PAGE_ROUTERS, ROUTERS
from chitram.entrypoints.delivery.routes import TEMPLATES
from chitram.entrypoints.web.rendering import PAGE_FIELDS
from chitram.entrypoints.web.static_files import ROUTE_TEMPLATE
from tests.architecture.sources import ROOT

PAGE = (ROOT / "docs/reference/http.md").read_text(encoding="utf-8")
TABLES = PAGE.partition("\n## Routes\n")[2].partition("\n## ")[0]
DOCUMENTED = set(re.findall(r"`((?:GET|POST|PATCH|DELETE) /[^`]*)`", TABLES))
SHORT = {"GET /i/{id}.{ext}", "GET /i/{id}/{size}.{ext}"}
#: What is there to be looked at, and is told of in words.
IN_WORDS = {"GET /docs", "GET /openapi.json"}


def named(path):
    """The path with the names that the page has for its places."""
    path = path.replace("{image_id}", "{id}")
    return path if path.startswith("/account") else re.sub(r"\{(?:session|token)_id\}", "{id}", path)


def of(routers):
    return {
        f"{method} {named(route.path)}"
        for router in routers
        for route in router.routes
        for method in route.methods - {"HEAD"}
        if router in PAGE_ROUTERS or route.include_in_schema or route.path in ("/docs", "/openapi.json")
    }


ROUTES = of(ROUTERS) | of(PAGE_ROUTERS) | {f"GET {named(path)}" for path in (*TEMPLATES.values(), ROUTE_TEMPLATE)}


def test_every_header_field_of_pages_is_documented():
    (_, _, rest) = TABLES.partition("\n### Pages\n")
    assert len(PAGE_FIELDS) > 3
    assert {name for name in PAGE_FIELDS if f"`{name}`" not in rest.partition("\n### ")[0]} == set()


def test_every_route_is_documented():
    assert len(ROUTES) > 45
    assert {"GET /", "POST /account/password", "GET /api/v1/images/{id}/file"} <= ROUTES
    assert sorted(ROUTES - DOCUMENTED - IN_WORDS) == []


def test_nothing_is_documented_that_is_not_there():
    assert sorted(DOCUMENTED - ROUTES - SHORT) == []
    assert SHORT <= DOCUMENTED


@pytest.mark.parametrize("words", ["`/docs`", "`/openapi.json`", "`idempotency_key`", "/static/"])
def test_what_is_told_in_words(words):
    assert words in PAGE

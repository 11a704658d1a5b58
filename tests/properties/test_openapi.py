"""The description of the API against the API: what it allows is answered as it says, what it does not is refused.

Schemathesis makes the requests from the document and checks every answer against it; the seed is fixed.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from chitram.entrypoints.asgi import Server as Application
from chitram.settings import AppSettings, Settings
from tests.counts import count
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server

pytestmark = pytest.mark.slow

load_all_checks()
PICTURES = [pictures.jpeg(16, 12, seed=seed) for seed in range(3)] + [pictures.png(9, 9), pictures.png(8, 8, mode="LA")]
schemathesis.openapi.format("binary", st.one_of(st.sampled_from(PICTURES), st.binary(max_size=200)))

DOCUMENT = Application(Settings(app=AppSettings(env="test"))).api.openapi()
SCHEMA = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))
#: Operations for which a document cannot say all: what a picture is, which cursors were made here, where a file ends.
SAYS_LESS = {
    ("POST", "/api/v1/images/upload"),
    ("GET", "/api/v1/images"),
    ("GET", "/api/v1/images/{image_id}/file"),
}
BOUNDED: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "phases": (Phase.explicit, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without rate limits, and quiet."""
    with running_server(tmp_path_factory.mktemp("openapi"), **UNLIMITED, LOG_LEVEL="warning") as running:
        yield running


def excluded(case: schemathesis.Case) -> list[Any]:
    return [positive_data_acceptance] if (case.method, case.operation.path) in SAYS_LESS else []


@SCHEMA.parametrize()
@settings(max_examples=count(15, 500), **BOUNDED)
def test_every_operation_answers_as_described(case, server):
    case.call_and_validate(base_url=server.url, excluded_checks=excluded(case))


def test_what_follows_from_an_upload_is_answered_as_described(server, proof):
    """Walks along the links of the document: an upload, then whatever its answer leads to, in any order."""
    seen: Counter[tuple[str, str, int]] = Counter()

    class Walk(SCHEMA.as_state_machine()):  # type: ignore[misc]  # a class that is made at run time
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": server.url}

        def validate_response(self, response: Any, case: schemathesis.Case, **keywords: Any) -> None:
            seen[case.method, case.operation.path, response.status_code] += 1
            case.validate_response(
                response, excluded_checks=excluded(case), transport_kwargs=keywords, recorder=self.recorder
            )

    Walk.run(settings=settings(max_examples=count(15, 400), stateful_step_count=12, **BOUNDED))
    created = seen["POST", "/api/v1/images/upload", 201]
    followed = sum(seen[key] for key in seen if "{image_id}" in key[1] and key[2] in (200, 204))
    assert created
    assert followed > created
    proof.record("The description of the API is true", "requests along its links, answered as described", seen.total())


def test_every_link_of_an_upload_leads_where_it_says(server):
    """Each in the order of the document, deletion last; the expressions of the links are evaluated here."""
    upload = SCHEMA["/api/v1/images/upload"]["POST"]
    files = {"file": ("a.png", PICTURES[-1], "image/png")}
    image = httpx.post(f"{server.url}{upload.path}", files=files).json()
    links = DOCUMENT["paths"][upload.path]["post"]["responses"]["201"]["links"]
    assert list(links)[-1] == "delete"
    for link in links.values():
        values = {name: image[value.rpartition("/")[2]] for name, value in link["parameters"].items()}
        case = SCHEMA.find_operation_by_id(link["operationId"]).Case(
            path_parameters={"image_id": values.get("image_id") or values["path.image_id"]},
            headers={
                name.removeprefix("header."): value for name, value in values.items() if name.startswith("header.")
            },
        )
        assert case.call_and_validate(base_url=server.url).status_code in (200, 204)
    gone = SCHEMA.find_operation_by_id("image_metadata").Case(path_parameters={"image_id": image["id"]})
    assert gone.call_and_validate(base_url=server.url, excluded_checks=[positive_data_acceptance]).status_code == 404


class TestDocument:
    def test_every_reference_leads_somewhere(self):
        for reference in references(DOCUMENT):
            node: Any = DOCUMENT
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]

    def test_every_link_names_an_operation(self):
        operations = {operation["operationId"] for _, operation in all_operations()}
        links = [
            link["operationId"]
            for _, operation in all_operations()
            for answer in operation["responses"].values()
            for link in answer.get("links", {}).values()
        ]
        assert links
        assert set(links) <= operations
        assert len(operations) == len(all_operations())

    def test_every_operation_of_an_image_says_what_bad_credentials_and_a_silent_database_give(self):
        for path, operation in all_operations():
            if path.startswith("/api/"):
                assert {"401", "503"} <= set(operation["responses"]), operation["operationId"]

    def test_every_error_has_the_one_shape(self):
        for _, operation in all_operations():
            for status, answer in operation["responses"].items():
                if status >= "400" and not operation["operationId"].endswith(("_head", "health", "ready")):
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorResponse"}, operation["operationId"]


def all_operations() -> list[tuple[str, Mapping[str, Any]]]:
    return [(path, operation) for path, item in DOCUMENT["paths"].items() for operation in item.values()]


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below `node`."""
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)

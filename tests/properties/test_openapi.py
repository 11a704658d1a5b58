"""The description of the API against the API: what it allows is answered as it says, what it does not is refused.

Schemathesis makes the requests from the document and checks every answer against it. Everyday runs repeat each other;
the soak looks for what nobody has seen.
"""

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.checks import load_all_checks
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from chitram.entrypoints.asgi import Server as Application
from chitram.settings import AppSettings, Settings
from tests.counts import SOAK, count
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.people import AUTH, IMAGES, Person, register, upload_as

pytestmark = pytest.mark.slow

load_all_checks()
PICTURES = [pictures.jpeg(16, 12, seed=seed) for seed in range(3)] + [pictures.png(9, 9), pictures.png(8, 8, mode="LA")]
schemathesis.openapi.format("binary", st.one_of(st.sampled_from(PICTURES), st.binary(max_size=200)))

DOCUMENT = Application(Settings(app=AppSettings(env="test"))).api.openapi()
SCHEMA = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))
#: Operations for which a document cannot say all: which cursors were made here, where a file ends; and of those with a
#: body, what a picture is, which domains there can be, that no text holds NUL, what lies in the past.
SAYS_LESS = {
    ("GET", "/api/v1/images"),
    ("GET", "/api/v1/users/me/images"),
    ("GET", "/api/v1/images/{image_id}/file"),
} | {
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if "requestBody" in operation
}
#: What succeeds only with what cannot be guessed, or with a request that a document cannot describe.
BEYOND_CHANCE = {
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/session",
    "POST /api/v1/auth/password",
    "DELETE /api/v1/auth/sessions/{session_id}",
    "DELETE /api/v1/auth/tokens/{token_id}",
    "DELETE /api/v1/users/me",
}
LABELS = {f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item}
BOUNDED: dict[str, Any] = {
    "derandomize": not SOAK,
    "database": None,
    "deadline": None,
    "phases": (Phase.explicit, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without rate limits, and quiet."""
    settings = {**UNLIMITED, "LOG_LEVEL": "warning", "BCRYPT_ROUNDS": "4"}
    with running_server(tmp_path_factory.mktemp("openapi"), **settings) as running:
        yield running


class Somebody:
    """An account that is there again whenever something has ended its session, with a private image."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self.calls: Counter[tuple[str, int]] = Counter()
        self._number = 0
        self._person: Person | None = None
        self._image = ""

    @property
    def headers(self) -> dict[str, str]:
        """What shows that it is them."""
        if self._person is None or self.client.get(f"{AUTH}/me", headers=self._person.headers).status_code == 401:
            self._number += 1
            self._person = register(self.client, f"somebody{self._number}@example.org")
        return self._person.headers

    @property
    def image(self) -> str:
        """The id of a private image of theirs."""
        headers = self.headers
        if self.client.get(f"{IMAGES}/{self._image}", headers=headers).status_code != 200:
            assert self._person is not None
            self._image = upload_as(self.client, self._person, PICTURES[-1], visibility="private")["id"]
        return self._image

    def make_room(self) -> None:
        """Revoke the tokens that were made so far: an account may have only so many."""
        assert self.client.delete(f"{AUTH}/tokens", headers=self.headers).status_code == 204


@pytest.fixture(scope="module")
def strangers_calls() -> Counter[tuple[str, int]]:
    """What the tests without an account were answered, by operation."""
    return Counter()


@pytest.fixture(scope="module")
def somebody(server: Server, strangers_calls: Counter[tuple[str, int]]) -> Iterator[Somebody]:
    person = Somebody(server.url)
    yield person
    person.client.close()
    asked = {label for label, _ in person.calls}
    # Strangers may have registered every e-mail before that chance comes upon.
    answered = {label for label, status in person.calls | strangers_calls if status < 400}
    if asked == LABELS:  # and not some of them alone
        assert asked - answered == BEYOND_CHANCE


def excluded(case: schemathesis.Case) -> list[Any]:
    place = (case.method, case.operation.path)
    # What the change has just hidden is answered like what does not exist: 404, where the check knows 401 and 403.
    hidden = [ignored_auth] if place == ("PATCH", "/api/v1/images/{image_id}") else []
    return hidden + ([positive_data_acceptance] if place in SAYS_LESS else [])


@SCHEMA.parametrize()
@settings(max_examples=count(15, 500), **BOUNDED)
def test_every_operation_answers_as_described(case, server, strangers_calls):
    answer = case.call_and_validate(base_url=server.url, excluded_checks=excluded(case))
    strangers_calls[case.operation.label, answer.status_code] += 1


@SCHEMA.parametrize()
@settings(max_examples=count(8, 500), **BOUNDED)
def test_every_operation_answers_somebody_with_an_account_as_described(case, server, somebody):
    """The same for who is signed in, about an image of theirs; what needs an account is refused to who is not.

    The latter is one of the checks: it repeats what succeeded without the credentials, and with wrong ones.
    """
    aimed = "image_id" in case.path_parameters and not case.meta.is_negative_at(ParameterLocation.PATH)
    if aimed:
        case.path_parameters["image_id"] = somebody.image
    somebody.make_room()
    answer = case.call_and_validate(base_url=server.url, headers=somebody.headers, excluded_checks=excluded(case))
    somebody.calls[case.operation.label, answer.status_code] += 1


def test_what_follows_from_an_upload_is_answered_as_described(server, proof):
    """Walks along the links of the document: an upload, then whatever its answer leads to, in any order."""
    seen: Counter[tuple[str, str, int]] = Counter()

    def walks() -> Any:
        class Walk(SCHEMA.as_state_machine()):  # type: ignore[misc]  # a class that is made at run time
            def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
                return {"base_url": server.url}

            def validate_response(self, response: Any, case: schemathesis.Case, **keywords: Any) -> None:
                seen[case.method, case.operation.path, response.status_code] += 1
                case.validate_response(
                    response, excluded_checks=excluded(case), transport_kwargs=keywords, recorder=self.recorder
                )

        return Walk

    created = followed = 0
    for number in range(count(12, 30)):
        # The server remembers what earlier walks did (a second account of an e-mail is refused), so that the same
        # choices can lead elsewhere, which ends a round of walks, perhaps its first: many short rounds, each with
        # choices of its own, instead of a long one.
        round_of_walks = walks() if SOAK else seed(number)(walks())
        with contextlib.suppress(FlakyStrategyDefinition):
            round_of_walks.run(settings=settings(max_examples=15, stateful_step_count=12, **BOUNDED))
        created = seen["POST", "/api/v1/images/upload", 201]
        followed = sum(seen[key] for key in seen if "{image_id}" in key[1] and key[2] in (200, 204))
        if not SOAK and created >= 5 and followed >= 3 * created:
            break
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

"""Nobody gets at what is another's: every operation of the API, asked by everybody, for everything of somebody else's.

The operations come from the API's own description, the statuses from `two_users_table.py`. Whatever the status, no
answer may hold a word that is the owner's alone, and nothing of the owner's may be different afterwards.

That it can fail was seen with private images shown to everybody by `may_see`, with the condition on the visibility
taken out of the search for similar ones, and with sessions ended whosever they were.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from chitram.entrypoints.asgi import Server
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.applications import house
from tests.faults.two_users_stage import IMAGES, UPLOAD, Stage, Theatre, lookalike, theatre
from tests.faults.two_users_table import ADMIN_DELETES, ADMIN_VERIFIES, CALLERS, EXPECTED, expected

DOCUMENT = Server(Settings(app=AppSettings(env="test"))).api.openapi()
#: Operation → method and path.
OPERATIONS = {
    operation["operationId"]: (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
SAFE = sorted(name for name, (method, _) in OPERATIONS.items() if method in ("GET", "HEAD"))
UNSAFE = sorted(set(OPERATIONS) - set(SAFE))
#: Ids that have the form of one and name nothing.
MISSING = {"{image_id}": "AAAAAAAAAAA", "{session_id}": "A" * 24, "{token_id}": "AAAAAAAAAAA"}
#: What two answers may differ in that say the same.
UNTELLING = {"date", "x-request-id"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without a configured log, lines are rendered for people, which takes long."""
    with capture_logs():
        yield


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Theatre]:
    """A server in this process. The default quotas, no rate limits: those are asked for elsewhere."""
    settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=False))
    async with house(tmp_path, settings=settings) as home, theatre(home) as opened:
        yield opened


def target(operation: str, thing: str, stage: Stage) -> tuple[str, str]:
    """Method and path of a request for the owner's `thing`."""
    method, path = OPERATIONS[operation]
    for parameter, missing in MISSING.items():
        path = path.replace(parameter, stage.things.get(thing, missing))
    assert "{" not in path, f"{path} has a parameter that nothing of the owner's stands for"
    return method, path


def body_of(operation: str, stage: Stage, *, role: str) -> dict[str, Any]:
    """What is sent along, as httpx takes it: right in form, and about the owner where it can be."""
    own = {"owner": "the owner's own secret", "admin": "an admin's own secret"}.get(role, "correct horse battery")
    guess = {"email": stage.email, "password": "not the owner's password"}
    bodies: dict[str, dict[str, Any]] = {
        "upload": {"files": {"file": ("b.png", lookalike(8), "image/png")}},
        "change": {"json": {"visibility": "public", "title": "changed", "owner_id": "AAAAAAAAAAA"}},
        "register": {"json": guess},
        "login": {"json": guess},
        "token": {"data": {"username": stage.email, "password": guess["password"]}},
        "begin_session": {"json": guess, "headers": {"Sec-Fetch-Site": "same-origin"}},
        "change_password": {"json": {"current_password": own, "new_password": "a password that is new"}},
        "delete_account": {"json": {"password": own, "images": "delete"}},
        "create_token": {"json": {"name": "another", "scopes": ["read"]}},
        "list_public": {"params": {"limit": 100}},
        "list_owned": {"params": {"limit": 100}},
        "similar": {"params": {"distance": 16}},
    }
    return bodies.get(operation, {})


async def ask(client: httpx.AsyncClient, operation: str, thing: str, stage: Stage, *, role: str) -> httpx.Response:
    method, path = target(operation, thing, stage)
    return await client.request(method, path, **body_of(operation, stage, role=role))


def leaks(answer: httpx.Response, stage: Stage, *, role: str, operation: str, thing: str) -> list[str]:
    """What of the owner's the answer tells, body and header fields."""
    if role == "owner":
        return []
    canaries = stage.secret | ({} if thing == "unlisted" else stage.linked)
    if (role, operation, thing) == ("admin", ADMIN_VERIFIES, "private"):
        canaries = {name: word for name, word in canaries.items() if name != "private sha256"}
    heard = b"\n".join([answer.content, *(name + b": " + value for name, value in answer.headers.raw)])
    return [name for name, word in canaries.items() if word.encode() in heard]


def test_every_operation_has_its_row():
    assert set(EXPECTED) == set(OPERATIONS)
    assert all(len(statuses.split()) == len(CALLERS) for row in EXPECTED.values() for statuses in row.values())


@pytest.mark.slow
@pytest.mark.parametrize("operation", SAFE)
async def test_nobody_is_told_what_is_anothers(scene: Theatre, operation: str):
    stage = await scene.stage()
    before = await scene.snapshot(stage)
    for role in CALLERS:
        client = await scene.caller(role, stage)
        for thing in EXPECTED[operation]:
            answer = await ask(client, operation, thing, stage, role=role)
            assert answer.status_code == expected(operation, thing, role), (role, thing, answer.text)
            assert leaks(answer, stage, role=role, operation=operation, thing=thing) == [], (role, thing)
            _, path = target(operation, thing, stage)
            for method, statuses in (("HEAD", {answer.status_code}), ("OPTIONS", {405})):
                other = await client.request(method, path, **body_of(operation, stage, role=role))
                assert other.status_code in statuses, (role, thing, method)
                assert leaks(other, stage, role=role, operation=operation, thing=thing) == [], (role, thing, method)
                assert method == "OPTIONS" or other.content == b""
    assert await scene.snapshot(stage) == before


@pytest.mark.slow
@pytest.mark.parametrize("operation", UNSAFE)
async def test_nobody_changes_what_is_anothers(scene: Theatre, operation: str):
    for roles in (CALLERS[:-1], CALLERS[-1:]):  # an admin may delete what the owner then could not any more
        stage = await scene.stage()
        for role in roles:
            before = await scene.snapshot(stage)
            for thing in EXPECTED[operation]:
                client = await scene.caller(role, stage)
                answer = await ask(client, operation, thing, stage, role=role)
                assert answer.status_code == expected(operation, thing, role), (role, thing, answer.text)
                assert leaks(answer, stage, role=role, operation=operation, thing=thing) == [], (role, thing)
            if role != "owner" and (role, operation) != ("admin", ADMIN_DELETES):
                assert await scene.snapshot(stage) == before, role


@pytest.mark.slow
@pytest.mark.parametrize("operation", sorted(name for name in EXPECTED if "missing" in EXPECTED[name]))
async def test_what_is_hidden_is_answered_like_what_does_not_exist(scene: Theatre, operation: str):
    """To the byte, whether or not the owner has just looked, which fills the caches."""
    stage = await scene.stage()
    hidden = {"end_one_session": "session", "revoke_token": "api token"}.get(operation, "private")
    compared = 0
    for warm in (False, True):
        for role in CALLERS[:-1]:
            if role == "admin" and operation in (ADMIN_VERIFIES, ADMIN_DELETES):
                continue  # whom the digest or the deletion is answered, by decision
            if warm:
                owner = await scene.caller("owner", stage)
                for tail in ("", "/file", "/thumbnail"):
                    assert (await owner.get(f"{IMAGES}/{stage.things['private']}{tail}")).status_code == 200
            client = await scene.caller(role, stage)
            one, other = [await ask(client, operation, thing, stage, role=role) for thing in (hidden, "missing")]
            assert one.content == other.content, role
            assert telling(one) == telling(other), role
            compared += 1
    assert compared >= 10


def telling(answer: httpx.Response) -> tuple[int, list[tuple[str, str]]]:
    fields = [(name, value) for name, value in answer.headers.multi_items() if name not in UNTELLING]
    return answer.status_code, fields


@pytest.mark.slow
async def test_the_owner_is_told_everything(scene: Theatre):
    """Or else the words that are looked for would be nowhere to be found in any case."""
    stage = await scene.stage()
    client = await scene.caller("owner", stage)
    paths = [target(name, "private", stage)[1] for name in ("image_metadata", "list_owned", "me", "list_sessions")]
    answers = [await client.get(path) for path in [*paths, "/api/v1/auth/tokens"]]
    heard = b"\n".join(answer.content for answer in answers)
    unheard = [name for name, word in (stage.secret | stage.linked).items() if word.encode() not in heard]
    assert unheard == ["access token", "other access token", "anonymous delete token"]
    # The private and the unlisted image look like the public one: lists of similar ones would show them.
    similar = await client.get(f"{IMAGES}/{stage.things['public']}/similar", params={"distance": 16})
    assert {stage.things["private"], stage.things["unlisted"]} <= {item["id"] for item in similar.json()["items"]}


@pytest.mark.slow
@pytest.mark.parametrize("role", ["stranger", "other", "cookie", "admin"])
async def test_who_uploads_the_same_bytes_learns_of_nobody(scene: Theatre, role: str):
    stage = await scene.stage()
    client = await scene.caller(role, stage)
    known, new = [
        await client.post(UPLOAD, files={"file": ("same.png", lookalike(number), "image/png")}) for number in (2, 13)
    ]
    assert known.json()["sha256"] == stage.secret["private sha256"]
    assert known.json()["duplicate_of"] is None
    assert new.json()["duplicate_of"] is None
    assert set(known.json()) == set(new.json())
    assert [name for name, _ in telling(known)[1]] == [name for name, _ in telling(new)[1]]
    assert (await client.get(f"{IMAGES}/{stage.things['private']}")).status_code == 404

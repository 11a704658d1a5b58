"""A guard that breaks lets nobody through: whatever raises inside it, the answer is no success, and nothing is done.

That it can fail was seen with the error of a limiter swallowed in `count_attempt`.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from chitram.bootstrap import Foundation
from chitram.domain.errors import ServiceUnavailable
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.accounts import AUTH, PASSWORD, browser_signed_in, signed_up
from tests.factories.applications import house
from tests.faults.test_two_users import OPERATIONS, ask
from tests.faults.two_users_stage import Stage, Theatre, theatre
from tests.faults.two_users_table import EXPECTED

pytestmark = pytest.mark.slow

ERRORS = [RuntimeError("broken"), ServiceUnavailable(retry_after=1), TimeoutError(), KeyError("broken")]
#: Anybody may ask for these, whoever they are: they look at no credentials.
OPEN = {"health", "live", "ready", "metrics"}


class Breakable:
    """Passes calls on to the real part until it is `broken`; then those of `methods`, or all, raise that."""

    def __init__(self, real: Any, *methods: str) -> None:
        self.real = real
        self.methods = methods
        self.broken: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.real, name)
        if self.broken is None or not callable(attribute) or (self.methods and name not in self.methods):
            return attribute

        def fail(*_: Any, **__: Any) -> Any:
            assert self.broken is not None
            raise self.broken

        return fail


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


@asynccontextmanager
async def breakable(tmp_path: Path, part: str, *, limits: bool = False) -> AsyncIterator[tuple[Theatre, Breakable]]:
    """A server whose `part`, a port, can be broken."""
    found: list[Breakable] = []

    def arrange(foundation: Foundation) -> None:
        found.append(Breakable(getattr(foundation, part)))
        setattr(foundation, part, found[0])

    settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=limits))
    async with house(tmp_path, settings=settings, arrange=arrange) as home, theatre(home) as scene:
        yield scene, found[0]


async def assert_closed(
    scene: Theatre, part: Breakable, client: httpx.AsyncClient, stage: Stage, operations: list[str]
) -> None:
    """None of `operations` succeeds while the part is broken, and then everything is as it was."""
    before = await scene.snapshot(stage)
    for operation in operations:
        for thing in EXPECTED[operation]:
            for error in ERRORS:
                part.broken = error
                answer = await ask(client, operation, thing, stage, role="owner")
                part.broken = None
                assert answer.status_code >= 400, (operation, thing, error, answer.text)
                assert "broken" not in answer.text
                assert "set-cookie" not in answer.headers, (operation, error)
    assert await scene.snapshot(stage) == before


@pytest.mark.parametrize("part", ["credentials", "signer"])
async def test_nobody_is_recognised_while_credentials_cannot_be_looked_up(tmp_path: Path, part: str):
    """Not even as a stranger: who shows credentials is somebody or gets nothing."""
    async with breakable(tmp_path, part) as (scene, broken):
        stage = await scene.stage()
        client = await scene.caller("owner", stage)
        await assert_closed(scene, broken, client, stage, [name for name in OPERATIONS if name not in OPEN])


@pytest.mark.parametrize(
    "operation", ["login", "token", "begin_session", "register", "change_password", "delete_account"]
)
async def test_nobody_signs_in_while_passwords_cannot_be_checked(tmp_path: Path, operation: str):
    async with breakable(tmp_path, "passwords") as (scene, broken):
        stage = await scene.stage()
        client = await scene.caller("stranger" if operation in ("login", "token", "begin_session") else "owner", stage)
        await assert_closed(scene, broken, client, stage, [operation])


LIMITED: dict[str, Callable[[httpx.AsyncClient, Stage], Any]] = {
    "login": lambda client, stage: client.post(
        f"{AUTH}/login", json={"email": "right@example.org", "password": PASSWORD}
    ),
    "register": lambda client, stage: client.post(
        f"{AUTH}/register", json={"email": "new@example.org", "password": PASSWORD}
    ),
    "similar": lambda client, stage: client.get(f"/api/v1/images/{stage.things['public']}/similar"),
    "upload": lambda client, stage: client.post("/api/v1/images/upload", files={"file": ("a.png", b"x", "image/png")}),
    "delete": lambda client, stage: client.delete(
        f"/api/v1/images/{stage.things['anonymous']}",
        headers={"X-Delete-Token": stage.secret["anonymous delete token"]},
    ),
}


@pytest.mark.parametrize("name", LIMITED)
async def test_what_is_limited_is_refused_while_nobody_counts(tmp_path: Path, name: str):
    async with breakable(tmp_path, "limiter", limits=True) as (scene, broken):
        stage = await scene.stage()
        await signed_up(await scene.client(address="203.0.113.77"), "right")
        for number, error in enumerate(ERRORS):
            client = await scene.client(address=f"203.0.113.{number + 100}")
            broken.broken = error
            answer = await LIMITED[name](client, stage)
            broken.broken = None
            assert answer.status_code >= 500, (error, answer.text)
        if name != "upload":  # what it sends is no picture
            answer = await LIMITED[name](await scene.client(address="203.0.113.200"), stage)
            assert answer.is_success, "it was refused for something else"


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_no_change_by_cookie_passes_while_forms_cannot_be_checked(tmp_path: Path, error: Exception):
    settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=False))
    async with house(tmp_path, settings=settings) as home:
        guard = Breakable(home.application.authentication, "check_csrf_token")
        home.application.authentication = guard  # type: ignore[assignment]
        async with theatre(home) as scene:
            client = await scene.client()
            token = {"X-CSRF-Token": await browser_signed_in(client, await signed_up(client, "somebody"))}
            body = {"name": "a key", "scopes": ["delete"]}
            guard.broken = error
            refused = await client.post(f"{AUTH}/tokens", json=body, headers=token)
            assert refused.status_code >= 400
            assert (await client.get(f"{AUTH}/tokens")).json() == {"items": []}
            guard.broken = None
            assert (await client.post(f"{AUTH}/tokens", json=body, headers=token)).status_code == 201

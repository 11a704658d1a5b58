"""One empty service a test, behind its whole HTTP interface."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from zlib import crc32

import httpx
import pytest
from structlog.testing import capture_logs

from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.applications import House, house
from tests.factories.databases import PostgresDatabases
from tests.factories.standing import Standing

Place = Callable[[Settings], Settings]

#: Of so many tests on services one runs each day; the soak runs all of them.
EVERY = 6


# First, or what the marks select has been decided already.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything runs embedded each day, and a sixth of it on services, always the same."""
    for item in items:
        params = getattr(item, "callspec", None)
        if params is not None and params.params.get("place") == "services" and crc32(item.nodeid.encode()) % EVERY:
            item.add_marker(pytest.mark.soak)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without a configured log, an exception is rendered for people, which takes half a second."""
    with capture_logs():
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, without rate limits; a module may say otherwise."""
    return Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=False))


@pytest.fixture(params=["embedded", pytest.param("services", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """What a house stands on: itself, or PostgreSQL, S3 and Redis."""
    if request.param == "embedded":
        yield lambda settings: settings
        return
    shelf, seaweed, valkey = (request.getfixturevalue(name) for name in ("shelf", "seaweed", "valkey"))
    standing = Standing(databases=PostgresDatabases(shelf), seaweed=seaweed, valkey=valkey)
    yield standing.furnish
    standing.give_back()


@pytest.fixture
async def home(tmp_path: Path, settings: Settings, place: Place) -> AsyncIterator[House]:
    async with house(tmp_path, settings=place(settings)) as opened:
        yield opened


@pytest.fixture
async def client(home: House) -> AsyncIterator[httpx.AsyncClient]:
    async with home.client() as opened:
        yield opened

"""The command line in the test's process, over a data directory of its own."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from chitram.bootstrap import Application, operating
from chitram.entrypoints.cli.main import app
from chitram.settings import AccountSettings, AppSettings, Settings, entries
from tests.factories.applications import House, house

Command = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory, not made yet."""
    return tmp_path / "data"


@pytest.fixture
def environment(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A fresh machine whose settings the test may change."""
    monkeypatch.chdir(tmp_path)
    for entry in entries(Settings()):
        monkeypatch.delenv(entry.variable, raising=False)
    for name in [name for name in os.environ if name.startswith("CHITRAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(data))
    monkeypatch.setenv("APP_ENV", "test")
    return monkeypatch


@pytest.fixture
def chitram(environment: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs `chitram` with the given arguments; `input` is what it reads."""
    runner = CliRunner()
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield lambda *arguments, **options: runner.invoke(app, list(arguments), **options)
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def furnish(data: Path) -> Callable[[Callable], object]:
    """Runs `act(house)` over the data directory, as a server would that has stopped since."""

    def run(act: Callable) -> object:
        async def visit() -> object:
            data.mkdir(exist_ok=True)
            async with house(data, settings=Settings(app=AppSettings(env="test", data_dir=data))) as home:
                assert isinstance(home, House)
                return await act(home)

        return asyncio.run(visit())

    return run


@pytest.fixture
def visit(data: Path) -> Callable[[Callable], object]:
    """Runs `act(application)` over the data directory, as the next request or command would."""

    def run(act: Callable) -> object:
        settings = Settings(
            app=AppSettings(env="test", data_dir=data), accounts=AccountSettings(registration="invite", bcrypt_rounds=4)
        )

        async def inside() -> object:
            async with operating(settings) as application:
                assert isinstance(application, Application)
                return await act(application)

        return asyncio.run(inside())

    return run

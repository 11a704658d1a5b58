"""A wired application whose store and database let others in between two steps."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chitram.settings import AppSettings, Settings
from tests.factories.applications import House, house
from tests.factories.interleaving import interpose


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(app=AppSettings(env="test", data_dir=tmp_path))


@pytest.fixture
async def home(tmp_path: Path, settings: Settings) -> AsyncIterator[House]:
    async with house(tmp_path, settings=settings, arrange=interpose) as opened:
        yield opened

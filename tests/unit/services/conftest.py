"""A wired application whose store, database and hasher let others in between two steps, and whose cache is its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chitram.adapters.memory.cache import MemoryRecordCache
from chitram.bootstrap import Foundation
from chitram.settings import AppSettings, Settings
from tests.factories.applications import House, house
from tests.factories.interleaving import interpose
from tests.unit.services.hashing import WatchedPasswords


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(app=AppSettings(env="test", data_dir=tmp_path))


@pytest.fixture
async def home(tmp_path: Path, settings: Settings) -> AsyncIterator[House]:
    async with house(tmp_path, settings=settings, arrange=arrange) as opened:
        yield opened


def arrange(foundation: Foundation) -> None:
    interpose(foundation)
    # A lone server's cache: it is told of every change, or it goes on with what it had.
    foundation.cache = MemoryRecordCache(max_entries=1000, ttl=3600, clock=foundation.clock)
    foundation.passwords = WatchedPasswords(foundation.passwords)

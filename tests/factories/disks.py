"""Fixtures: where uploads are staged in a test, and the threads that read and write there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock


@pytest.fixture
def threads() -> Iterator[DiskThreads]:
    pool = DiskThreads(workers=4)
    yield pool
    pool.close()


@pytest.fixture
def staging(tmp_path: Path, threads: DiskThreads) -> Iterator[LocalStaging]:
    local = LocalStaging(tmp_path / "staging", threads=threads, clock=SystemClock())
    yield local
    local.close()

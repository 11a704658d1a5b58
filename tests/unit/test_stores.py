"""How the store of a server is opened."""

import os
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chitram.adapters.blobs.threads import DiskThreads
from chitram.bootstrap import prepare
from chitram.bootstrap.databases import open_database
from chitram.bootstrap.stores import open_store
from chitram.observability import Metrics
from chitram.settings import AppSettings, Settings, StorageSettings


@pytest.mark.parametrize("on_network", [False, True])
async def test_a_store_on_a_network_is_never_waited_for_by_everybody(tmp_path: Path, monkeypatch, on_network: bool):
    settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), storage=StorageSettings(on_network=on_network))
    prepare(settings)
    metrics, key, opened_by = Metrics(), "blobs/x", []
    real = os.open

    def recorded(path, *arguments, **options):
        if str(path).endswith(key):
            opened_by.append(threading.current_thread())
        return real(path, *arguments, **options)

    async with AsyncExitStack() as stack:
        threads = DiskThreads(workers=1)
        stack.callback(threads.close)
        database = await open_database(settings, stack, metrics=metrics)
        blobs = await open_store(settings, stack, metrics=metrics, threads=threads, database=database)
        await blobs.put_disposable(key, b"x")
        monkeypatch.setattr(os, "open", recorded)
        opened = await blobs.open(key)
        monkeypatch.undo()
        assert opened is not None
        await opened.aclose()
    assert [thread is threading.current_thread() for thread in opened_by] == [not on_network]

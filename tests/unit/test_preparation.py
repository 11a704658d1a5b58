"""What a start makes, before anything runs."""

from pathlib import Path

import pytest

from chitram.adapters.blobs import directories
from chitram.bootstrap import StartupError, prepare, require_current_schema
from chitram.settings import AppSettings, Settings, StorageSettings


def test_the_entry_of_every_new_directory_is_brought_to_the_disk(tmp_path: Path, monkeypatch):
    """Above the data and the store too: what is in a directory is lost with the directory's own entry."""
    synced: list[Path] = []
    real = directories.fsync_directory

    def fsync_directory(path: Path) -> None:
        real(path)
        synced.append(path)

    monkeypatch.setattr(directories, "fsync_directory", fsync_directory)
    data, store = tmp_path / "new" / "data", tmp_path / "a" / "b" / "store"
    prepare(Settings(app=AppSettings(env="test", data_dir=data), storage=StorageSettings(local_path=store)))
    assert synced == [tmp_path, data.parent, tmp_path, tmp_path / "a", store.parent]
    assert store.is_dir()


def test_something_else_in_place_of_the_data_is_refused(tmp_path: Path):
    (tmp_path / "data").touch()
    with pytest.raises(StartupError, match=r"^DATA_DIR: "):
        prepare(Settings(app=AppSettings(env="test", data_dir=tmp_path / "data")))


def test_where_there_is_no_database_somebody_is_in_the_wrong_place(tmp_path: Path):
    with pytest.raises(StartupError, match=rf"^There is no database at {tmp_path}/data/chitram.db: is this"):
        require_current_schema(Settings(app=AppSettings(env="test", data_dir=tmp_path / "data")))
    assert not (tmp_path / "data").exists()

"""A disk that is really full: refused uploads, whole objects, and no restart when there is room again."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.small_disk import run_on

pytestmark = pytest.mark.slow


def scenario(file_system: str, directory: Path, *, staging: str = "", size: int) -> dict[str, Any]:
    output = run_on(
        file_system, directory=directory, module="tests.faults.disk_full_scenario", arguments=[staging, str(size)]
    )
    facts: dict[str, Any] = json.loads(output)
    return facts


def expect_refusal_and_recovery(facts: dict[str, Any]) -> None:
    assert facts["when full"] == "STORAGE_FULL"
    assert facts["again"] == ["STORAGE_FULL"] * 3
    assert facts["kept"] >= 5
    assert facts["sound when full"]
    assert facts["left over"] == 0
    assert facts["after making room"] == ["blobs", "blobs"]
    assert facts["sound in the end"]


@pytest.mark.parametrize("file_system", ["tmpfs", "ext4"])
def test_a_full_disk_refuses_and_recovers(tmp_path: Path, file_system: str):
    facts = scenario(file_system, tmp_path, size=400_000)
    expect_refusal_and_recovery(facts)
    assert facts["thumbnail when full"] == "STORAGE_FULL"
    assert facts["old thumbnail"] == 1000


@pytest.mark.parametrize("file_system", ["tmpfs", "ext4"])
def test_a_full_store_refuses_where_staging_has_room(tmp_path: Path, file_system: str):
    facts = scenario(file_system, tmp_path, staging=str(tmp_path / "staging"), size=400_000)
    expect_refusal_and_recovery(facts)
    assert facts["free"] > 400_000


@pytest.mark.parametrize("file_system", ["tmpfs-few-inodes", "ext4-few-inodes"])
def test_a_disk_without_inodes_refuses_and_recovers(tmp_path: Path, file_system: str):
    facts = scenario(file_system, tmp_path, size=100)
    expect_refusal_and_recovery(facts)
    # Blocks there are, but nothing can be put into them.
    assert facts["free"] == 0

"""Each figure that means trouble has a page, in one form, with tests that exist."""

import re
from pathlib import Path

import pytest

from chitram.observability import Metrics
from tests.architecture.sources import ROOT
from tests.docs.test_specification import REFERENCE, exists

FOLDER = ROOT / "docs/runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Data-loss risk", "How it was tested"]
#: Metrics whose growth or presence asks for somebody to look.
ALARMING = {
    "chitram_after_commit_failures_total",
    "chitram_audit_events_total",
    "chitram_blobs",
    "chitram_decodes_total",
    "chitram_job_messages_total",
    "chitram_jobs",
    "chitram_limiter_fallback_active",
    "chitram_storage_operation_errors_total",
    "chitram_sweep_runs_total",
    "chitram_uploads_total",
    "chitram_workers",
}
METRIC = re.compile(r"\b(chitram_[a-z_]+)\b")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_sign_of_trouble_has_a_page():
    index = text_of(FOLDER / "README.md")
    assert [page.name for page in PAGES if f"]({page.name})" not in index] == []
    assert set(METRIC.findall(index)) >= ALARMING


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_has_its_sections(page: Path):
    assert re.findall(r"^## (.+)$", text_of(page), re.MULTILINE) == SECTIONS
    assert "```sh\n" in text_of(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_names_tests_that_exist(page: Path):
    named = REFERENCE.findall(text_of(page).partition("## How it was tested")[2])
    assert named
    assert [f"{path}::{function}" for path, function in named if not exists((path, function))] == []


def test_every_metric_that_a_page_names_exists():
    known = {metric.name for metric in Metrics.describe()}
    named = {name for page in FOLDER.glob("*.md") for name in METRIC.findall(text_of(page))}
    # Two pages search for the beginning of a name.
    assert {name for name in named if not any(metric.startswith(name) for metric in known)} == set()

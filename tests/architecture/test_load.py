"""The comparison of a load with its baseline: what is told to be worse is worse, and the right baseline is taken."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.load import TOTAL, Figure, Run, baseline_of, compare, figures, percentile, steps_back

GOOD = Figure(rate=50.0, p50=4, p95=20, p99=60, requests=3000, failures=0)
BASELINE = Run("0.2.0", "a machine", users=50, seconds=60, figures={TOTAL: GOOD, "upload": replace(GOOD, p95=100)})


def entry(name: str, times: dict[str, int], *, failures: int = 0) -> dict[str, Any]:
    """One of Locust's, as far as it is read."""
    return {
        "name": name,
        "response_times": times,
        "num_requests": sum(times.values()),
        "num_failures": failures,
        "start_time": 1000.0,
        "last_request_timestamp": 1010.0,
    }


def run(**changes: Figure) -> Run:
    return replace(BASELINE, figures={**BASELINE.figures, **changes})


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 1.0), (0.51, 2.0), (0.75, 2.0), (0.76, 30.0), (1.0, 30.0)]
)
def test_percentiles_of_counted_times(share: float, expected: float):
    assert percentile({1.0: 2, 30.0: 1, 2.0: 1}, share) == expected


def test_nothing_counted_has_no_percentile():
    assert percentile({}, 0.5) == 0.0


def test_figures_are_those_of_locust_and_of_all_together():
    found = figures(
        [entry("view", {"1": 90, "9": 10}), entry("upload", {"100": 50}, failures=2), entry("register", {"7": 1})]
    )
    assert found["view"] == Figure(rate=10.0, p50=1, p95=9, p99=9, requests=100, failures=0)
    assert found[TOTAL] == Figure(rate=15.0, p50=1, p95=100, p99=100, requests=150, failures=2)
    assert set(found) == {"view", "upload", TOTAL}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (run(), []),
        (run(upload=replace(GOOD, p95=124)), []),  # within the noise
        (run(upload=replace(GOOD, p95=126)), ["upload: p95 126 ms, was 100"]),
        (run(all=replace(GOOD, p95=24.9)), []),  # a quarter more, but only of a little
        (run(all=replace(GOOD, rate=44.0)), ["served 44 requests/s, were 50"]),
        (run(all=replace(GOOD, failures=1)), ["1 requests failed, 0 did before"]),
        (replace(BASELINE, figures={TOTAL: GOOD}), ["upload: nobody asked for it"]),
    ],
)
def test_steps_back_are_told(now: Run, words: list[str]):
    assert steps_back(now, BASELINE) == words


def test_the_baseline_of_this_version_or_the_one_before_is_taken(tmp_path: Path):
    assert baseline_of("0.2.0", folder=tmp_path) is None
    for version in ("0.2.0", "0.9.1", "0.10.0", "1.0.0"):
        replace(BASELINE, version=version).save(tmp_path / f"{version}.json")
    chosen = {
        version: baseline_of(version, folder=tmp_path) for version in ("0.1.0", "0.9.0", "0.10.0", "0.11.0", "2.0")
    }
    assert {version: path and path.stem for version, path in chosen.items()} == {
        "0.1.0": None, "0.9.0": "0.2.0", "0.10.0": "0.10.0", "0.11.0": "0.10.0", "2.0": "1.0.0",
    }  # fmt: skip


def test_what_is_kept_can_be_compared_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "0.2.0.json"
    BASELINE.save(path)
    assert Run.load(path) == BASELINE
    assert compare(BASELINE, path) == 0
    assert "nothing is clearly worse" in capsys.readouterr().out
    assert compare(run(upload=replace(GOOD, p95=300)), path) == 1
    assert "worse: upload: p95 300 ms, was 100" in capsys.readouterr().out
    # Another crowd says nothing about this one, and no baseline nothing at all.
    assert compare(replace(run(upload=replace(GOOD, p95=300)), users=10), path) == 0
    assert compare(BASELINE, None) == 0

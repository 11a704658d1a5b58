"""The specification's mix of people, strangers and signed in, against a baseline: `python -m benchmarks load`.

60 % views, 25 % downloads, 10 % uploads, 5 % lists (`benchmarks/locustfile.py`), by Locust in a process of its own on
the same cores. `--save FILE` keeps the figures; otherwise they are compared with those of the baseline in
`benchmarks/baselines/`, the one of this version or else the latest before it. Figures of another machine, or of a busy
one, say little: the baseline names its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import chitram
from benchmarks.rig.servers import Running
from benchmarks.rig.servers import chitram as serving
from benchmarks.rig.tables import machine, table

HERE = Path(__file__).parent
BASELINES = HERE / "baselines"
#: A p95 this many times that of the baseline, and this many milliseconds over it, is a step back.
WORSE, WORSE_MS = 1.25, 5.0
#: A throughput below this share of the baseline's is one as well.
SLOWER = 0.9
TOTAL = "all"
#: How people get there is not what is compared.
LEFT_OUT = frozenset({"register"})


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one kind of request: how many a second, milliseconds, how many failed."""

    rate: float
    p50: float
    p95: float
    p99: float
    requests: int
    failures: int


@dataclass(frozen=True, slots=True)
class Run:
    """Figures by the kind of request, and what they were taken with."""

    version: str
    machine: str
    users: int
    seconds: int
    figures: dict[str, Figure]

    def save(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Run":
        """What `save` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        values["figures"] = {kind: Figure(**figure) for kind, figure in values["figures"].items()}
        return cls(**values)


def baseline_of(version: str, *, folder: Path = BASELINES) -> Path | None:
    """The baseline of this version or of the latest one before it; None when there is none."""
    known = sorted((numbers(path.stem), path) for path in folder.glob("*.json"))
    earlier = [path for number, path in known if number <= numbers(version)]
    return earlier[-1] if earlier else None


def numbers(version: str) -> tuple[int, ...]:
    """A version to be compared: 0.10.0 comes after 0.9.0."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def percentile(counts: dict[float, int], share: float) -> float:
    """The response time that `share` of the requests did not exceed. `counts`: response time → number of requests."""
    wanted, seen = share * sum(counts.values()), 0
    for time, number in sorted(counts.items()):
        seen += number
        if seen >= wanted:
            return time
    return 0.0


def figures(entries: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """The figures of Locust's statistics, one entry a kind of request, and of all together."""
    counts: dict[str, dict[float, int]] = {TOTAL: {}}
    numbers_of: dict[str, tuple[int, int]] = {TOTAL: (0, 0)}
    seconds = 0.0
    for entry in entries:
        if entry["name"] in LEFT_OUT:
            continue
        own = {float(time): number for time, number in entry["response_times"].items()}
        counts[entry["name"]] = own
        for time, number in own.items():
            counts[TOTAL][time] = counts[TOTAL].get(time, 0) + number
        numbers_of[entry["name"]] = (entry["num_requests"], entry["num_failures"])
        requests, failures = numbers_of[TOTAL]
        numbers_of[TOTAL] = (requests + entry["num_requests"], failures + entry["num_failures"])
        seconds = max(seconds, entry["last_request_timestamp"] - entry["start_time"])
    return {
        kind: Figure(
            rate=round(requests / seconds, 2) if seconds else 0.0,
            p50=percentile(counts[kind], 0.5),
            p95=percentile(counts[kind], 0.95),
            p99=percentile(counts[kind], 0.99),
            requests=requests,
            failures=failures,
        )
        for kind, (requests, failures) in sorted(numbers_of.items())
    }


def measure(server: Running, *, users: int, seconds: int, directory: Path) -> dict[str, Figure]:
    """Let Locust's people come. It patches the standard library, so it has a process of its own."""
    result = directory / "locust"
    command = [
        sys.executable, "-m", "locust", "--locustfile", os.fspath(HERE / "locustfile.py"), "--headless",
        "--host", server.url, "--users", str(users), "--spawn-rate", str(max(1, users / 5)),
        "--run-time", f"{seconds}s", "--reset-stats", "--only-summary", "--skip-log",
        "--json-file", os.fspath(result), "--exit-code-on-error", "0", "--stop-timeout", "10",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.fspath(HERE.parent)}
    finished = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
    file = result.with_suffix(".json")
    if finished.returncode or not file.exists():
        raise SystemExit(f"locust failed:\n{finished.stdout[-2000:]}\n{finished.stderr[-2000:]}")
    return figures(json.loads(file.read_text(encoding="utf-8")))


def report(run: Run, baseline: Run | None) -> None:
    """Print the figures, beside those of the baseline when there is one."""
    rows = []
    for kind, figure in run.figures.items():
        old = baseline.figures.get(kind) if baseline is not None else None
        row = [kind, f"{figure.rate:.1f}", *(f"{ms:.0f}" for ms in (figure.p50, figure.p95, figure.p99))]
        row += [str(figure.requests), str(figure.failures)]
        rows.append(row + ([f"{old.rate:.1f}", f"{old.p50:.0f}", f"{old.p95:.0f}"] if old else ["", "", ""]))
    head = ["", "requests/s", "p50 ms", "p95 ms", "p99 ms", "requests", "failures", "was /s", "was p50", "was p95"]
    print(table(head, rows))


def steps_back(run: Run, baseline: Run) -> list[str]:
    """What has become clearly worse than in the baseline, in words."""
    found = []
    for kind, old in baseline.figures.items():
        new = run.figures.get(kind)
        if new is None:
            found.append(f"{kind}: nobody asked for it")
        elif new.p95 > old.p95 * WORSE and new.p95 > old.p95 + WORSE_MS:
            found.append(f"{kind}: p95 {new.p95:.0f} ms, was {old.p95:.0f}")
    old, new = baseline.figures[TOTAL], run.figures[TOTAL]
    if new.rate < old.rate * SLOWER:
        found.append(f"served {new.rate:.0f} requests/s, were {old.rate:.0f}")
    if new.failures > old.failures:
        found.append(f"{new.failures} requests failed, {old.failures} did before")
    return found


def compare(run: Run, path: Path | None) -> int:
    """Print the table and what has become worse; 1 when something has."""
    if path is None:
        report(run, None)
        print("no baseline to compare with: `--save benchmarks/baselines/VERSION.json` makes one")
        return 0
    baseline = Run.load(path)
    report(run, baseline)
    print(f"baseline: {baseline.version}, {baseline.users} users, {baseline.machine}")
    if baseline.users != run.users:
        print("not compared: it was taken with another number of users")
        return 0
    found = steps_back(run, baseline)
    print("\n".join(f"worse: {line}" for line in found) or "nothing is clearly worse than in the baseline")
    return 1 if found else 0


def main(argv: Sequence[str] = ()) -> int:
    """Print the table; 1 when something is clearly worse than in the baseline."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--save", type=Path, help="keep the figures in this file")
    parser.add_argument("--baseline", type=Path, help="compare with this file")
    parser.add_argument("--quick", action="store_true", help="fewer people, shorter, compared with nothing")
    options = parser.parse_args(argv)
    if options.quick:
        options.users, options.seconds = 10, 8
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        with serving(root / "server", MAX_CONNECTIONS_PER_ADDRESS=str(options.users + 50)) as server:
            found = measure(server, users=options.users, seconds=options.seconds, directory=root)
    run = Run(chitram.__version__, machine(), options.users, options.seconds, found)
    print(f"{run.machine}; {options.users} users for {options.seconds} s")
    if options.save is not None:
        report(run, None)
        run.save(options.save)
        return 0
    if options.quick:
        report(run, None)
        return 0
    return compare(run, options.baseline or baseline_of(chitram.__version__))

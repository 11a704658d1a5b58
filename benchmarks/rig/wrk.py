"""Load by wrk."""

import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.rig.servers import Running
from benchmarks.rig.tables import ratio, spread, table

#: Requests of a script before it begins anew.
_DRAWN = 50_000
#: wrk itself prints no 95th percentile.
_REPORT = "\ndone = function(_, latency) io.write(string.format('p95 %d us\\n', latency:percentile(95))) end\n"
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of wrk has seen. `median`, `p95` and `p99` in seconds; `cpu`: seconds of the server's a request."""

    rate: float
    cpu: float
    median: float
    p95: float
    p99: float
    failures: int


def wrk(
    server: Running,
    path: str,
    *,
    seconds: float,
    connections: int = 32,
    script: Path | None = None,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """One thread of wrk with `connections` that are kept, for whole `seconds`."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("this case needs wrk, which is not installed")
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as lua:
        lua.write((script.read_text(encoding="utf-8") if script else "") + _REPORT)
        lua.flush()
        command += ["-s", lua.name]
        cpu = server.cpu_seconds()
        said = subprocess.run([*command, server.url + path], capture_output=True, text=True, check=True).stdout
        cpu = server.cpu_seconds() - cpu
    failures = sum(
        int(n) for n in re.findall(r"(?:Non-2xx or 3xx responses: |connect |read |write |timeout )(\d+)", said)
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    requests = re.search(r"(\d+) requests in", said)
    assert rate is not None, said
    p95 = re.search(r"p95 (\d+) us", said)
    assert requests is not None, said
    assert p95 is not None, said
    return Load(
        float(rate.group(1)),
        cpu / max(int(requests.group(1)), 1),
        _latency(said, "50%"),
        int(p95.group(1)) * 1e-6,
        _latency(said, "99%"),
        failures,
    )


def load_table(loads: Mapping[str, Sequence[Load]], *, limit: str = "") -> str:
    """Rounds by the name of their server; `limit` names the server whose share the others' rates are given as."""
    head = ["", "requests/s", "CPU us", "median ms", "p99 ms", "failures"] + (["of limit"] if limit else [])
    rates = {name: [load.rate for load in found] for name, found in loads.items()}
    rows = [
        [
            name,
            spread(rates[name]),
            f"{median(load.cpu for load in found) * 1e6:.0f}",
            f"{median(load.median for load in found) * 1e3:.2f}",
            f"{median(load.p99 for load in found) * 1e3:.1f}",
            str(sum(load.failures for load in found)),
            *([f"{ratio(rates[name], rates[limit]):.2f}"] if limit else []),
        ]
        for name, found in loads.items()
    ]
    return table(head, rows)


def paths_script(path: Path, paths: Sequence[str]) -> Path:
    """A script at `path` that asks for each of `paths` in turn, and then again."""
    lines = ",\n".join(f'"{each}"' for each in paths)
    path.write_text(
        f"local paths = {{\n{lines}\n}}\nlocal n = 0\n"
        "request = function()\n  n = n % #paths + 1\n  return wrk.format('GET', paths[n])\nend\n",
        encoding="utf-8",
    )
    return path


def zipf_script(path: Path, paths: Sequence[str], *, seed: int = 3) -> Path:
    """A script at `path` that asks for `paths` at random, the n-th one n times as rarely as the first."""
    weights = [1 / (rank + 1) for rank in range(len(paths))]
    return paths_script(path, random.Random(seed).choices(paths, weights, k=_DRAWN))


def _latency(said: str, share: str) -> float:
    match = re.search(rf"^\s+{share}\s+([\d.]+)(us|ms|s|m)\s*$", said, re.MULTILINE)
    assert match is not None, said
    return float(match.group(1)) * _UNITS[match.group(2)]

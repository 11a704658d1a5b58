"""Load by wrk."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of wrk has seen. `median` and `p99` in seconds."""

    rate: float
    median: float
    p99: float
    failures: int


def wrk(url: str, *, seconds: float, connections: int = 32, script: Path | None = None) -> Load:
    """One thread of wrk with `connections` that are kept, for whole `seconds`."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("this case needs wrk, which is not installed")
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
    if script is not None:
        command += ["-s", str(script)]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    failures = sum(int(n) for n in re.findall(r"(?:Non-2xx or 3xx responses: |connect |read |write |timeout )(\d+)", said))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return Load(float(rate.group(1)), _latency(said, "50%"), _latency(said, "99%"), failures)


def _latency(said: str, share: str) -> float:
    match = re.search(rf"^\s+{share}\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
    assert match is not None, said
    return float(match.group(1)) * _UNITS[match.group(2)]

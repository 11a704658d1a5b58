"""The order in which bytes and names reach the disk, and that a call that fails there fails the upload."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.tracing import Call, attached, other_thread, read_trace, require_strace
from tests.proofs import Proof

pytestmark = pytest.mark.slow

DRIVER = [sys.executable, "-m", "tests.faults.powercut.driver"]
TRACED = "mkdir,mkdirat,link,linkat,rename,renameat,renameat2,fsync,fdatasync,pwrite64,write"
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
DESCRIPTOR = re.compile(r"^\d+<([^>]*)>")


class Disk:
    """What would survive a power cut, as far as the traced calls tell. Paths below `directory` count."""

    def __init__(self, directory: Path) -> None:
        self._store = str(directory / "store")
        self._wal = str(directory / "chitram.db-wal")
        self._directory = str(directory)
        self._synced: set[str] = set()
        self._names_to_sync: dict[str, str] = {}
        self._log_to_sync = False
        self.violations: list[str] = []
        self.answers = 0
        self.links = 0

    def follow(self, calls: Sequence[Call]) -> None:
        for call in calls:
            if call.succeeded:
                self._follow(call)

    def _follow(self, call: Call) -> None:
        if call.name in {"mkdir", "mkdirat"}:
            self._named(QUOTED.findall(call.arguments)[0], what="directory")
        elif call.name in {"link", "linkat"}:
            source, target = QUOTED.findall(call.arguments)
            self.links += 1
            if source not in self._synced:
                self.violations.append("bytes: a name was given to bytes that are not on the disk")
            self._named(target, what="object")
        elif call.name in {"fsync", "fdatasync"}:
            self._sync(DESCRIPTOR.findall(call.arguments)[0])
        elif call.name in {"write", "pwrite64"}:
            self._written(call)

    def _named(self, path: str, *, what: str) -> None:
        # Thumbnails and what is half written may be lost, with their directories.
        if path == self._store or path.startswith(f"{self._store}/blobs"):
            self._names_to_sync[path] = what

    def _sync(self, path: str) -> None:
        self._synced.add(path)
        self._names_to_sync = {p: w for p, w in self._names_to_sync.items() if str(Path(p).parent) != path}
        if path == self._wal:
            self._log_to_sync = False

    def _written(self, call: Call) -> None:
        path = DESCRIPTOR.findall(call.arguments)[0]
        self._synced.discard(path)
        if path == self._wal:
            self._log_to_sync = True
        if '"answered ' in call.arguments:
            self.answers += 1
            self.violations += [f"{what}: its name is not on the disk" for what in self._names_to_sync.values()]
            if self._log_to_sync:
                self.violations.append("database: the commit is not on the disk")


def traced_run(directory: Path, *, without: str = "") -> Disk:
    trace = directory / "trace"
    command = [require_strace(), "-f", "-y", "-s", "200", "-e", f"trace={TRACED}", "-o", str(trace)]
    subprocess.run(
        [*command, *DRIVER, str(directory), "--count", "4"],
        env={**os.environ, "CHITRAM_DRIVER_WITHOUT": without}, check=True, capture_output=True,
    )  # fmt: skip
    disk = Disk(directory)
    disk.follow(read_trace(trace))
    return disk


def test_everything_is_on_the_disk_before_the_answer(tmp_path: Path):
    disk = traced_run(tmp_path)
    assert disk.violations == []
    assert (disk.links, disk.answers) == (4, 4)


@pytest.mark.parametrize(
    ("without", "noticed"),
    [("file", "bytes"), ("directory", "object"), ("parents", "directory"), ("database", "database")],
)
def test_a_missing_fsync_would_be_noticed(tmp_path: Path, without: str, noticed: str):
    disk = traced_run(tmp_path, without=without)
    assert noticed in {violation.partition(":")[0] for violation in disk.violations}
    assert disk.answers == 4


@contextmanager
def driver(directory: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*DRIVER, str(directory), "--on-demand"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def ask(process: subprocess.Popen[str]) -> str:
    """One more upload: what the driver says to it, "" when it died."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def damaged(directory: Path) -> list[str]:
    """Objects in the store whose bytes are not those that their key promises, and unfinished thumbnails."""
    originals = [path for path in (directory / "store" / "blobs").rglob("*") if path.is_file()]
    found = [p.name for p in originals if hashlib.sha256(p.read_bytes()).hexdigest() != p.name.partition(".")[0]]
    thumbnails = [path for path in (directory / "store" / "thumbs").rglob("*") if path.is_file()]
    return found + [path.name for path in thumbnails if path.stat().st_size != 20_000]


def lost(directory: Path, answers: Sequence[str]) -> list[str]:
    """Answered uploads that are not in the store."""
    keys = [answer.split()[1] for answer in answers if answer.startswith("answered ")]
    return [key for key in keys if not (directory / "store" / key).is_file()]


FAULTS = [
    ("fsync", "EIO"), ("fdatasync", "EIO"), ("link", "EIO"), ("link", "ENOSPC"), ("link", "EMLINK"),
    ("mkdir", "ENOSPC"), ("openat", "EMFILE"), ("openat", "EIO"), ("write", "ENOSPC"), ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"), ("rename", "EIO"), ("fchmod", "EIO"), ("newfstatat", "EIO"), ("unlink", "EIO"),
    ("close", "EIO"),
]  # fmt: skip


@pytest.mark.parametrize("persistent", ["", "+"], ids=["once", "from then on"])
@pytest.mark.parametrize(("call", "error"), FAULTS, ids=[f"{call}-{error}" for call, error in FAULTS])
def test_whichever_call_fails_no_answer_is_wrong(tmp_path: Path, proof: Proof, call: str, error: str, persistent: str):
    """Fail the first, the second, ... call of its kind, until an upload makes fewer of them than that."""
    answers: list[str] = []
    failures = 0
    with driver(tmp_path) as process:
        assert ask(process).startswith("answered ")
        for number in range(1, 60):
            trace = tmp_path / f"trace{number}"
            inject = f"inject={call}:error={error}:when={number}{persistent}"
            with attached(other_thread(process), options=["-e", f"trace={call}", "-e", inject], output=trace):
                answer = ask(process)
            assert answer, f"the driver died at call {number}"
            if "(INJECTED)" not in trace.read_text():
                break
            answers.append(answer)
            failures += answer.startswith("failed ")
            assert damaged(tmp_path) == []
            assert lost(tmp_path, answers) == []
        else:
            pytest.fail("an upload that makes 60 such calls was not expected")
        assert answer.startswith("answered ")
        assert ask(process).startswith("answered ")
    # A failed fsync of bytes or names, or a failed link for which there is no other way, must fail the upload.
    if call in {"fsync", "mkdir"} or (call, error) in {("link", "EIO"), ("link", "ENOSPC")}:
        assert answers
        assert failures == len(answers)
    full = {answer for answer in answers if answer == "failed STORAGE_FULL"}
    assert bool(full) == (error == "ENOSPC" and call != "pwrite64")
    proof.record("D2", f"{call} failed with {error}{persistent}: refused or answered rightly", len(answers))


@pytest.mark.parametrize("call", ["fsync", "link", "mkdir", "write", "rename", "unlink", "pwrite64", "close"])
def test_killed_at_whichever_call_nothing_half_made_is_left(tmp_path: Path, call: str):
    answers: list[str] = []
    for number in range(1, 30):
        trace = tmp_path / f"trace{number}"
        with driver(tmp_path) as process:
            answers.append(ask(process))
            options = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
            with attached(other_thread(process), options=options, output=trace):
                answers.append(ask(process))
            survived = answers[-1] != ""
        assert damaged(tmp_path) == []
        assert lost(tmp_path, answers) == []
        # The next start clears away what this one left in the store itself; staging is swept by the service.
        if survived and "killed by" not in trace.read_text():
            break
    else:
        pytest.fail("an upload that makes 30 such calls was not expected")

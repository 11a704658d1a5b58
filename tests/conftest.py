"""What every test may use, and what every test must keep: no process that it started outlives it."""

import contextlib
import functools
import gc
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import hypothesis
import pytest

from tests import counts, proofs
from tests.proofs import Proof
from tests.services.processes import LASTING

#: What tests of several folders share; a service is started when the first test asks for it.
pytest_plugins = (
    "tests.factories.disks",
    "tests.services.postgres",
    "tests.services.seaweed",
    "tests.services.valkey",
)

#: Folders of tests that do not count for coverage.
UNWATCHED = {"architecture", "browser", "docs", "faults", "properties"}

#: How long a process that was told to end may take to be gone before the test that started it fails, in seconds.
SETTLING_TIME = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    proofs.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    proofs.install(config)
    hypothesis.settings.register_profile(
        "chitram",
        deadline=None,  # a slow machine must not make a test fail
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        derandomize=not counts.SOAK,  # everyday runs repeat each other; the soak looks for what nobody has seen
        max_examples=counts.count(100, 2000),
        print_blob=True,
    )
    hypothesis.settings.load_profile("chitram")


# First, or pytest-xdist has looked for groups already.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Slow tests of one file share servers and disks: with `-n` they stay in one worker, one after the other.
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.slow)
        # What these run is somewhere else, or is seen by others too, and to be watched costs them half their speed.
        if not UNWATCHED.isdisjoint(item.path.parts):
            item.add_marker(pytest.mark.no_cover)
        if item.get_closest_marker("slow") or item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.xdist_group(item.path.as_posix()))


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """The thousands of tests stay until the end: no collection of garbage has to look at them again."""
    gc.enable()
    gc.freeze()


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """Records what the test has shown for docs/explanation/proofs.md."""
    return Proof(request.node)


@pytest.fixture(scope="session", autouse=True)
def certificates_are_read_once() -> Iterator[None]:
    """Every HTTP client reads all that this machine trusts, which takes 40 ms, even for servers without encryption."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


def children(of: int | Literal["self"] = "self") -> frozenset[int]:
    """Process ids of a process's children, ended but unreaped ones included."""
    found: set[int] = set()
    for task in Path(f"/proc/{of}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ends meanwhile takes its directory with it
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return frozenset(found)


@pytest.fixture(autouse=True)
def leaves_no_process_behind() -> Iterator[None]:
    """Fail a test that leaves child processes running or unreaped; those of wider fixtures are none of its business."""
    before = children()
    yield
    deadline = time.monotonic() + SETTLING_TIME
    while (left := children() - before - LASTING) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"left behind: {', '.join(describe(pid) for pid in sorted(left))}"


def describe(pid: int) -> str:
    """The process id with its command line, as far as it can be read."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"{pid} ({command or 'ended, not waited for'})"

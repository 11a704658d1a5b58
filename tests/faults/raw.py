"""HTTP by hand: bytes into a socket, bytes out of it."""

import re
import socket
from dataclasses import dataclass

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that came back, and whether the server then closed the connection."""

    data: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in STATUS.findall(self.data)]


def converse(port: int, *pieces: bytes, patience: float = 2.0) -> Answers:
    """Send the pieces and read until the server closes, or is silent for `patience` seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = b""
        while True:
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                return Answers(received, closed=False)
            except ConnectionResetError:
                return Answers(received, closed=True)
            if not data:
                return Answers(received, closed=True)
            received += data


def request(method: str, target: str, *fields: str, host: str = "localhost") -> bytes:
    """The head of a request."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode("latin-1")

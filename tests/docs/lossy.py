"""A connection that loses what it should bring back: what retries are for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def losing_the_first_answer(port: int) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a relay to `port` of this machine, and the beginnings of the answers that came through it.

    The first answer is taken from the server and never given to the client; later ones are.
    """
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = threading.Thread(target=_relay, args=(listener, port, answers), daemon=True)
        relay.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", answers
        listener.shutdown(socket.SHUT_RDWR)
        relay.join(timeout=10)


def _relay(listener: socket.socket, port: int, answers: list[bytes]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            sender = threading.Thread(target=_copy, args=(client, server), daemon=True)
            sender.start()
            first = server.recv(65536)
            answers.append(first)
            if len(answers) > 1:
                client.sendall(first)
                _copy(server, client)
            client.shutdown(socket.SHUT_RDWR)
            sender.join(timeout=10)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        return

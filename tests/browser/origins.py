"""Other people's pages: small sites of a test's own, on ports and under names that are not Chitram's."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Origin:
    """A site. `pages`: path to what is there, HTML unless the path ends in `.js`; more may be added.

    `neighbour` is its address on the host of the tests' servers, which browsers take for the same site as theirs;
    `foreign` its address under another name, which is another site's.
    """

    port: int
    pages: dict[str, bytes]

    @property
    def neighbour(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def foreign(self) -> str:
        return f"http://localhost:{self.port}"


@contextmanager
def origin(pages: Mapping[str, bytes]) -> Iterator[Origin]:
    """A site that runs until the context ends."""
    shown: Origin

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = shown.pages.get(path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """The tests say what was asked."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shown = Origin(server.server_address[1], dict(pages))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield shown
        finally:
            server.shutdown()
            thread.join()

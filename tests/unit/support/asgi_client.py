"""Drives an ASGI application in process, one request at a time, and keeps what it answered."""

from dataclasses import dataclass, field


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    pieces: int = 0
    complete: bool = False

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name.encode()]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0].decode("latin-1") if values else None


def make_scope(path="/", *, method="GET", query="", headers=(), client=("192.0.2.7", 4711), scheme="http", **extra):
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", b"img.example.org"))
    return {
        "type": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": fields,
        "method": method,
        "scheme": scheme,
        "client": client,
        "root_path": "",
        **extra,
    }


async def call(app, scope, *, messages=()):
    """Run one request. `messages` is what the client sends; after them it is gone."""
    answer, waiting = Answer(), list(messages)

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            assert answer.status == 0
            answer.status, answer.headers = message["status"], list(message["headers"])
        else:
            assert answer.status != 0
            assert not answer.complete
            answer.body += message.get("body", b"")
            answer.pieces += 1
            answer.complete = not message.get("more_body", False)

    await app(scope, receive, send)
    return answer


def body_messages(*pieces: bytes):
    return [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ]

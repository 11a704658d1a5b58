"""The files that pages load: under names that carry their content's hash, so that browsers keep them for ever."""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from chitram.domain.errors import MethodNotAllowed, NotFound
from chitram.entrypoints.support.asgi import ROUTE, Headers, Receive, Scope, Send, accepts_gzip, header_map
from chitram.entrypoints.support.conditions import none_match

PREFIX = "/static/"
ROUTE_TEMPLATE = "/static/{name}"
_DIRECTORY = Path(__file__).parent / "static"
_IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")
_REVALIDATE = (b"cache-control", b"public, no-cache")
_COMPRESSIBLE = {".css", ".js", ".svg", ".webmanifest"}
#: What style sheets and scripts say of other files; those are named with their hashes too.
_REFERENCE = re.compile(rb"""(?<=["'(])(fonts/[\w.-]+|\./[\w.-]+\.js)(?=["')])""")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, ready to be sent. `name` carries the first 10 hex digits of the content's SHA-256."""

    name: str
    content_type: bytes
    body: bytes
    compressed: bytes | None
    etag: bytes


class StaticFiles:
    """An ASGI application for everything below /static/. The files are small and are read once."""

    def __init__(self, directory: Path = _DIRECTORY) -> None:
        self._by_name: dict[str, StaticFile] = {}
        self._names: dict[str, str] = {}
        self._imports: dict[str, dict[str, None]] = {}
        self._directory = directory
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self._hashed(path.relative_to(directory).as_posix())

    def url(self, name: str) -> str:
        """The address of a file, which changes with its content. KeyError when there is no such file."""
        return f"{PREFIX}{self._names[name]}"

    def imports(self, name: str) -> list[str]:
        """The addresses of the scripts that a script imports, or that those import. KeyError: there is no such file.

        A browser finds them one level at a time, a round trip each; a page that names them all saves those.
        """
        found: dict[str, None] = {}
        pending = [name]
        while pending:
            for other in self._imports[pending.pop()]:
                if other not in found:
                    found[other] = None
                    pending.append(other)
        return [self.url(other) for other in found]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer GET and HEAD; NotFound, MethodNotAllowed."""
        scope[ROUTE] = ROUTE_TEMPLATE
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(details={"allow": ["GET", "HEAD"]})
        asked = scope["path"].removeprefix(PREFIX)
        file = self._by_name.get(asked) or self._by_name.get(self._names.get(asked, ""))
        if file is None:
            raise NotFound
        headers = header_map(scope)
        fields: Headers = [
            (b"etag", file.etag),
            _IMMUTABLE if asked == file.name else _REVALIDATE,
            (b"vary", b"Accept-Encoding"),
        ]
        if none_match(headers.get(b"if-none-match", b""), etag=file.etag):
            await _send(send, 304, fields, b"")
            return
        body = file.body
        if file.compressed is not None and accepts_gzip(scope):
            body = file.compressed
            fields.append((b"content-encoding", b"gzip"))
        fields += [(b"content-type", file.content_type), (b"content-length", b"%d" % len(body))]
        await _send(send, 200, fields, b"" if scope["method"] == "HEAD" else body)

    def _hashed(self, name: str) -> str:
        """The name of a file with its hash. Files that it refers to come first: its hash has to change with theirs."""
        if name not in self._names:
            self._add(name, self._directory / name)
        return self._names[name]

    def _add(self, name: str, path: Path) -> None:
        self._imports[name] = {}
        body = _REFERENCE.sub(lambda found: self._reference(name, found[1]), path.read_bytes())
        digest = hashlib.sha256(body).hexdigest()[:10]
        stem, dot, suffix = name.rpartition(".")
        hashed = f"{stem}.{digest}{dot}{suffix}"
        file = StaticFile(
            name=hashed,
            content_type=_content_type(path),
            body=body,
            compressed=gzip.compress(body, 9, mtime=0) if path.suffix in _COMPRESSIBLE else None,
            etag=f'"{digest}"'.encode(),
        )
        self._by_name[hashed] = file
        self._names[name] = hashed

    def _reference(self, name: str, reference: bytes) -> bytes:
        """The hashed name of a file that `name` refers to, from where it stands."""
        relative = reference.decode()
        if relative.startswith("./"):
            directory = name.rpartition("/")[0]
            script = f"{directory}/{relative[2:]}"
            self._imports[name][script] = None
            return f"./{self._hashed(script).rpartition('/')[2]}".encode()
        return self._hashed(relative).encode()


def _content_type(path: Path) -> bytes:
    guessed = {".woff2": "font/woff2", ".js": "text/javascript", ".webmanifest": "application/manifest+json"}
    kind = guessed.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return (f"{kind}; charset=utf-8" if kind.startswith("text/") else kind).encode()


async def _send(send: Send, status: int, fields: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})

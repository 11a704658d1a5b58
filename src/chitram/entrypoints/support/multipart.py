"""Uploads by form (RFC 7578), read as they arrive: the file goes through in large pieces and is never held."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Protocol
from urllib.parse import unquote_to_bytes

from multipart import MultipartError, PushMultipartParser, parse_options_header  # type: ignore[import-untyped]

from chitram.domain.errors import FileTooLarge, InvalidRequest, ValidationFailed
from chitram.domain.uploads import DeclaredDigest
from chitram.entrypoints.support.digests import DeclaredDigests

FILE_FIELD = "file"
MAX_FIELDS = 20
MAX_FIELD_BYTES = 4096
#: What a body may hold beside the file: boundaries, part headers, fields.
MAX_OVERHEAD = 64 * 1024
# RFC 2046 allows 70; some libraries use a few more.
_MAX_BOUNDARY = 200
_MAX_PREAMBLE = MAX_OVERHEAD

_EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*([A-Za-z0-9_-]+)'[^';]*'([^;\s]+)", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')


class _Part(Protocol):
    """The head of a part, as the parser, which has no types, yields it."""

    name: str | None
    filename: str | None
    content_type: str | None

    def header(self, name: str) -> str | None: ...


# The parser yields the head of a part, pieces of its content, and None at its end.
_Event = _Part | bytes | None


class _Ended(Exception):
    """The body is over."""


class UploadForm:
    """One form with one file.

    `await open_file()`, then `file_chunks()` to its end; then all is known: `filename` (as sent, not cleaned),
    `declared_type`, `declared_digest` (of the file), and `fields`, those before and those after the file.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, headers: Mapping[bytes, bytes], max_file_size: int) -> None:
        self.filename: str | None = None
        self.declared_type: str | None = None
        self.declared_digest: DeclaredDigest | None = None
        self.fields: dict[str, str] = {}
        self._chunks = chunks
        self._headers = headers
        self._max_file_size = max_file_size
        self._received = 0
        self._file_bytes = 0
        self._parser: PushMultipartParser | None = None
        self._events: Iterator[_Event] = iter(())
        self._pushed_back: list[_Event] = []
        self._part_seen = False
        self._digests = DeclaredDigests()

    async def open_file(self) -> None:
        """Read up to the content of the file.

        Raises FileTooLarge when the declared length says so already, ValidationFailed when there is no file, and
        InvalidRequest when this is no well-formed form.
        """
        self._check_head()
        try:
            while not await self._at_file(await self._next_part()):
                pass
        except _Ended:
            raise _no_file() from None

    async def file_chunks(self) -> AsyncIterator[bytes]:
        """The file's content in pieces as large as they arrive, then the rest of the form.

        Raises FileTooLarge at the first byte over the limit, InvalidRequest for a broken form or a second file, and
        ChecksumMismatch when body or file are not what was declared; a SHA-256 of the file is left to be compared.
        """
        while (event := await self._next_event()) is not None:
            piece = _content(event)
            self._file_bytes += len(piece)
            if self._file_bytes > self._max_file_size:
                raise FileTooLarge.than(self._max_file_size)
            self._digests.see_file(piece)
            yield piece
        try:
            while True:
                await self._read_field(await self._next_part())
        except _Ended:
            pass
        # However the bytes were cut into chunks: what came after the file is known to be none of it now.
        if self._received - self._file_bytes > MAX_OVERHEAD:
            raise _too_much_beside()
        self.declared_digest = self._digests.judge()

    def _check_head(self) -> None:
        encoding = self._headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b""):
            raise InvalidRequest("The body must not be compressed.", details={"field": "content-encoding"})
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._max_file_size + MAX_OVERHEAD:
            raise FileTooLarge.than(self._max_file_size)
        self._digests.take_head(self._headers)
        self._parser = PushMultipartParser(self._boundary(), max_segment_count=MAX_FIELDS + 2, header_charset="latin-1")

    def _boundary(self) -> str:
        kind, options = parse_options_header(self._headers.get(b"content-type", b"").decode("latin-1"))
        if kind != "multipart/form-data":
            raise _no_file()
        boundary: str = options.get("boundary", "")
        if not boundary or len(boundary) > _MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
            raise InvalidRequest("The form has no usable boundary.", details={"field": "content-type"})
        return boundary

    async def _next_part(self) -> _Part:
        event = await self._next_event()
        assert event is not None
        assert not isinstance(event, bytes)
        return event

    async def _next_event(self) -> _Event:
        if self._pushed_back:
            return self._pushed_back.pop()
        assert self._parser is not None
        try:
            while True:
                for event in self._events:
                    self._part_seen = True
                    return event
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    self._parser.close()
                    raise _Ended
                self._count(chunk)
                self._events = self._parser.parse(chunk)
        except MultipartError as error:
            raise InvalidRequest("The form is not well-formed multipart/form-data.") from error

    def _count(self, chunk: bytes) -> None:
        if not self._part_seen and self._received > _MAX_PREAMBLE:
            raise InvalidRequest("The form does not begin with its boundary.")
        self._received += len(chunk)
        # Not the chunk that may still end with the file: the overhead is judged by what came before it.
        if self._received - len(chunk) - self._file_bytes > MAX_OVERHEAD:
            raise _too_much_beside()
        self._digests.see_body(chunk)

    async def _at_file(self, part: _Part) -> bool:
        """Whether `part` is the file, whose content comes next; a text field is read instead."""
        if part.name != FILE_FIELD or not _is_file(part):
            await self._read_field(part)
            return False
        event = await self._next_event()
        if event is None and not part.filename:
            return False  # A browser's file input in which nothing was chosen.
        self._pushed_back.append(event)
        self.filename = _filename(part)
        self.declared_type = part.content_type
        self._digests.take_part(part.header)
        return True

    async def _read_field(self, part: _Part) -> None:
        name = _text(part.name or "")
        if _is_file(part) and name == FILE_FIELD and self.filename is not None:
            raise InvalidRequest("There is more than one file in this form.", details={"field": FILE_FIELD})
        if part.filename and name != FILE_FIELD and self.filename is None:
            raise _no_file()  # a file under another name, which would be too much to read as text
        if name in self.fields or len(self.fields) >= MAX_FIELDS:
            raise InvalidRequest("The form has too many fields, or one of them twice.", details={"field": name[:64]})
        value = bytearray()
        while (event := await self._next_event()) is not None:
            value += _content(event)
            if len(value) > MAX_FIELD_BYTES:
                raise InvalidRequest("A field of the form is too long.", details={"field": name[:64]})
        try:
            self.fields[name] = value.decode()
        except UnicodeDecodeError:
            raise InvalidRequest("A field of the form is not UTF-8.", details={"field": name[:64]}) from None


def _too_much_beside() -> InvalidRequest:
    return InvalidRequest("There is too much beside the file in this form.")


def _no_file() -> ValidationFailed:
    message = "is required, sent as multipart/form-data"
    return ValidationFailed.of(FILE_FIELD, message, problem="no_file")


def _is_file(part: _Part) -> bool:
    """Browsers, curl and screenshot tools name the file they send; a part that only has a type is taken for one too."""
    return part.filename is not None or _has_extended_name(part) or _is_binary(part.content_type)


def _is_binary(content_type: str | None) -> bool:
    return content_type is not None and content_type.startswith(("image/", "application/octet-stream"))


def _has_extended_name(part: _Part) -> bool:
    return _EXTENDED_NAME.search(_unquoted(part)) is not None


def _unquoted(part: _Part) -> str:
    """The part's Content-Disposition without its quoted strings, so that a name cannot pose as a parameter."""
    return _QUOTED.sub('""', part.header("Content-Disposition") or "")


def _filename(part: _Part) -> str:
    """The name as sent; `filename*` (RFC 5987) counts before `filename`."""
    extended = _EXTENDED_NAME.search(_unquoted(part))
    if extended is None or extended.group(1).lower() not in ("utf-8", "iso-8859-1"):
        return _text(part.filename or "")
    return unquote_to_bytes(extended.group(2)).decode(extended.group(1), errors="replace")


def _text(header: str) -> str:
    """A header that was decoded as Latin-1, as the UTF-8 that nearly everybody sends; as it is when it is not that."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


def _content(event: _Event) -> bytes:
    assert isinstance(event, bytes)
    return event

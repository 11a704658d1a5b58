"""Sends stored bytes: whole, one range, or several."""

import os

from chitram.domain.errors import StorageUnavailable
from chitram.entrypoints.support.asgi import ZERO_COPY, Headers, Send
from chitram.entrypoints.support.ranges import ByteRange
from chitram.ports.blobs import OpenBlob

#: Bytes read and handed to the server at once. It holds back the next piece until the client took most of the last
#: one, so two of them are what a slow reader costs.
CHUNK = 256 * 1024
#: What is sent from files takes no memory; after so much of it other requests have their turn.
FILE_CHUNK = 1024 * 1024


class AnswerCutShort(Exception):
    """The store failed when part of the answer was out. The connection has to break, so that the client notices."""


async def send_whole(send: Send, *, status: int, headers: Headers, body: bytes) -> None:
    """Send an answer whose body is in memory. `body` is empty for HEAD and 304."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_range(
    send: Send, blob: OpenBlob, *, status: int, headers: Headers, part: ByteRange, zero_copy: bool
) -> None:
    """Send `part` of `blob` in pieces. StorageUnavailable before the answer starts, AnswerCutShort later.

    With `zero_copy` the server sends from files itself what is in memory.
    """
    offset = part.start
    if zero_copy and (file := blob.cached_file(offset, min(FILE_CHUNK, part.length))) is not None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        offset = await _send_file(send, blob, file, part=part)
        if offset < part.stop:
            await _send_pieces(send, blob, await _read_on(blob, offset, part.stop), ByteRange(offset, part.stop))
        return
    piece = await blob.read(offset, min(CHUNK, part.length))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _send_pieces(send, blob, piece, part)


async def _send_file(send: Send, blob: OpenBlob, file: int, *, part: ByteRange) -> int:
    """Have the server send `part` from `file`; how far that went before it would have had to wait for the disk."""
    offset, cached = part.start, True
    while cached:
        count = min(FILE_CHUNK, part.stop - offset)
        more = offset + count < part.stop
        await send({"type": ZERO_COPY, "file": file, "offset": offset, "count": count, "more_body": more})
        offset += count
        cached = more and blob.cached_file(offset, min(FILE_CHUNK, part.stop - offset)) is not None
    return offset


async def _send_pieces(send: Send, blob: OpenBlob, piece: bytes, part: ByteRange) -> None:
    """Send `part`, whose first piece has been read."""
    offset = part.start
    while (offset := offset + len(piece)) < part.stop:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        piece = await _read_on(blob, offset, part.stop)
    await send({"type": "http.response.body", "body": piece})


async def _read_on(blob: OpenBlob, offset: int, stop: int) -> bytes:
    try:
        return await blob.read(offset, min(CHUNK, stop - offset))
    except StorageUnavailable as error:
        raise AnswerCutShort from error


class ByteRanges:
    """A multipart/byteranges body (RFC 9110, section 14.6) over several parts of one blob."""

    def __init__(self, parts: tuple[ByteRange, ...], *, content_type: str, size: int) -> None:
        self._parts = parts
        boundary = os.urandom(16).hex()
        self._heads = [
            (
                f"--{boundary}\r\nContent-Type: {content_type}\r\n"
                f"Content-Range: bytes {part.start}-{part.stop - 1}/{size}\r\n\r\n"
            ).encode()
            for part in parts
        ]
        self._end = f"--{boundary}--\r\n".encode()
        self.content_type = b"multipart/byteranges; boundary=" + boundary.encode()
        self.length = sum(len(head) + part.length + 2 for head, part in zip(self._heads, parts, strict=True))
        self.length += len(self._end)

    async def send(self, send: Send, blob: OpenBlob, *, headers: Headers) -> None:
        """Send the answer. StorageUnavailable before it starts, AnswerCutShort later."""
        first = self._parts[0]
        piece = await blob.read(first.start, min(CHUNK, first.length))
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        for head, part in zip(self._heads, self._parts, strict=True):
            await send({"type": "http.response.body", "body": head, "more_body": True})
            offset = part.start
            while offset < part.stop:
                if part is not first or offset != first.start:
                    piece = await _read_on(blob, offset, part.stop)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                offset += len(piece)
            await send({"type": "http.response.body", "body": b"\r\n", "more_body": True})
        await send({"type": "http.response.body", "body": self._end})

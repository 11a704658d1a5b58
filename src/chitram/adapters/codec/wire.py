"""What passes between the server and a decoding process: length-prefixed JSON, then raw bytes. Never pickle.

The reading half for replies takes them for what they may be: made by an attacker who has taken over the decoder.
"""

import json
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chitram.domain.errors import InvalidReason
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, Budget, Ingested, Inspected, Rendered, Span

MAX_HEADER = 1 << 20
MAX_BLOBS = 8192
MAX_THUMBNAIL = 4 << 20
MAX_MESSAGE = 1000
#: Literal bytes of a stripped file replace others, so there are not more of them than the file has, and some headers.
_LITERAL_MARGIN = 64 << 10
_LENGTH = struct.Struct(">I")
_MAGICS = {"image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}
_BASE64 = re.compile(r"[A-Za-z0-9+/]{4,64}={0,2}", re.ASCII)


class ProtocolError(Exception):
    """The other side said what it never may."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a job gives: a JSON object, and bytes that it speaks of by their number."""

    result: Mapping[str, Any]
    blobs: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """The first part of a reply: the JSON object and the lengths of the blobs that follow."""

    content: Mapping[str, Any]
    lengths: tuple[int, ...]


def frame(content: Mapping[str, Any]) -> bytes:
    """A JSON object with its length before it."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


def frame_reply(content: Mapping[str, Any], *, blobs: Sequence[bytes] = ()) -> bytes:
    """A whole reply: the JSON object, which then tells the lengths of the blobs, and the blobs."""
    return frame({**content, "blobs": [len(blob) for blob in blobs]}) + b"".join(blobs)


def header_length(prefix: bytes) -> int:
    """The length of the JSON object that follows, checked."""
    length: int = _LENGTH.unpack(prefix)[0]
    if length > MAX_HEADER:
        raise ProtocolError("a header is too long")
    return length


def parse_header(body: bytes, *, at_most: int) -> Header:
    """The JSON object of a reply whose blobs may have `at_most` bytes together."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError("a header is no JSON") from None
    if not isinstance(content, dict):
        raise ProtocolError("a header is no object")
    lengths = content.get("blobs", [])
    if not isinstance(lengths, list) or len(lengths) > MAX_BLOBS:
        raise ProtocolError("the lengths are no list, or too many")
    checked = tuple(_integer(length, at_most=at_most) for length in lengths)
    if sum(checked) > at_most:
        raise ProtocolError("a reply is too long")
    return Header(content, checked)


def receive_request(channel: socket.socket) -> tuple[str, Mapping[str, Any], int] | None:
    """The next job, its arguments and the file to work on, in the decoding process; None when there is no more."""
    data, fds, _, _ = socket.recv_fds(channel, 1 << 16, 1)
    if not data:
        return None
    while len(data) < 4 or len(data) < 4 + _LENGTH.unpack(data[:4])[0]:
        more = channel.recv(1 << 16)
        if not more:
            return None
        data += more
    request = json.loads(data[4:])
    return request["job"], request["arguments"], fds[0]


def budget_to_json(budget: Budget) -> dict[str, Any]:
    return {**asdict(budget), "content_types": sorted(budget.content_types)}


def budget_from_json(value: Mapping[str, Any]) -> Budget:
    return Budget(**{**value, "content_types": frozenset(value["content_types"])})


def inspected_reply(inspected: Inspected) -> Reply:
    """An Inspected; of its pieces, numbers name the spans and the blobs hold the new bytes."""
    pieces = inspected.pieces
    blobs = [piece for piece in pieces or () if isinstance(piece, bytes)]
    spans = None if pieces is None else [[p.offset, p.length] if isinstance(p, Span) else None for p in pieces]
    result = {
        "content_type": inspected.content_type,
        "width": inspected.width,
        "height": inspected.height,
        "frames": inspected.frames,
        "pieces": spans,
    }
    return Reply(result, blobs)


def ingested_reply(ingested: Ingested) -> Reply:
    """An Ingested: thumbnails come before the new bytes of the pieces."""
    first = inspected_reply(ingested.inspected)
    rendered = ingested.rendered
    result = {
        **first.result,
        "thumbnail_type": rendered.thumbnail_type,
        "perceptual_hash": rendered.perceptual_hash,
        "placeholder": rendered.placeholder,
    }
    return Reply(result, [*(rendered.thumbnails[size] for size in THUMBNAIL_SIZES), *first.blobs])


def largest_reply(file_size: int) -> int:
    """How many bytes the blobs of an honest reply have at most."""
    return file_size + _LITERAL_MARGIN + MAX_THUMBNAIL * len(THUMBNAIL_SIZES)


def parse_inspected(reply: Reply, *, budget: Budget, file_size: int) -> Inspected:
    """The Inspected in a reply about a file of `file_size` bytes; ProtocolError when it cannot be true."""
    result = reply.result
    content_type = result.get("content_type")
    if not isinstance(content_type, str) or content_type not in budget.content_types & FORMATS.keys():
        raise ProtocolError("the content type is not one that was allowed")
    width = _integer(result.get("width"), at_least=1, at_most=budget.max_pixels)
    height = _integer(result.get("height"), at_least=1, at_most=budget.max_pixels)
    frames = _integer(result.get("frames"), at_least=1, at_most=budget.max_frames)
    if width * height > budget.max_pixels:
        raise ProtocolError("there are more pixels than were allowed")
    pieces = _parse_pieces(result.get("pieces"), blobs=reply.blobs, file_size=file_size)
    return Inspected(content_type, width, height, frames, pieces)


def parse_ingested(reply: Reply, *, budget: Budget, file_size: int) -> Ingested:
    """The Ingested in a reply about a file of `file_size` bytes; ProtocolError when it cannot be true."""
    result, count = reply.result, len(THUMBNAIL_SIZES)
    thumbnails, literals = reply.blobs[:count], reply.blobs[count:]
    kind, text = result.get("thumbnail_type"), result.get("placeholder")
    magic = _MAGICS.get(kind) if isinstance(kind, str) else None
    if magic is None or len(thumbnails) != count:
        raise ProtocolError("the thumbnails are not what was asked for")
    if any(len(data) > MAX_THUMBNAIL or not data.startswith(magic) for data in thumbnails):
        raise ProtocolError("a thumbnail is not of its type, or too large")
    if not isinstance(text, str) or _BASE64.fullmatch(text) is None:
        raise ProtocolError("the placeholder is none")
    rendered = Rendered(
        thumbnails=dict(zip(THUMBNAIL_SIZES, thumbnails, strict=True)),
        thumbnail_type=str(kind),
        perceptual_hash=_integer(result.get("perceptual_hash"), at_most=2**64 - 1),
        placeholder=text,
    )
    return Ingested(parse_inspected(Reply(result, literals), budget=budget, file_size=file_size), rendered)


def parse_refusal(content: Mapping[str, Any]) -> tuple[InvalidReason, str] | None:
    """Why the file was refused, when the reply says so."""
    if "refused" not in content:
        return None
    reason, message = content["refused"], content.get("message")
    if not isinstance(reason, str) or reason not in set(InvalidReason) or not isinstance(message, str):
        raise ProtocolError("the reason is none")
    return InvalidReason(reason), "".join(c for c in message if c.isprintable())[:MAX_MESSAGE]


def _parse_pieces(value: object, *, blobs: Sequence[bytes], file_size: int) -> tuple[Span | bytes, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_BLOBS or sum(map(len, blobs)) > file_size + _LITERAL_MARGIN:
        raise ProtocolError("the pieces are no list, or too many")
    literals = iter(blobs)
    pieces: list[Span | bytes] = []
    for item in value:
        if isinstance(item, list) and len(item) == 2:
            offset = _integer(item[0], at_most=file_size)
            pieces.append(Span(offset, _integer(item[1], at_least=1, at_most=file_size - offset)))
        else:
            literal = next(literals, None)
            if item is not None or literal is None:
                raise ProtocolError("a piece is none")
            pieces.append(literal)
    return tuple(pieces)


def _integer(value: object, *, at_most: int, at_least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
        raise ProtocolError("a number is out of its range")
    return value

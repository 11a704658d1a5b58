"""ICC profiles (ICC.1): what of them turns numbers into colours, and nothing that tells of a device or a person."""

import struct
import zlib
from collections.abc import Iterator

from chitram.adapters.codec.formats.structure import MAX_PROFILE

_HEADER = 128
_SIGNATURE = b"acsp"
_MAX_TAGS = 100
#: Version 5 (iccMAX) has colours that nothing here or in browsers shows.
_LATEST_VERSION = 4
#: Displays, cameras, printers, colour spaces: what pictures carry. Device links and named colours do not describe one.
_CLASSES = frozenset({b"mntr", b"scnr", b"prtr", b"spac"})
_RENDERING = frozenset(
    {
        *(b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"bkpt", b"chad", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"gamt", b"cicp"),
        *(kind + bytes((0x30 + intent,)) for kind in (b"A2B", b"B2A", b"D2B", b"B2D") for intent in range(4)),
    }
)
#: Types whose length does not follow from their first bytes: they are kept as long as their tag says.
_OPEN = frozenset({b"mAB ", b"mBA ", b"mpet"})
_FIXED = {b"XYZ ": 20, b"sf32": 44, b"cicp": 12}
#: Numbers in a parametric curve of each type.
_PARAMETERS = (1, 3, 4, 5, 7)
_WHITE = struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
#: Some readers want every profile to have a name.
_NAME = b"profile"


class _Damaged(Exception):
    """The profile contradicts itself."""


def neutral_profile(profile: bytes) -> bytes | None:
    """`profile` without dates, makers, models, texts and whatever else does not turn numbers into colours.

    None when it is damaged, or no profile of a picture. The neutral form of a neutral profile is itself. What follows
    the size that the profile declares is not of it.
    """
    size = int.from_bytes(profile[:4], "big")
    if not _HEADER + 4 <= size <= min(len(profile), MAX_PROFILE) or profile[36:40] != _SIGNATURE:
        return None
    if profile[12:16] not in _CLASSES or profile[8] > _LATEST_VERSION:
        return None
    try:
        tags = dict(_tags(profile[:size]))
    except (_Damaged, struct.error, IndexError):
        return None
    return _assembled(profile, tags={b"desc": _name(profile[8]), **tags}) if tags else None


def inflate_profile(packed: bytes) -> bytes | None:
    """The profile in a zlib stream; None when it is no stream, or more than `MAX_PROFILE` bytes come out of it."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed, MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflater.eof and profile else None


def wrapped_in_zlib(data: bytes) -> bytes:
    """`data` as a zlib stream that does not compress: the same bytes whatever the version of the library."""
    blocks = [data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF)]
    body = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), 0xFFFF - len(block)) + block for block in blocks
    )
    return b"\x78\x01" + body + struct.pack(">I", zlib.adler32(data))


def _tags(profile: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The signature and the data of each tag that rendering needs."""
    count = int.from_bytes(profile[_HEADER : _HEADER + 4], "big")
    if count > _MAX_TAGS:
        raise _Damaged
    seen = set()
    for number in range(count):
        signature, offset, length = struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * number)
        if signature in _RENDERING and signature not in seen:
            seen.add(signature)
            if offset < _HEADER or offset + length > len(profile):
                raise _Damaged
            yield signature, _exact(profile[offset : offset + length])


def _exact(data: bytes) -> bytes:
    """The data of a tag cut to the length that their type has, with its reserved bytes zero."""
    length = _length(data)
    if not 8 <= length <= len(data):
        raise _Damaged
    return data[:4] + bytes(4) + data[8:length]


def _length(data: bytes) -> int:
    """How long a tag of this type and with this beginning is."""
    kind = data[:4]
    if kind in _OPEN:
        return len(data)
    if kind == b"curv":
        return 12 + 2 * int.from_bytes(data[8:12], "big")
    if kind == b"para":
        return 12 + 4 * _PARAMETERS[int.from_bytes(data[8:10], "big")]
    if kind in (b"mft1", b"mft2"):
        return _table_length(data, wide=kind == b"mft2")
    return _FIXED.get(kind, 0)


def _table_length(data: bytes, *, wide: bool) -> int:
    """The length of a table: a curve for each channel in, a grid, a curve for each channel out."""
    inputs, outputs, grid = data[8], data[9], data[10]
    if not 1 <= inputs <= 15:
        raise _Damaged
    colours = int(grid**inputs)
    if wide:
        entries_in, entries_out = struct.unpack_from(">HH", data, 48)
        return 52 + 2 * (inputs * int(entries_in) + colours * outputs + outputs * int(entries_out))
    return 48 + 256 * inputs + colours * outputs + 256 * outputs


def _name(version: int) -> bytes:
    """The description that every neutral profile has, in the form of its major version."""
    if version >= 4:
        text = b"".join(bytes((0, character)) for character in _NAME)
        return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    text = _NAME + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)


def _assembled(profile: bytes, *, tags: dict[bytes, bytes]) -> bytes:
    """A profile of `tags` under the header of `profile`, of which what colours depend on is left."""
    start = _HEADER + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    body = b""
    for data in tags.values():
        # The curves of the three channels are most often the same, and then stored once.
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
    table = b"".join(struct.pack(">4sII", tag, places[data], len(data)) for tag, data in tags.items())
    head = struct.pack(">I4x", start + len(body)) + profile[8:10] + bytes(2) + profile[12:24] + bytes(12)
    head += _SIGNATURE + bytes(24) + bytes(2) + profile[66:68] + _WHITE
    return head.ljust(_HEADER, b"\0") + struct.pack(">I", len(tags)) + table + body

"""ICC profiles that come compressed."""

import zlib

from chitram.adapters.codec.formats.structure import MAX_PROFILE


def inflate_profile(packed: bytes) -> bytes | None:
    """The profile in a zlib stream; None when it is no stream, or more than `MAX_PROFILE` bytes come out of it."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed, MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflater.eof and profile else None

"""Files that were made to do harm: tiny, deterministic, each a function that gives its bytes.

`REFUSED`: name → (bytes, reason) of files that must not be accepted. `ACCEPTED`: name → bytes of files that are
pictures and something else too: they may be stored, stripped of the something else. `HOSTILE`: name → bytes, of all.
`truncations` and `bit_flips` make many of one.
"""

import random
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

from tests.factories import pictures
from tests.factories.pictures import chunk, png_of, riff_chunk, riff_of, segment

Make = Callable[[], bytes]

_HTML = b"<html><body><script>alert(document.domain)</script></body></html>"


def truncations(data: bytes, *, step: int) -> Iterator[bytes]:
    """`data` cut off at every `step`-th byte."""
    return (data[:at] for at in range(0, len(data), step))


def bit_flips(data: bytes, *, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` copies of `data`, each with 1 to 4 bits turned."""
    dice = random.Random(seed)
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            copy[dice.randrange(len(copy))] ^= 1 << dice.randrange(8)
        yield bytes(copy)


def png_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG whose few bytes stand for 3.6 gigapixels."""
    return png_of(width, height, rows=zlib.compress(bytes(1 << 20), 9))


def png_sized(width: int, height: int) -> bytes:
    """A PNG of whatever declared size."""
    return png_of(width, height, rows=zlib.compress(b"\0"))


def jpeg_sized(width: int, height: int) -> bytes:
    """A small JPEG that declares another size."""
    data = pictures.jpeg(16, 16)
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def jpeg_scans(count: int = 1000) -> bytes:
    """A progressive JPEG whose last scan comes over and over again."""
    data = pictures.jpeg(64, 64, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def jpeg_segments(count: int = 20_000) -> bytes:
    """A JPEG with a comment over and over again."""
    data = pictures.jpeg(16, 16)
    return data[:2] + segment(0xFE, b"") * count + data[2:]


def jpeg_tags(count: int = 5000) -> bytes:
    """A JPEG whose Exif directory is as full as a segment can be and points to itself."""
    entries = struct.pack(">HHII", 0x8769, 4, 1, 8) * count
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">H", 65_535) + entries
    data = pictures.jpeg(16, 16)
    return data[:2] + segment(0xE1, b"Exif\0\0" + tiff) + data[2:]


def jpeg_cut(data: bytes, *, share: float) -> bytes:
    """`data`, a JPEG, cut off behind a `share` of its picture data and closed with an end marker like a whole one."""
    start = data.index(b"\xff\xda") + 14
    return data[: start + int((len(data) - start) * share)].rstrip(b"\xff") + b"\xff\xd9"


def jpeg_scanned(width: int, height: int, *, scans: int) -> bytes:
    """A progressive JPEG of a declared size whose last scan comes `scans` more times."""
    data = pictures.jpeg(16, 16, progressive=True)
    at, last = data.index(b"\xff\xc2") + 5, data.rindex(b"\xff\xda")
    sized = data[:at] + struct.pack(">HH", height, width) + data[at + 4 : last]
    return sized + data[last:-2] * scans + b"\xff\xd9"


def jpeg_of_kind(marker: int) -> bytes:
    """A JPEG whose frame says that it is lossless, hierarchical or arithmetic-coded."""
    return pictures.jpeg(16, 16).replace(b"\xff\xc0", b"\xff" + bytes((marker,)), 1)


def jpeg_profile(size: int = 100 << 10, *, parts: int = 60) -> bytes:
    """A JPEG with a colour profile of `size` bytes in each of `parts` parts, cut down to what a segment holds."""
    payloads = [b"ICC_PROFILE\0" + bytes((n + 1, parts)) + bytes(min(size, 65_519)) for n in range(parts)]
    data = pictures.jpeg(16, 16)
    return data[:2] + b"".join(segment(0xE2, payload) for payload in payloads) + data[2:]


def gif_sized(width: int, height: int, *, frames: int = 1) -> bytes:
    """A GIF of a declared size whose frames have one pixel each."""
    frame = b",\0\0\0\0\1\0\1\0\0\x02\x02D\x01\0"
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + frame * frames + b";"


def gif_extents() -> bytes:
    """A GIF whose only frame is far larger than its screen."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02D\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame + b";"


def gif_sub_blocks(count: int = 20_000) -> bytes:
    """A GIF whose picture data come one byte a block."""
    head = gif_sized(1, 1)[:-6]
    return head + b"\x02" + b"\x01\0" * count + b"\0;"


def apng_lie(declared: int = 2**31 - 1) -> bytes:
    """An animated PNG that says it has two thousand million frames and has two."""
    data = pictures.apng(16, 16, frames=2)
    at = data.index(b"acTL") - 4
    return data[:at] + chunk(b"acTL", struct.pack(">II", declared, 0)) + data[at + 20 :]


def apng_frames(count: int = 5000) -> bytes:
    """An animated PNG that says it has one frame and has thousands."""
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 100, 0, 0))
    animation = chunk(b"acTL", struct.pack(">II", 1, 0)) + control * count
    return png_of(1, 1, rows=zlib.compress(b"\0\0\0\0"), extra=animation)


def webp_canvas_lie() -> bytes:
    """A WebP whose canvas is not as large as its picture."""
    extended = riff_chunk(b"VP8X", b"\0\0\0\0" + b"\xff\x0f\0" + b"\xff\x0f\0")
    return riff_of(extended + pictures.webp(16, 16)[12:])


def webp_frames(count: int = 5000) -> bytes:
    """A WebP of thousands of frames of one pixel."""
    picture = pictures.webp(1, 1, lossless=True)[12:]
    frame = riff_chunk(b"ANMF", bytes(16) + picture)
    header = riff_chunk(b"VP8X", b"\x02" + bytes(9)) + riff_chunk(b"ANIM", bytes(6))
    return riff_of(header + frame * count)


def png_profile(size: int = 64 << 20) -> bytes:
    """A PNG whose colour profile is a few kilobytes that become `size`."""
    return pictures.with_chunks(pictures.png(16, 16), chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(size), 9)))


def png_text(size: int = 64 << 20) -> bytes:
    """A PNG with a compressed text that becomes `size` bytes."""
    return pictures.with_chunks(pictures.png(16, 16), chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(size), 9)))


def png_html() -> bytes:
    """A PNG with a web page in its text and behind its end."""
    return pictures.with_chunks(pictures.png(16, 16), chunk(b"tEXt", b"Comment\0" + _HTML)) + _HTML


def jpeg_html() -> bytes:
    """A JPEG with a web page as its comment."""
    data = pictures.jpeg(16, 16)
    return data[:2] + segment(0xFE, _HTML) + data[2:]


def png_lengths() -> bytes:
    """A PNG whose chunks of fixed length are all longer than that, with something in the rest."""
    longer = {
        b"pHYs": 9,
        b"sRGB": 1,
        b"gAMA": 4,
        b"cHRM": 32,
        b"cICP": 4,
        b"mDCV": 24,
        b"cLLI": 8,
        b"bKGD": 6,
        b"sBIT": 3,
    }
    extra = b"".join(chunk(kind, bytes(length) + pictures.SECRET) for kind, length in longer.items())
    extra += chunk(b"PLTE", pictures.SECRET) + chunk(b"tRNS", bytes(6) + pictures.SECRET)
    extra += chunk(b"bKGD", bytes(6)) + chunk(b"bKGD", pictures.SECRET[:6])
    data = pictures.with_chunks(pictures.png(16, 16), extra)
    return data[:-12] + chunk(b"IEND", pictures.SECRET)


def png_late_animation() -> bytes:
    """A PNG that says behind its picture data that it was animated, with frames that nobody counts."""
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 16, 16, 0, 0, 1, 1, 0, 0))
    late = chunk(b"acTL", struct.pack(">II", 1, 0)) + (control + chunk(b"fdAT", bytes(4) + pictures.SECRET)) * 5000
    return pictures.with_chunks(pictures.png(16, 16), late, before=b"IEND")


def icc_texts() -> bytes:
    """A JPEG whose colour profile tells in every corner who made it, when, and with what."""
    return pictures.jpeg(16, 16, icc=pictures.telling_profile())


def zipped() -> bytes:
    """A ZIP archive of one stored, empty file."""
    name = b"a.html"
    entry = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0)
    local = b"PK\3\4" + entry + name
    central = b"PK\1\2" + struct.pack("<H", 20) + entry + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def script_gif() -> bytes:
    """A GIF that is a script too: its size reads as the start of a comment."""
    width, height = struct.unpack("<HH", b"/*=1")
    data = gif_sized(width, height)
    return data + b"*/=1;alert(1)"


def mpo() -> bytes:
    """A JPEG with a second one behind it, as cameras with two lenses write it."""
    data = pictures.jpeg(64, 48)
    index = segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\x01\xb0\x01\0\x04\0\0\0\x01\0\0\0\x02\0\0\0\0")
    return data[:2] + index + data[2:] + pictures.jpeg(32, 24, seed=9)


def exif_thumbnail() -> bytes:
    """A JPEG whose Exif block holds a small picture of what was there before it was cropped."""
    inner = pictures.jpeg(40, 30, seed=7) + pictures.SECRET
    second = struct.pack(">HHHII", 2, 0x0201, 4, 1, 38) + struct.pack(">HHII", 0x0202, 4, 1, len(inner)) + bytes(4)
    tiff = b"MM\0*\0\0\0\x08\0\0" + struct.pack(">I", 14) + second + inner
    data = pictures.jpeg(64, 48)
    return data[:2] + segment(0xE1, b"Exif\0\0" + tiff) + data[2:]


def tiff_loop() -> bytes:
    """A TIFF whose directory comes after itself."""
    return b"II*\0\x08\0\0\0\0\0\x08\0\0\0"


def svg(body: str = "<script>alert(1)</script>") -> bytes:
    """An SVG with something in it."""
    return f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{body}</svg>'.encode()


def _avif_sized(width: int, height: int) -> bytes:
    data = pictures.avif(16, 16)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


REFUSED: Mapping[str, tuple[Make, str]] = {
    "png bomb": (png_bomb, "too_many_pixels"),
    "png 65535 squared": (lambda: png_sized(65_535, 65_535), "too_many_pixels"),
    "png 2**31-1 squared": (lambda: png_sized(2**31 - 1, 2**31 - 1), "too_many_pixels"),
    "png negative": (lambda: png_sized(2**32 - 1, 1), "corrupt"),
    "png zero": (lambda: png_sized(0, 10), "corrupt"),
    "jpeg 65500 squared": (lambda: jpeg_sized(65_500, 65_500), "too_many_pixels"),
    "jpeg zero width": (lambda: jpeg_sized(0, 16), "corrupt"),
    "jpeg zero height": (lambda: jpeg_sized(16, 0), "corrupt"),
    "jpeg 1000 scans": (jpeg_scans, "corrupt"),
    "jpeg 90 scans of 30 megapixels": (lambda: jpeg_scanned(6000, 5000, scans=80), "too_many_pixels"),
    "jpeg progressive, cut and closed": (
        lambda: jpeg_cut(pictures.jpeg(640, 480, progressive=True, grain=0.1), share=0.2),
        "truncated",
    ),
    "jpeg 20000 segments": (jpeg_segments, "corrupt"),
    "jpeg lossless": (lambda: jpeg_of_kind(0xC3), "unsupported_type"),
    "jpeg hierarchical": (lambda: jpeg_of_kind(0xC5), "unsupported_type"),
    "jpeg arithmetic": (lambda: jpeg_of_kind(0xC9), "unsupported_type"),
    "gif 65535 squared": (lambda: gif_sized(65_535, 65_535), "too_many_pixels"),
    "gif zero": (lambda: b"GIF89a\0\0\0\0\0\0\0;", "corrupt"),
    "gif extents": (gif_extents, "too_many_pixels"),
    "gif 5000 frames": (lambda: gif_sized(1, 1, frames=5000), "too_many_frames"),
    "gif large frames": (lambda: gif_sized(9000, 9000, frames=900), "too_many_frames"),
    "apng 5000 frames": (apng_frames, "too_many_frames"),
    "webp canvas lie": (webp_canvas_lie, "corrupt"),
    "webp 5000 frames": (webp_frames, "too_many_frames"),
    "avif 17000 squared": (lambda: _avif_sized(17_000, 17_000), "too_many_pixels"),
    "avif zero": (lambda: _avif_sized(0, 0), "corrupt"),
    "script gif": (script_gif, "too_many_pixels"),
    "tiff loop": (tiff_loop, "unsupported_type"),
    "svg script": (svg, "unsupported_type"),
    "svg entity": (lambda: svg('<image href="file:///etc/passwd"/>'), "unsupported_type"),
    "html": (lambda: _HTML, "unsupported_type"),
    "zip": (zipped, "unsupported_type"),
    "pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "unsupported_type"),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_type"),
    "bmp": (lambda: b"BM" + struct.pack("<IHHIIii", 54, 0, 0, 54, 40, 9, 9) + bytes(28), "unsupported_type"),
    "psd": (lambda: b"8BPS\0\1" + bytes(20), "unsupported_type"),
    "mvg": (lambda: b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(|id)'\n", "unsupported_type"),
    "djvu": (lambda: b"AT&TFORM\0\0\0\x20DJVUINFO" + bytes(20), "unsupported_type"),
    "empty": (lambda: b"", "unsupported_type"),
    "one byte": (lambda: b"\xff", "truncated"),
    "jpeg header only": (lambda: b"\xff\xd8\xff", "truncated"),
    "png header only": (lambda: b"\x89PNG\r\n\x1a\n", "truncated"),
    "zeros": (lambda: bytes(4096), "unsupported_type"),
}

ACCEPTED: Mapping[str, Make] = {
    "jpeg tags": jpeg_tags,
    "jpeg large profile": lambda: jpeg_profile(parts=80),
    "jpeg torn profile": lambda: jpeg_profile(parts=3).replace(b"\x02\x03", b"\x05\x03", 1),
    "jpeg html": jpeg_html,
    "jpeg zip": lambda: pictures.jpeg(16, 16) + zipped(),
    "png zip": lambda: pictures.png(16, 16) + zipped(),
    "png html": png_html,
    "png profile bomb": png_profile,
    "png text bomb": png_text,
    "png lengths": png_lengths,
    "png late animation": png_late_animation,
    "icc texts": icc_texts,
    "apng lie": apng_lie,
    "gif sub-blocks": gif_sub_blocks,
    "gif zip": lambda: pictures.gif(16, 16) + zipped(),
    "webp zip": lambda: pictures.webp(16, 16) + zipped(),
    "avif zip": lambda: pictures.avif(16, 16) + zipped(),
    "mpo": mpo,
    "exif thumbnail": exif_thumbnail,
}

HOSTILE: Mapping[str, Make] = {**{name: make for name, (make, _) in REFUSED.items()}, **ACCEPTED}

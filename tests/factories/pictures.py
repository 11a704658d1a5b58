"""Well-formed pictures of every format as bytes. Deterministic: the same arguments give the same bytes.

    jpeg(640, 480)                          a photograph-like JPEG
    jpeg(640, 480, orientation=6)           stored lying, shown upright as 480 x 640
    jpeg(640, 480, secrets=True)            with `SECRET` in every metadata container of the format
    png(64, 64, mode="LA")                  any of 1, L, LA, P, PA, RGB, RGBA, L16, LA16, RGB16, RGBA16
    webp(64, 64, frames=3), gif(64, 64, frames=3), avif(64, 64), apng(64, 64, frames=3)

`seed` tells pictures apart: other seeds look different.
"""

import io
import random
import struct
import zlib

from PIL import Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

#: Stands in every metadata container when `secrets` is asked for, so that a search of the bytes finds what was left.
SECRET = b"s3cr3t-place-51.5074N"

_CORNERS = ((220, 40, 30), (40, 190, 60), (50, 70, 220), (240, 220, 60))


def scene(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """An RGB picture without any symmetry: red, green, blue, yellow corners clockwise from the top left over shapes."""
    dice = random.Random(seed)
    small = Image.frombytes("RGB", (8, 6), dice.randbytes(8 * 6 * 3))
    picture = small.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        # Fractions and not pixels: the same seed looks the same at every size.
        x, y = dice.random() * width, dice.random() * height
        w, h = (0.1 + dice.random() / 3) * width, (0.1 + dice.random() / 3) * height
        draw.ellipse((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=tuple(dice.randbytes(3)))
    for colour, (x, y) in zip(_CORNERS, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        left, top = x * (width - width // 5), y * (height - height // 5)
        draw.rectangle((left, top, left + width // 5, top + height // 5), fill=colour)
    return picture


def photograph(width: int, height: int, *, seed: int = 0, grain: float = 0.12) -> Image.Image:
    """A scene with grain, so that it compresses like a photograph and not like a drawing."""
    noise = Image.frombytes("RGB", (width, height), random.Random(seed + 1).randbytes(width * height * 3))
    return Image.blend(scene(width, height, seed=seed), noise, grain)


def stored(picture: Image.Image, *, orientation: int) -> Image.Image:
    """`picture` as it lies in a file whose orientation tag turns it upright again."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return picture if undo is None else picture.transpose(undo)


def exif(*, orientation: int = 1, secrets: bool = False) -> bytes:
    """A TIFF block with the orientation and, with `secrets`, a camera, a GPS position, a maker note and more."""
    tags = Image.Exif()
    if orientation != 1:
        tags[0x0112] = orientation
    if secrets:
        tags[0x010F] = SECRET.decode()
        tags.get_ifd(0x8769)[0x927C] = b"MakerNote" + SECRET
        tags.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 26.64), 3: "W", 4: (0.0, 7.0, 39.0), 28: SECRET})
    return tags.tobytes().removeprefix(b"Exif\0\0")


def xmp(*, orientation: int | None = None) -> bytes:
    """An XMP packet with a position in it."""
    turn = "" if orientation is None else f' tiff:Orientation="{orientation}"'
    return (
        b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        + turn.encode()
        + b">"
        + SECRET
        + b'</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def srgb_profile() -> bytes:
    """The sRGB profile that littleCMS makes, without the date on which it was made."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)


def swapped_profile() -> bytes:
    """An RGB profile whose red and green primaries are exchanged: converting by it cannot be overlooked."""
    profile = bytearray(srgb_profile())
    count = struct.unpack_from(">I", profile, 128)[0]
    where = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = where[b"rXYZ"], where[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def profile_of(profile: bytes, *, tags: dict[bytes, bytes], order: bytes = b"") -> bytes:
    """`profile` with its tags replaced or complemented by `tags`: signature → data. `order`: what comes after them."""
    count = struct.unpack_from(">I", profile, 128)[0]
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(count)]
    merged = {tag: profile[offset : offset + length] for tag, offset, length in entries} | tags
    start = 132 + 12 * len(merged)
    table, body = b"", b""
    for tag, data in merged.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = struct.pack(">I", start + len(body) + len(order))
    return size + profile[4:128] + struct.pack(">I", len(merged)) + table + body + order


def telling_profile(profile: bytes | None = None) -> bytes:
    """An RGB profile, or `profile`, that tells `SECRET` wherever it can: header, texts, private tags, gaps, the end."""
    told = profile_of(
        srgb_profile() if profile is None else profile,
        tags={
            b"cprt": b"text" + bytes(4) + SECRET + b"\0",
            b"dmnd": b"text" + bytes(4) + SECRET + b"\0",
            b"mmod": b"mmod" + bytes(4) + SECRET,
            b"wtpt": b"XYZ " + SECRET[:4] + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D) + SECRET,
        },
        order=SECRET,
    )
    head = bytearray(told[:128])
    head[4:8] = head[48:52] = head[52:56] = head[80:84] = SECRET[:4]
    head[24:36] = head[84:96] = (SECRET * 2)[:12]
    head[100:121] = SECRET
    return bytes(head) + told[128:]


def cmyk_profile() -> bytes:
    """A CMYK profile of a table with two points an axis: 16 corners, as inks without any surprise would mix."""
    corners = b""
    for n in range(16):
        cyan, magenta, yellow, black = (n >> 3 & 1, n >> 2 & 1, n >> 1 & 1, n & 1)
        light = 0xFF00 * (4 - cyan - magenta - yellow) // 4 if not black else 0x1000
        corners += struct.pack(">3H", light, 0x8000 + 0x2000 * (magenta - cyan), 0x8000 + 0x2000 * (yellow - cyan))
    straight = struct.pack(">2H", 0, 0xFFFF)
    matrix = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x10000)
    table = b"mft2" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + struct.pack(">HH", 2, 2) + straight * 4 + corners
    head = bytearray(srgb_profile()[:128])
    head[8:12], head[12:24] = b"\x02\x40\0\0", b"prtrCMYKLab "
    empty = bytes(head) + bytes(4)
    white = b"XYZ " + bytes(4) + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return profile_of(empty, tags={b"A2B0": table + straight * 3, b"wtpt": white})


def segment(marker: int, payload: bytes) -> bytes:
    """One JPEG segment."""
    return b"\xff" + bytes((marker,)) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def riff_chunk(kind: bytes, payload: bytes) -> bytes:
    """One RIFF chunk, padded to an even length."""
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) & 1)


def _save(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **{key: value for key, value in options.items() if value is not None})
    return out.getvalue()


def jpeg(
    width: int = 64,
    height: int = 48,
    *,
    seed: int = 0,
    orientation: int = 1,
    mode: str = "RGB",
    icc: bytes | None = None,
    secrets: bool = False,
    progressive: bool = False,
    quality: int = 85,
    grain: float = 0.0,
) -> bytes:
    """A JPEG of the upright size `width` x `height`. `mode`: RGB, L or CMYK (with Adobe's marker, inverted)."""
    upright = photograph(width, height, seed=seed, grain=grain) if grain else scene(width, height, seed=seed)
    picture = stored(upright, orientation=orientation).convert(mode)
    block = exif(orientation=orientation, secrets=secrets) if secrets or orientation != 1 else None
    exif_block = None if block is None else b"Exif\0\0" + block
    data = _save(picture, "JPEG", quality=quality, progressive=progressive, icc_profile=icc, exif=exif_block)
    return with_jpeg_secrets(data) if secrets else data


def with_jpeg_secrets(data: bytes) -> bytes:
    """`data` with XMP, IPTC, a comment, MPF, JFXX and JUMBF segments after the first one, and bytes after the end."""
    first = 2 if data[2:4] != b"\xff\xe0" else 4 + struct.unpack_from(">H", data, 4)[0]
    extra = (
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())
        + segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\x15" + SECRET)
        + segment(0xFE, b"comment " + SECRET)
        + segment(0xE2, b"MPF\0MM\0*" + SECRET)
        + segment(0xE0, b"JFXX\0\x10" + SECRET)
        + segment(0xEB, b"JP\0\1jumb c2pa" + SECRET)
    )
    return data[:first] + extra + data[first:] + b"\0\0\0\x18ftypmp42" + SECRET


def png(
    width: int = 64,
    height: int = 48,
    *,
    mode: str = "RGB",
    seed: int = 0,
    orientation: int = 1,
    icc: bytes | None = None,
    secrets: bool = False,
) -> bytes:
    """A PNG. Modes that Pillow cannot write (L16, LA16, RGB16, RGBA16) are written here."""
    upright = scene(width, height, seed=seed)
    picture = stored(upright, orientation=orientation)
    if mode.endswith("16"):
        data = _deep_png(picture, mode=mode[:-2])
    else:
        data = _save(_in_mode(picture, mode=mode), "PNG", icc_profile=icc, **_palette_options(mode))
    if orientation != 1 or secrets:
        data = with_chunks(data, chunk(b"eXIf", exif(orientation=orientation, secrets=secrets)))
    return with_png_secrets(data) if secrets else data


def _in_mode(picture: Image.Image, *, mode: str) -> Image.Image:
    if mode in ("RGBA", "LA"):
        alpha = Image.linear_gradient("L").resize(picture.size)
        picture = picture.convert(mode)
        picture.putalpha(alpha)
        return picture
    if mode in ("P", "PA"):
        return picture.quantize(32)
    return picture.convert(mode)


def _palette_options(mode: str) -> dict[str, object]:
    return {"transparency": bytes(range(0, 256, 8))} if mode == "PA" else {}


def _deep_png(picture: Image.Image, *, mode: str) -> bytes:
    picture = _in_mode(picture, mode=mode)
    raw = picture.tobytes()
    deep = bytes(byte for value in raw for byte in (value, value))
    stride = len(deep) // picture.height
    rows = b"".join(b"\0" + deep[y * stride : (y + 1) * stride] for y in range(picture.height))
    colour_type = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[mode]
    return png_of(picture.width, picture.height, rows=zlib.compress(rows), depth=16, colour_type=colour_type)


def png_of(
    width: int,
    height: int,
    *,
    rows: bytes,
    depth: int = 8,
    colour_type: int = 2,
    interlace: int = 0,
    extra: bytes = b"",
) -> bytes:
    """A PNG of whatever header over whatever compressed rows, with right checksums."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def interlaced_png(width: int, height: int) -> bytes:
    """A black interlaced RGB PNG: its rows come in the seven passes of Adam7."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = zlib.compressobj(1)
    packed = b""
    for left, top, across, down in passes:
        columns, lines = (width - left + across - 1) // across, (height - top + down - 1) // down
        packed += rows.compress(bytes((1 + 3 * columns) * lines if columns > 0 else 0))
    return png_of(width, height, rows=packed + rows.flush(), interlace=1)


def with_chunks(data: bytes, chunks: bytes, *, before: bytes = b"IDAT") -> bytes:
    """`data`, a PNG, with `chunks` put before its first chunk of the kind `before`."""
    at = data.index(before) - 4
    return data[:at] + chunks + data[at:]


def with_png_secrets(data: bytes) -> bytes:
    info = PngInfo()
    info.add_text("Comment", SECRET.decode())
    info.add_itxt("XML:com.adobe.xmp", xmp().decode())
    extra = b"".join(chunk(item[0], item[1]) for item in info.chunks)
    extra += chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(SECRET)) + chunk(
        b"tIME", b"\x07\xe8\1\1\1\1\1"
    )
    extra += chunk(b"caBX", b"jumb c2pa" + SECRET)
    return with_chunks(with_chunks(data, extra), chunk(b"tEXt", b"Late\0" + SECRET), before=b"IEND") + SECRET


def apng(width: int = 64, height: int = 48, *, frames: int = 3, still_first: bool = False) -> bytes:
    """An animated PNG. With `still_first` the default picture is no frame of the animation."""
    pictures = [scene(width, height, seed=n) for n in range(frames + still_first)]
    options = {"append_images": pictures[1:], "duration": 40, "default_image": still_first}
    return _save(pictures[0], "PNG", save_all=True, **options)


def webp(
    width: int = 64,
    height: int = 48,
    *,
    mode: str = "RGB",
    seed: int = 0,
    orientation: int = 1,
    lossless: bool = False,
    frames: int = 1,
    icc: bytes | None = None,
    secrets: bool = False,
) -> bytes:
    """A WebP, simple where nothing asks for the extended form."""
    pictures = [
        _in_mode(stored(scene(width, height, seed=seed + n), orientation=orientation), mode=mode) for n in range(frames)
    ]
    block = exif(orientation=orientation, secrets=secrets) if secrets or orientation != 1 else None
    options = {"append_images": pictures[1:], "save_all": True, "duration": 40} if frames > 1 else {}
    packet = xmp() if secrets else None
    data = _save(pictures[0], "WEBP", lossless=lossless, exif=block, icc_profile=icc, xmp=packet, **options)
    return with_webp_secrets(data) if secrets else data


def with_webp_secrets(data: bytes) -> bytes:
    body = data[12:] + riff_chunk(b"NOTE", SECRET)
    return riff_of(body) + SECRET


def riff_of(body: bytes) -> bytes:
    """A WebP file of the chunks in `body`."""
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif(
    width: int = 64,
    height: int = 48,
    *,
    seed: int = 0,
    frames: int = 1,
    transparent: bool = False,
    secrets: bool = False,
) -> bytes:
    """A GIF. With `transparent` the first colour of the palette is."""
    pictures = [scene(width, height, seed=seed + n).quantize(64) for n in range(frames)]
    options: dict[str, object] = {"append_images": pictures[1:], "save_all": True, "duration": 40, "loop": 0}
    if frames == 1:
        options = {}
    data = _save(pictures[0], "GIF", transparency=0 if transparent else None, **options)
    return with_gif_secrets(data) if secrets else data


def with_gif_secrets(data: bytes) -> bytes:
    after_palette = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    comment = b"!\xfe" + bytes((len(SECRET),)) + SECRET + b"\0"
    packet = b"!\xff\x0bXMP DataXMP" + xmp() + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    head = data[:after_palette].replace(b"GIF87a", b"GIF89a")
    return head + comment + packet + data[after_palette:] + SECRET


def avif(
    width: int = 64,
    height: int = 48,
    *,
    mode: str = "RGB",
    seed: int = 0,
    orientation: int = 1,
    frames: int = 1,
    icc: bytes | None = None,
    secrets: bool = False,
) -> bytes:
    """An AVIF. Its orientation stands in `irot` and `imir` boxes, as Pillow writes it."""
    pictures = [
        _in_mode(stored(scene(width, height, seed=seed + n), orientation=orientation), mode=mode) for n in range(frames)
    ]
    block = exif(orientation=orientation, secrets=secrets) if secrets or orientation != 1 else None
    options = {"append_images": pictures[1:], "save_all": True, "duration": 40} if frames > 1 else {}
    packet = xmp() if secrets else None
    data = _save(pictures[0], "AVIF", speed=10, max_threads=1, exif=block, icc_profile=icc, xmp=packet, **options)
    return _undated(data) if frames > 1 else data


def _undated(data: bytes) -> bytes:
    """`data` without the times at which a sequence was written."""
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.find(kind)
        while at >= 0:
            data = data[: at + 8] + bytes(16) + data[at + 24 :]
            at = data.find(kind, at + 4)
    return data

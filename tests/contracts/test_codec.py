"""What every codec does, inline or behind walls: facts about pictures, thumbnails, stripped files, refusals."""

import asyncio
import io
import os
import tempfile
import warnings
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from PIL import Image, ImageCms

from chitram.adapters.codec.inline import InProcessCodec
from chitram.adapters.codec.sandbox import SandboxedCodec
from chitram.domain.errors import InvalidFileFormat, InvalidReason
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, Budget, Ingested, Inspected, Span
from chitram.ports.codec import Codec
from tests.factories import hostile, pictures

BUDGET = Budget(frozenset(FORMATS), max_pixels=100_000_000, max_frames=1000, max_total_pixels=400_000_000)

FORMAT_MAKERS = {
    "image/jpeg": pictures.jpeg,
    "image/png": pictures.png,
    "image/webp": pictures.webp,
    "image/gif": pictures.gif,
    "image/avif": pictures.avif,
}
TURNABLE = [pictures.jpeg, pictures.png, pictures.webp, pictures.avif]
CORNERS = {"red": (0.05, 0.05), "green": (0.95, 0.05), "blue": (0.95, 0.95), "yellow": (0.05, 0.95)}


async def start(kind: str, *, strip_metadata: bool = True) -> Codec:
    if kind == "inline":
        return InProcessCodec(strip_metadata=strip_metadata)
    return await SandboxedCodec.start(
        workers=1,
        memory_bytes=1 << 30,
        cpu_seconds=20,
        wall_seconds=60,
        recycle_after=1000,
        strip_metadata=strip_metadata,
    )


@pytest.fixture(params=["inline", pytest.param("sandboxed", marks=pytest.mark.slow)], scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def codec(kind: str) -> AsyncIterator[Codec]:
    codec = await start(kind)
    yield codec
    await codec.aclose()


@contextmanager
def open_file(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


async def ingest(codec: Codec, data: bytes, *, budget: Budget = BUDGET) -> Ingested:
    with open_file(data) as fd:
        return await codec.ingest(fd, budget=budget)


async def inspect(codec: Codec, data: bytes, *, budget: Budget = BUDGET) -> Inspected:
    with open_file(data) as fd:
        return await codec.inspect(fd, budget=budget)


def stored_bytes(data: bytes, inspected: Inspected) -> bytes:
    if inspected.pieces is None:
        return data
    return b"".join(data[p.offset : p.offset + p.length] if isinstance(p, Span) else p for p in inspected.pieces)


def opened(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow reports the damaged metadata that these tests are about.
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        image.load()
    return image


def in_srgb(image: Image.Image, profile: bytes) -> bytes:
    """The pixels of `image` as littleCMS converts them from `profile`."""
    to = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, io.BytesIO(profile), to, outputMode="RGB").tobytes()


def corner_names(image: Image.Image) -> list[str]:
    """The nearest of the four corner colours at each corner, clockwise from the top left."""
    known = {"red": (220, 40, 30), "green": (40, 190, 60), "blue": (50, 70, 220), "yellow": (240, 220, 60)}
    picture = image.convert("RGB")
    names = []
    for x, y in CORNERS.values():
        pixel = picture.getpixel((int(x * picture.width), int(y * picture.height)))
        assert isinstance(pixel, tuple)
        names.append(min(known, key=lambda n: sum((a - b) ** 2 for a, b in zip(known[n], pixel, strict=True))))
    return names


@pytest.mark.parametrize("content_type", list(FORMATS))
async def test_facts_of_each_format(codec: Codec, content_type: str) -> None:
    found = await ingest(codec, FORMAT_MAKERS[content_type](320, 200))
    assert found.inspected == Inspected(content_type, 320, 200, 1, None)
    assert set(found.rendered.thumbnails) == set(THUMBNAIL_SIZES)
    assert found.rendered.thumbnail_type == "image/jpeg"
    assert [opened(found.rendered.thumbnails[size]).size for size in THUMBNAIL_SIZES] == [
        (320, 200),
        (300, 188),
        (150, 94),
    ]
    assert opened(found.rendered.thumbnails[150]).format == "JPEG"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("make", TURNABLE)
async def test_every_orientation_is_shown_upright(codec: Codec, make, orientation: int) -> None:
    data = make(160, 100, orientation=orientation)
    found = await ingest(codec, data)
    assert (found.inspected.width, found.inspected.height) == (160, 100)
    for thumbnail in found.rendered.thumbnails.values():
        image = opened(thumbnail)
        assert image.width > image.height
        assert corner_names(image) == list(CORNERS)
        assert "exif" not in image.info


@pytest.mark.parametrize("make", [pictures.jpeg, pictures.png, pictures.webp, pictures.avif, pictures.gif])
@pytest.mark.parametrize("orientation", [1, 6])
async def test_metadata_is_stripped_and_pixels_are_not_touched(codec: Codec, make, orientation: int) -> None:
    turn = {} if make is pictures.gif else {"orientation": orientation}
    data = make(96, 64, secrets=True, **turn)
    assert pictures.SECRET in data
    inspected = await inspect(codec, data)
    stored = stored_bytes(data, inspected)
    assert pictures.SECRET not in stored
    assert b"GPS" not in stored
    assert b"xmpmeta" not in stored
    assert opened(stored).tobytes() == opened(data).tobytes()
    again = await inspect(codec, stored)
    assert again == Inspected(inspected.content_type, inspected.width, inspected.height, 1, None)
    assert opened(stored).getexif().get(0x0112, 1) == (1 if make is pictures.gif else orientation)


@pytest.mark.parametrize("make", [pictures.jpeg, pictures.png, pictures.webp, pictures.avif])
async def test_the_colour_profile_is_kept_and_applied(codec: Codec, make) -> None:
    profile = pictures.swapped_profile()
    data = make(160, 100, icc=profile, secrets=True)
    found = await ingest(codec, data)
    kept = opened(stored_bytes(data, found.inspected))
    assert kept.info["icc_profile"] != profile
    assert in_srgb(kept, kept.info["icc_profile"]) == in_srgb(kept, profile)
    # Red and green primaries are exchanged, so a decoder that looks at the profile sees green where red was.
    thumbnail = opened(found.rendered.thumbnails[150])
    assert corner_names(thumbnail)[:2] == ["green", "red"]
    assert "icc_profile" not in thumbnail.info


async def test_stripping_can_be_off(kind: str) -> None:
    codec = await start(kind, strip_metadata=False)
    try:
        inspected = await inspect(codec, pictures.jpeg(secrets=True, orientation=8))
        assert inspected == Inspected("image/jpeg", 64, 48, 1, None)
        with pytest.raises(InvalidFileFormat):
            await inspect(codec, pictures.jpeg(secrets=True)[:-600])
    finally:
        await codec.aclose()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "L16", "RGB16"])
async def test_opaque_png_modes(codec: Codec, mode: str) -> None:
    found = await ingest(codec, pictures.png(200, 120, mode=mode))
    thumbnail = opened(found.rendered.thumbnails[300])
    assert found.rendered.thumbnail_type == "image/jpeg"
    assert thumbnail.mode == "RGB"
    reference = pictures.scene(200, 120).convert("L").resize((8, 5), Image.Resampling.BOX).tobytes()
    got = thumbnail.convert("L").resize((8, 5), Image.Resampling.BOX).tobytes()
    assert max(abs(a - b) for a, b in zip(reference, got, strict=True)) < 24


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "LA16", "RGBA16"])
async def test_pictures_with_alpha_get_webp_thumbnails(codec: Codec, mode: str) -> None:
    found = await ingest(codec, pictures.png(200, 120, mode=mode))
    assert found.rendered.thumbnail_type == "image/webp"
    thumbnail = opened(found.rendered.thumbnails[150])
    assert (thumbnail.format, thumbnail.mode, thumbnail.size) == ("WEBP", "RGBA", (150, 90))
    low, high = thumbnail.getchannel("A").getextrema()
    assert low < 64 < 192 < high


async def test_transparent_gif_gets_webp(codec: Codec) -> None:
    assert (await ingest(codec, pictures.gif(transparent=True))).rendered.thumbnail_type == "image/webp"


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
async def test_jpeg_colour_spaces_are_not_inverted(codec: Codec, mode: str, progressive: bool) -> None:
    found = await ingest(codec, pictures.jpeg(200, 120, mode=mode, progressive=progressive))
    thumbnail = opened(found.rendered.thumbnails[300]).convert("L").resize((8, 5), Image.Resampling.BOX)
    reference = pictures.scene(200, 120).convert("L").resize((8, 5), Image.Resampling.BOX)
    pairs = zip(reference.tobytes(), thumbnail.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) < 24


@pytest.mark.parametrize(
    ("make", "frames"),
    [
        (lambda: pictures.gif(frames=4), 4),
        (lambda: pictures.webp(frames=4), 4),
        (lambda: pictures.avif(frames=4), 4),
        (lambda: pictures.apng(frames=4), 4),
        (lambda: pictures.apng(frames=4, still_first=True), 5),
    ],
)
async def test_animations_are_counted_and_give_a_still(codec: Codec, make, frames: int) -> None:
    data = make()
    found = await ingest(codec, data)
    assert found.inspected.frames == frames
    assert getattr(opened(found.rendered.thumbnails[150]), "n_frames", 1) == 1
    first = pictures.scene(64, 48).convert("L").resize((8, 6), Image.Resampling.BOX).tobytes()
    still = opened(found.rendered.thumbnails[150]).convert("L").resize((8, 6), Image.Resampling.BOX).tobytes()
    assert max(abs(a - b) for a, b in zip(first, still, strict=True)) < 40
    few = Budget(BUDGET.content_types, BUDGET.max_pixels, frames - 1, BUDGET.max_total_pixels)
    with pytest.raises(InvalidFileFormat) as refusal:
        await inspect(codec, data, budget=few)
    assert refusal.value.reason is InvalidReason.TOO_MANY_FRAMES
    small = Budget(BUDGET.content_types, BUDGET.max_pixels, 100, frames * 64 * 48 - 1)
    with pytest.raises(InvalidFileFormat) as refusal:
        await inspect(codec, data, budget=small)
    assert refusal.value.reason is InvalidReason.TOO_MANY_FRAMES


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (16000, 2), (601, 599), (150, 150)])
@pytest.mark.parametrize("make", [pictures.png, pictures.jpeg, pictures.webp, pictures.gif, pictures.avif])
async def test_thumbnail_sizes(codec: Codec, make, size: tuple[int, int]) -> None:
    found = await ingest(codec, make(*size))
    for longest, data in found.rendered.thumbnails.items():
        width, height = opened(data).size
        scale = min(1, longest / max(size))
        assert (width, height) == (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


async def test_budget_and_accepted_formats(codec: Codec) -> None:
    data = pictures.jpeg(64, 48)
    exact = Budget(BUDGET.content_types, 64 * 48, 1, 64 * 48)
    assert (await inspect(codec, data, budget=exact)).width == 64
    with pytest.raises(InvalidFileFormat) as refusal:
        await inspect(codec, data, budget=Budget(BUDGET.content_types, 64 * 48 - 1, 1, 64 * 48))
    assert refusal.value.reason is InvalidReason.TOO_MANY_PIXELS
    few = Budget(frozenset({"image/jpeg", "image/png"}), 10**6, 1, 10**6)
    with pytest.raises(InvalidFileFormat) as refusal:
        await inspect(codec, pictures.gif(), budget=few)
    assert refusal.value.reason is InvalidReason.UNSUPPORTED_TYPE
    assert "JPEG and PNG" in refusal.value.message


@pytest.mark.parametrize("name", list(hostile.REFUSED))
async def test_hostile_files_are_refused_for_the_right_reason(codec: Codec, name: str) -> None:
    make, reason = hostile.REFUSED[name]
    with pytest.raises(InvalidFileFormat) as refusal:
        await ingest(codec, make())
    assert refusal.value.reason.value == reason
    assert refusal.value.message


@pytest.mark.parametrize("name", list(hostile.ACCEPTED))
async def test_pictures_that_are_something_else_too_are_stored_as_pictures_alone(codec: Codec, name: str) -> None:
    data = hostile.ACCEPTED[name]()
    found = await ingest(codec, data)
    stored = stored_bytes(data, found.inspected)
    for trace in (b"<script", b"PK\x03\x04", b"MPF\0", pictures.SECRET, b"bomb"):
        assert trace not in stored
    assert (await inspect(codec, stored)).pieces is None


@pytest.mark.parametrize("content_type", list(FORMATS))
async def test_files_that_end_early_are_refused(codec: Codec, content_type: str) -> None:
    data = FORMAT_MAKERS[content_type](96, 64)
    for cut in hostile.truncations(data, step=max(1, len(data) // 50)):
        with pytest.raises(InvalidFileFormat) as refusal:
            await ingest(codec, cut)
        assert refusal.value.reason in {InvalidReason.TRUNCATED, InvalidReason.UNSUPPORTED_TYPE, InvalidReason.CORRUPT}


@pytest.mark.parametrize(
    "make",
    [
        lambda: pictures.png_of(16, 16, rows=b"this is no zlib stream"),
        lambda: pictures.webp(96, 64)[:60].ljust(len(pictures.webp(96, 64)), b"\xff"),
        lambda: (pictures.avif(96, 64).partition(b"mdat")[0] + b"mdat").ljust(len(pictures.avif(96, 64)), b"\xff"),
    ],
)
async def test_damaged_picture_data_are_refused(codec: Codec, make) -> None:
    await inspect(codec, make())
    with pytest.raises(InvalidFileFormat) as refusal:
        await ingest(codec, make())
    assert refusal.value.reason is InvalidReason.CORRUPT


async def test_a_picture_that_ends_early_inside_its_frame_is_refused(codec: Codec) -> None:
    with pytest.raises(InvalidFileFormat) as refusal:
        await ingest(codec, pictures.png_of(64, 64, rows=zlib.compress(bytes(193 * 20))))
    assert refusal.value.reason in {InvalidReason.TRUNCATED, InvalidReason.CORRUPT}


@pytest.mark.parametrize("share", [0.2, 0.9])
async def test_a_picture_that_was_cut_and_closed_again_is_refused(codec: Codec, share: float) -> None:
    """libjpeg would show it with a grey half."""
    with pytest.raises(InvalidFileFormat) as refusal:
        await ingest(codec, hostile.jpeg_cut(pictures.jpeg(640, 480, grain=0.1), share=share))
    assert refusal.value.reason is InvalidReason.TRUNCATED


async def test_the_descriptor_stays_open_and_where_it_was(codec: Codec) -> None:
    with open_file(pictures.png(secrets=True)) as fd:
        os.lseek(fd, 7, os.SEEK_SET)
        first = await codec.ingest(fd, budget=BUDGET)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 7
        assert await codec.ingest(fd, budget=BUDGET) == first


async def test_requests_at_the_same_time_are_not_mixed_up(codec: Codec) -> None:
    files = [pictures.png(40 + n, 30, seed=n) for n in range(12)]
    found = await asyncio.gather(*(ingest(codec, data) for data in files))
    assert [f.inspected.width for f in found] == [40 + n for n in range(12)]


async def test_hash_and_placeholder_survive_copies(codec: Codec) -> None:
    original = (await ingest(codec, pictures.jpeg(900, 600, seed=3))).rendered
    for copy in (
        pictures.jpeg(900, 600, seed=3, quality=40),
        pictures.png(450, 300, seed=3),
        pictures.webp(300, 200, seed=3),
        original.thumbnails[300],
    ):
        rendered = (await ingest(codec, copy)).rendered
        assert (rendered.perceptual_hash ^ original.perceptual_hash).bit_count() <= 8
    other = (await ingest(codec, pictures.jpeg(900, 600, seed=4))).rendered
    assert (other.perceptual_hash ^ original.perceptual_hash).bit_count() > 16
    assert other.placeholder != original.placeholder

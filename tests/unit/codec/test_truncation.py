"""JPEG files that were cut off and closed again: libjpeg makes grey of what is missing, and nobody may see that."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

from chitram.adapters.codec import pipeline
from chitram.adapters.codec.decoding import _Unended
from chitram.domain.errors import InvalidFileFormat, InvalidReason
from chitram.domain.media import FORMATS, Budget
from tests.factories import hostile, pictures

BUDGET = Budget(frozenset(FORMATS), max_pixels=100_000_000, max_frames=100, max_total_pixels=100_000_000)


def verdict(data: bytes, *, memory_bytes: int | None = None) -> str:
    """`"taken"`, or the reason why the whole pass refuses `data`."""
    try:
        pipeline.ingest(data, budget=BUDGET, strip_metadata=True, memory_bytes=memory_bytes)
    except InvalidFileFormat as refusal:
        return refusal.reason.value
    return "taken"


def encoded(mode: str, size: tuple[int, int], **options: object) -> bytes:
    out = io.BytesIO()
    pictures.photograph(*size).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


KINDS = {
    "baseline": {},
    "full colour": {"subsampling": 0},
    "half colour": {"subsampling": 1},
    "restarts by row": {"restart_marker_rows": 1},
    "restarts by block": {"restart_marker_blocks": 7},
    "own tables": {"optimize": True, "quality": 20},
    "nearly lossless": {"quality": 98},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.97])
def test_cut_and_closed(mode: str, kind: str, share: float) -> None:
    data = encoded(mode, (403, 301), **KINDS[kind])
    assert verdict(data) == "taken"
    assert verdict(hostile.jpeg_cut(data, share=share)) == "truncated"


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (600, 600), (1201, 3), (3, 1201), (1600, 1203)])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_files_of_every_size_are_taken(mode: str, kind: str, size: tuple[int, int]) -> None:
    assert verdict(encoded(mode, size, **KINDS[kind])) == "taken"


@pytest.mark.parametrize(
    "flat", [Image.new("RGB", (640, 480), (128, 128, 128)), Image.new("RGB", (640, 480)), Image.new("L", (999, 7), 128)]
)
def test_flat_pictures_are_whole_with_hardly_a_byte(flat: Image.Image) -> None:
    """Grey to the last row, and few bytes: neither says that something is missing."""
    for options in KINDS.values():
        out = io.BytesIO()
        flat.save(out, "JPEG", **options)
        assert verdict(out.getvalue()) == "taken"
        assert verdict(hostile.jpeg_cut(out.getvalue(), share=0.2)) == "truncated"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-2] + b"\xff" * 9 + data[-2:],
        lambda data: data[:-2] + b"\0" * 900 + data[-2:],
        lambda data: data + b"appended",
        lambda data: data[:-2] + pictures.segment(0xFE, b"late") + data[-2:],
    ],
)
def test_more_than_the_whole_is_whole(change: Callable[[bytes], bytes]) -> None:
    assert verdict(change(encoded("RGB", (403, 301)))) == "taken"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_progressive_files_cut_and_closed_lack_scans(mode: str, share: float) -> None:
    """Wherever the cut is before the last scan, which brings no more than the finest grain."""
    data = encoded(mode, (403, 301), progressive=True)
    assert verdict(data) == "taken"
    first, last = data.index(b"\xff\xda") + 14, data.rindex(b"\xff\xda")
    cut = data[: first + int((last - first) * share)].rstrip(b"\xff") + b"\xff\xd9"
    assert verdict(cut) == "truncated"


def test_the_file_that_the_decoder_sees_ends_with_the_picture() -> None:
    file = _Unended(b"abcdEND", end=4)
    assert file.read(3) == b"abc"
    assert file.tell() == 3
    assert file.read(3) == b"d\xff\0"
    assert file.read(100) == b"\xff\0" * 7
    assert file.read(1) == b""
    assert file.seek(1) == 1
    assert file.read(2) == b"bc"


def test_scans_times_pixels_are_limited() -> None:
    """20 scans of 99 megapixels are taken, one more is not; ordinary files have 10."""
    assert pipeline.inspect(hostile.jpeg_scanned(11_000, 9_000, scans=11), budget=BUDGET, strip_metadata=True)
    with pytest.raises(InvalidFileFormat) as refusal:
        pipeline.inspect(hostile.jpeg_scanned(11_000, 9_000, scans=12), budget=BUDGET, strip_metadata=True)
    assert refusal.value.reason is InvalidReason.TOO_MANY_PIXELS
    assert "scans" in refusal.value.message


@pytest.mark.parametrize(
    ("make", "needed"),
    [
        (lambda: pictures.interlaced_png(1000, 1000), 3_000_000),
        (lambda: encoded("RGB", (1000, 1000), progressive=True, subsampling=0), 6_000_000),
        (lambda: encoded("RGB", (1000, 1000), progressive=True, subsampling=2), 3_000_000),
    ],
)
def test_what_must_be_held_at_once_is_charged(make: Callable[[], bytes], needed: int) -> None:
    """Half of a small allowance is for everything else."""
    data = make()
    assert verdict(data, memory_bytes=2 * needed) == "taken"
    assert verdict(data, memory_bytes=2 * needed - 2) == "too_many_pixels"


def test_what_comes_row_by_row_is_not_charged() -> None:
    for data in (pictures.jpeg(1000, 1000), pictures.png(1000, 1000), pictures.webp(64, 48)):
        assert verdict(data, memory_bytes=1) == "taken"

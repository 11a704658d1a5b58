"""Whatever the bytes: a structure or InvalidFileFormat, in bounded time, and stripping twice changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chitram.adapters.codec import pipeline
from chitram.adapters.codec.formats.sniffing import read_structure
from chitram.adapters.codec.formats.structure import Structure
from chitram.domain.errors import InvalidFileFormat
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, Budget, Span
from tests.factories import hostile, pictures

BUDGET = Budget(frozenset(FORMATS), max_pixels=100_000_000, max_frames=1000, max_total_pixels=400_000_000)
SAMPLES = {
    "jpeg": pictures.jpeg(24, 16, orientation=6, secrets=True, icc=pictures.srgb_profile()),
    "jpeg progressive": pictures.jpeg(24, 16, progressive=True),
    "png": pictures.png(24, 16, mode="PA", orientation=3, secrets=True),
    "png icc": pictures.png(24, 16, icc=pictures.srgb_profile()),
    "apng": pictures.apng(16, 16, frames=2),
    "webp": pictures.webp(24, 16),
    "webp extended": pictures.webp(24, 16, mode="RGBA", orientation=8, secrets=True),
    "webp animated": pictures.webp(16, 16, frames=3, secrets=True),
    "gif": pictures.gif(24, 16, frames=2, secrets=True),
    "avif": pictures.avif(24, 16, mode="RGBA", orientation=5, secrets=True),
    "avif animated": pictures.avif(16, 16, frames=2),
}


def assemble(data: bytes, structure: Structure) -> bytes:
    if structure.pieces is None:
        return data
    return b"".join(data[p.offset : p.offset + p.length] if isinstance(p, Span) else p for p in structure.pieces)


def check(data: bytes) -> bool:
    """Whether `data` is taken for a picture; fails on anything else than a clean answer."""
    try:
        structure = read_structure(data, budget=BUDGET)
    except InvalidFileFormat:
        return False
    assert structure.width * structure.height <= BUDGET.max_pixels
    assert 1 <= structure.frames <= BUDGET.max_frames
    assert 1 <= structure.orientation <= 8
    stored = assemble(data, structure)
    again = read_structure(stored, budget=BUDGET)
    assert again.pieces is None
    assert (again.upright, again.frames, again.profile) == (structure.upright, structure.frames, structure.profile)
    return True


@pytest.mark.parametrize("name", list(SAMPLES))
def test_samples_are_pictures(name: str) -> None:
    assert check(SAMPLES[name])


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_truncation(name: str) -> None:
    whole = SAMPLES[name]
    length = len(assemble(whole, read_structure(whole, budget=BUDGET)))
    trailing = len(whole) - whole.rindex(pictures.SECRET) if whole.endswith(pictures.SECRET) else 0
    for cut in hostile.truncations(whole, step=1 + len(whole) // 700):
        if check(cut):
            # Only what was appended behind the picture may be missing.
            assert len(cut) >= min(length, len(whole) - trailing - 64)


@pytest.mark.parametrize("name", list(SAMPLES))
def test_bit_flips(name: str) -> None:
    results = [check(data) for data in hostile.bit_flips(SAMPLES[name], count=400)]
    assert not all(results)


@pytest.mark.parametrize("name", list(SAMPLES))
def test_bit_flips_through_the_decoders(name: str) -> None:
    for data in hostile.bit_flips(SAMPLES[name], count=40, seed=1):
        try:
            found = pipeline.ingest(data, budget=BUDGET, strip_metadata=True)
        except InvalidFileFormat:
            continue
        assert set(found.rendered.thumbnails) == set(THUMBNAIL_SIZES)


@pytest.mark.parametrize("name", list(SAMPLES))
def test_swapped_and_repeated_parts(name: str) -> None:
    data = SAMPLES[name]
    for at in range(0, len(data), max(1, len(data) // 60)):
        check(data[:at] + data[at // 2 :])
        check(data[:at] + b"\xff" * 16 + data[at + 16 :])
        check(data[:at] + bytes(16) + data[at + 16 :])


@given(st.binary(max_size=400), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b""]))
@settings(max_examples=300, deadline=None)
def test_random_bytes(data: bytes, magic: bytes) -> None:
    check(magic + data)


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(max_examples=300, deadline=None)
def test_random_edits(name: str, draw: st.DataObject) -> None:
    data = bytearray(SAMPLES[name])
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at : at + draw.draw(st.integers(0, 8))] = draw.draw(st.binary(max_size=8))
    check(bytes(data))


@pytest.mark.parametrize("name", list(hostile.HOSTILE))
def test_hostile_files(name: str) -> None:
    assert check(hostile.HOSTILE[name]()) is (name in hostile.ACCEPTED)

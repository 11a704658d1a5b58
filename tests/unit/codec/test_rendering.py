"""Colours, fingerprints and refusals of the decode."""

import io
import os
import socket
import tempfile

import pytest
from PIL import Image

from chitram.adapters.codec import decoding, jobs, pipeline
from chitram.adapters.codec.colour import to_srgb
from chitram.adapters.codec.formats.structure import Structure
from chitram.adapters.codec.perceptual import flattened, perceptual_hash, placeholder
from chitram.adapters.codec.wire import (
    budget_from_json,
    budget_to_json,
    frame,
    frame_reply,
    header_length,
    parse_header,
    parse_ingested,
    parse_inspected,
    receive_request,
)
from chitram.domain.errors import InvalidFileFormat, InvalidReason
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, Budget
from tests.factories import pictures

BUDGET = Budget(frozenset(FORMATS), max_pixels=1_000_000, max_frames=100, max_total_pixels=4_000_000)


@pytest.mark.parametrize("profile", [b"no profile at all", pictures.srgb_profile()[:200], b""])
def test_damaged_profiles_are_as_good_as_none(profile: bytes) -> None:
    image = pictures.scene(20, 10)
    assert to_srgb(image, profile=profile).tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_profiles_for_other_channels_are_as_good_as_none(mode: str) -> None:
    image = pictures.scene(20, 10).convert(mode)
    assert to_srgb(image, profile=pictures.swapped_profile()).tobytes() == image.convert("RGB").tobytes()


def test_alpha_that_hides_nothing_is_dropped() -> None:
    assert to_srgb(Image.new("RGBA", (4, 4), (1, 2, 3, 255)), profile=None).mode == "RGB"
    assert to_srgb(Image.new("LA", (4, 4), (9, 254)), profile=None).mode == "RGBA"


def test_scaled_and_recompressed_copies_have_nearly_the_same_hash() -> None:
    for seed in range(12):
        original = pictures.scene(800, 600, seed=seed)
        expected = perceptual_hash(original)
        for side in (150, 97, 300):
            copy = original.resize((side, side * 3 // 4), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            copy.save(out, "JPEG", quality=35)
            assert (perceptual_hash(Image.open(out)) ^ expected).bit_count() <= 8
        brighter = original.point(lambda value: min(255, value + 12))
        assert (perceptual_hash(brighter) ^ expected).bit_count() <= 8


def test_hashes_of_different_pictures_are_far_apart() -> None:
    hashes = [perceptual_hash(pictures.scene(150, 100, seed=seed)) for seed in range(30)]
    distances = [(a ^ b).bit_count() for n, a in enumerate(hashes) for b in hashes[:n]]
    assert min(distances) > 8
    assert sorted(distances)[len(distances) // 2] > 24
    assert all(0 <= value < 2**64 for value in hashes)


def test_nothing_to_see_hashes_to_nothing() -> None:
    assert perceptual_hash(Image.new("RGB", (150, 100), "teal")) == 0
    assert perceptual_hash(Image.new("RGBA", (1, 1), (0, 0, 0, 0))) == 0


def test_the_hash_is_that_of_the_cosine_transform() -> None:
    """A single cosine across lights its own bit and, of the coefficients that are zero, none."""
    wave = Image.new("L", (32, 32))
    wave.putdata([240 if x < 16 else 10 for _ in range(32) for x in range(32)])
    value = perceptual_hash(wave.convert("RGB"))
    # Across is the second frequency after the mean, and the left half is the brighter one.
    assert value & 0b11 == 0b10
    assert value.bit_count() <= 4


def test_transparent_pictures_are_seen_on_white() -> None:
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert flattened(clear).getpixel((0, 0)) == (255, 255, 255)
    assert len(placeholder(clear)) <= 48
    assert placeholder(pictures.scene(60, 40)) == placeholder(pictures.scene(60, 40))


def test_header_and_picture_data_must_agree() -> None:
    data = pictures.jpeg(20, 10)
    lie = Structure("image/jpeg", 21, 10, 1, 1, None, None)
    with pytest.raises(InvalidFileFormat) as refusal:
        decoding.decode_scaled(data, structure=lie, size=(20, 10))
    assert refusal.value.reason is InvalidReason.CORRUPT


def test_what_cannot_be_opened_is_corrupt() -> None:
    with pytest.raises(InvalidFileFormat) as refusal:
        decoding.decode_scaled(b"nothing", structure=Structure("image/gif", 1, 1, 1, 1, None, None), size=(1, 1))
    assert refusal.value.reason is InvalidReason.CORRUPT


def test_a_gif_that_ends_inside_its_frame_is_truncated() -> None:
    """The pass of the structure would have refused it: this is what the decoder alone says."""
    data = pictures.gif(200, 200)
    with pytest.raises(InvalidFileFormat) as refusal:
        decoding.decode_scaled(data[:-800], structure=Structure("image/gif", 200, 200, 1, 1, None, None), size=(9, 9))
    assert refusal.value.reason is InvalidReason.TRUNCATED


@pytest.mark.parametrize(
    ("size", "longest", "expected"), [((4000, 3000), 600, (600, 450)), ((10, 5000), 150, (1, 150))]
)
def test_fit(size: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    assert pipeline.fit(size, longest=longest) == expected


def test_jobs_answer_what_the_pipeline_says() -> None:
    jobs.preload()
    data = pictures.jpeg(40, 30, orientation=6, secrets=True)
    arguments = {"budget": budget_to_json(BUDGET), "strip_metadata": True}
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        seen = jobs.JOBS["inspect"](file.fileno(), arguments)
        taken = jobs.JOBS["ingest"](file.fileno(), arguments)
    expected = pipeline.ingest(data, budget=BUDGET, strip_metadata=True)
    assert parse_inspected(seen, budget=BUDGET, file_size=len(data)) == expected.inspected
    assert parse_ingested(taken, budget=BUDGET, file_size=len(data)) == expected
    assert set(expected.rendered.thumbnails) == set(THUMBNAIL_SIZES)
    assert budget_from_json(arguments["budget"]) == BUDGET


def test_requests_arrive_whole_with_their_file() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as file:
        message = frame({"job": "ingest", "arguments": {"n": 1}})
        socket.send_fds(ours, [message[:7]], [file.fileno()])
        ours.sendall(message[7:])
        request = receive_request(theirs)
        assert request is not None
        job, arguments, fd = request
        assert (job, arguments) == ("ingest", {"n": 1})
        assert os.fstat(fd).st_ino == os.fstat(file.fileno()).st_ino
        os.close(fd)
        socket.send_fds(ours, [message[:7]], [file.fileno()])
        ours.shutdown(socket.SHUT_WR)
        assert receive_request(theirs) is None
        assert receive_request(theirs) is None


def test_replies_tell_the_lengths_of_their_blobs() -> None:
    reply = frame_reply({"result": {}}, blobs=[b"abc", b""])
    length = header_length(reply[:4])
    header = parse_header(reply[4 : 4 + length], at_most=3)
    assert header.lengths == (3, 0)
    assert reply[4 + length :] == b"abc"

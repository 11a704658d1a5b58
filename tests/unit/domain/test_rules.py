"""The small rules of the domain: ids, keys, backoff, declarations, whole thumbnails, errors."""

from datetime import timedelta

import pytest

from chitram.domain.blobs import blob_key, is_blob_key, thumbnail_key, thumbnail_keys, thumbnail_prefix
from chitram.domain.errors import (
    ChitramError,
    InvalidFileFormat,
    InvalidReason,
    StorageFull,
)
from chitram.domain.images import is_image_id
from chitram.domain.jobs import BACKOFF_BASE, BACKOFF_LIMIT, MAX_ATTEMPTS, backoff, render_key
from chitram.domain.media import (
    FORMATS,
    PIPELINE_VERSION,
    THUMBNAIL_SIZES,
    describe_formats,
    is_acceptable_declaration,
    is_whole,
)
from tests.factories import pictures
from tests.factories.rows import new_blob
from tests.unit.support.records import make_record

SHA = "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0aZ45678901", True), ("0aZ4567890", False), ("0aZ456789012", False), ("0aZ4567890-", False), ("", False),
     ("0aZ4567890\n", False), ("٠١٢٣٤٥٦٧٨٩٠", False)],
)  # fmt: skip
def test_the_form_of_an_image_id(text, expected):
    assert is_image_id(text) is expected


def test_keys_name_the_bytes_and_what_is_made_of_them():
    key = blob_key(sha256=SHA, generation="0123456789ab")
    assert key == f"blobs/ab/{SHA}.0123456789ab"
    assert thumbnail_key(key, size=300) == f"thumbs/{key}/{PIPELINE_VERSION}/300"
    assert thumbnail_key(key, size=300, version=9) == f"thumbs/{key}/9/300"
    assert set(thumbnail_keys(key)) == set(THUMBNAIL_SIZES)
    assert all(name.startswith(thumbnail_prefix(key)) for name in thumbnail_keys(key).values())
    new, record = new_blob(), make_record()
    assert new.key == blob_key(sha256=new.sha256, generation=new.generation)
    assert record.blob.key.startswith("blobs/")
    assert record.version == record.blob.sha256[:8]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"blobs/ab/{SHA}.0123456789ab", True),
        (f"blobs/ab/{SHA}.0", True),
        (f"blobs/ba/{SHA}.0123456789ab", False),
        (f"blobs/ab/{SHA}", False),
        (f"blobs/ab/{SHA}.", False),
        (f"blobs/ab/{SHA.upper()}.0123456789ab", False),
        (f"thumbs/blobs/ab/{SHA}.0123456789ab", False),
        (f"blobs/ab/{SHA}.0123456789ab\n", False),
        (f"blobs/ab/../{SHA}.0", False),
        ("", False),
    ],
)
def test_what_is_an_originals_key(text, expected):
    assert is_blob_key(text) is expected


def test_thumbnails_are_ready_once_a_pipeline_made_them():
    assert make_record(pipeline_version=1).blob.thumbnail_ready
    assert not make_record(pipeline_version=0).blob.thumbnail_ready


def test_a_blob_has_one_decode_pass_at_a_time():
    assert render_key(7) == render_key(7) != render_key(8)


def test_waits_grow_to_a_limit_and_never_come_in_step():
    waits = [backoff(attempt, jitter=0.999999) for attempt in range(1, MAX_ATTEMPTS + 5)]
    assert waits == sorted(waits)
    assert waits[0] <= BACKOFF_BASE
    assert waits[-1] <= BACKOFF_LIMIT
    assert backoff(1000, jitter=0.0) == BACKOFF_LIMIT / 2
    assert backoff(1, jitter=0.0) == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(None, True), ("", True), ("image/png", True), (" Image/X-Odd; q=1", True), ("application/octet-stream", True),
     ("text/html", False), ("application/json", False), ("images/png", False)],
)  # fmt: skip
def test_declarations_that_leave_it_to_the_content(declared, expected):
    assert is_acceptable_declaration(declared) is expected


def test_formats_for_people():
    assert describe_formats(frozenset({"image/png"})) == "PNG"
    assert describe_formats(frozenset({"image/png", "image/jpeg"})) == "JPEG and PNG"
    assert describe_formats(frozenset(FORMATS)) == "JPEG, PNG, WebP, GIF and AVIF"


@pytest.mark.parametrize(
    ("data", "content_type"), [(pictures.jpeg(16, 16), "image/jpeg"), (pictures.webp(16, 16), "image/webp")]
)
def test_a_thumbnail_that_was_cut_short_is_not_whole(data, content_type):
    assert is_whole(data, content_type)
    assert not any(is_whole(data[:length], content_type) for length in range(len(data)))


def test_errors_have_a_public_message_and_details():
    error = StorageFull(retry_after=60)
    assert (error.message, error.details, error.retry_after, error.report) == (
        StorageFull.default_message, {}, 60, True,
    )  # fmt: skip
    assert str(ChitramError("for people", details={"a": 1})) == "for people"
    invalid = InvalidFileFormat(InvalidReason.CORRUPT)
    assert (invalid.details, invalid.reason) == ({"reason": "corrupt"}, InvalidReason.CORRUPT)

"""Colour profiles: what turns numbers into colours stays, to the last pixel, and nothing else does."""

import io
import random
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageCms

from chitram.adapters.codec.formats.icc import inflate_profile, neutral_profile, wrapped_in_zlib
from chitram.adapters.codec.formats.sniffing import read_structure
from chitram.adapters.codec.formats.structure import MAX_PROFILE
from chitram.domain.media import FORMATS, Budget
from tests.factories import pictures
from tests.factories.pictures import SECRET, chunk, riff_chunk, riff_of, segment
from tests.unit.codec.test_structure_fuzz import assemble

BUDGET = Budget(frozenset(FORMATS), max_pixels=1_000_000, max_frames=100, max_total_pixels=4_000_000)
CURVE = b"curv" + bytes(4) + struct.pack(">I3H", 3, 0, 0x4000, 0xFFFF)
PARAMETRIC = b"para" + bytes(4) + struct.pack(">HHI", 0, 0, 0x20000)
BYTES_TABLE = b"mft1" + bytes(4) + bytes((3, 3, 2, 0)) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
BYTES_TABLE += bytes(range(256)) * 3 + random.Random(1).randbytes(24) + bytes(range(256)) * 3


def grey_profile(curve: bytes) -> bytes:
    head = bytearray(pictures.srgb_profile()[:128])
    head[12:24] = b"mntrGRAYXYZ "
    white = b"XYZ " + bytes(4) + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return pictures.profile_of(bytes(head) + bytes(4), tags={b"wtpt": white, b"kTRC": curve})


PROFILES = {
    "srgb": pictures.srgb_profile,
    "swapped": pictures.swapped_profile,
    "curves": lambda: pictures.profile_of(
        pictures.srgb_profile(), tags=dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), CURVE)
    ),
    "table": lambda: pictures.profile_of(pictures.srgb_profile(), tags={b"A2B0": BYTES_TABLE}),
    "grey": lambda: grey_profile(CURVE),
    "grey parametric": lambda: grey_profile(PARAMETRIC),
    "cmyk": pictures.cmyk_profile,
}


def converted(image: Image.Image, profile: bytes, *, intent: int) -> bytes:
    to = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(
        image, io.BytesIO(profile), to, renderingIntent=ImageCms.Intent(intent), outputMode="RGB"
    ).tobytes()


@pytest.mark.parametrize("name", list(PROFILES))
@pytest.mark.parametrize("intent", range(4))
def test_colours_stay_the_same_to_the_last_bit(name: str, intent: int) -> None:
    original = PROFILES[name]()
    told = pictures.telling_profile(original)
    neutral = neutral_profile(told)
    assert neutral is not None
    mode, channels = {b"RGB ": ("RGB", 3), b"GRAY": ("L", 1), b"CMYK": ("CMYK", 4)}[original[16:20]]
    image = Image.frombytes(mode, (128, 64), random.Random(7).randbytes(128 * 64 * channels))
    assert converted(image, neutral, intent=intent) == converted(image, told, intent=intent)


@pytest.mark.parametrize("name", list(PROFILES))
def test_nothing_else_is_left(name: str) -> None:
    told = pictures.telling_profile(PROFILES[name]())
    assert told.count(SECRET[:4]) > 8
    neutral = neutral_profile(told)
    assert neutral is not None
    assert SECRET[:4] not in neutral
    assert b"text" not in neutral
    assert neutral[24:36] + neutral[40:66] + neutral[80:128] == bytes(12 + 26 + 48)
    assert int.from_bytes(neutral[:4], "big") == len(neutral)


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_neutral_profile_is_its_own_neutral_form(name: str) -> None:
    neutral = neutral_profile(pictures.telling_profile(PROFILES[name]()))
    assert neutral is not None
    assert neutral_profile(neutral) == neutral
    assert neutral_profile(neutral + SECRET) == neutral


def test_the_name_is_the_same_for_all_and_in_the_form_of_the_version() -> None:
    newer = neutral_profile(pictures.srgb_profile())
    older = neutral_profile(pictures.cmyk_profile())
    assert newer is not None
    assert older is not None
    for profile in (newer, older):
        assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip() == "profile"
    assert (b"mluc" in newer, b"mluc" in older) == (True, False)


def changed(at: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda profile: profile[:at] + new + profile[at + len(new) :]


def with_tag(data: bytes) -> Callable[[bytes], bytes]:
    return lambda profile: pictures.profile_of(profile, tags={b"rTRC": data})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("nothing", lambda _: b""),
        ("a header alone", lambda profile: profile[:128]),
        ("no signature", changed(36, b"ACSP")),
        ("longer than it is", lambda profile: changed(0, struct.pack(">I", len(profile) + 1))(profile)),
        ("shorter than its header", changed(0, struct.pack(">I", 131))),
        ("a device link", changed(12, b"link")),
        ("of version 5", changed(8, b"\5")),
        ("too many tags", changed(128, struct.pack(">I", 101))),
        ("tags behind the end", changed(0, struct.pack(">I", 140))),
        ("no tags", changed(128, bytes(4))),
        ("a tag in the header", lambda profile: changed(profile.index(b"rTRC") + 4, struct.pack(">I", 64))(profile)),
        ("a tag behind the end", lambda profile: changed(profile.index(b"rTRC") + 8, b"\0\1\0\0")(profile)),
        ("a tag too short for its type", with_tag(b"curv")),
        ("a curve too short", with_tag(b"curv" + bytes(4) + struct.pack(">I", 9) + bytes(10))),
        ("an unknown curve", with_tag(b"para" + bytes(4) + b"\0\5" + bytes(40))),
        ("half a curve", with_tag(b"para" + bytes(4) + b"\0\1\0\0" + bytes(4))),
        ("an unknown type", with_tag(b"abcd" + bytes(40))),
        ("a table of sixteen channels", with_tag(b"mft1" + bytes(4) + bytes((16, 3, 2, 0)) + bytes(2000))),
        ("a table too large", with_tag(b"mft2" + bytes(4) + bytes((15, 15, 255, 0)) + bytes(2000))),
        ("half a table", with_tag(b"mft2" + bytes(4) + bytes((3, 3)))),
    ],
)
def test_damaged_profiles_are_none(name: str, damage: Callable[[bytes], bytes]) -> None:
    assert neutral_profile(pictures.srgb_profile()) is not None
    assert neutral_profile(damage(pictures.srgb_profile())) is None


def test_the_first_of_two_tags_counts() -> None:
    profile = pictures.profile_of(pictures.srgb_profile(), tags={b"abcd": CURVE})
    twice = profile.replace(b"abcd", b"rTRC", 1)
    assert neutral_profile(twice) == neutral_profile(pictures.srgb_profile())


def test_open_types_are_kept_as_they_are() -> None:
    elements = b"mAB " + bytes(4) + b"\3\3" + bytes(range(90))
    neutral = neutral_profile(pictures.profile_of(pictures.srgb_profile(), tags={b"A2B0": elements}))
    assert neutral is not None
    assert elements in neutral


@pytest.mark.parametrize("length", [1, 440, 0xFFFF, 0x10000, 200_000])
def test_zlib_streams_of_our_own(length: int) -> None:
    data = random.Random(3).randbytes(length)
    packed = wrapped_in_zlib(data)
    assert zlib.decompress(packed) == data
    assert inflate_profile(packed) == data


MAKERS = [pictures.jpeg, pictures.png, pictures.webp, pictures.avif]


@pytest.mark.parametrize("make", MAKERS)
def test_profiles_in_files_are_neutral_and_stay_so(make: Callable[..., bytes]) -> None:
    data = make(32, 24, icc=pictures.telling_profile())
    structure = read_structure(data, budget=BUDGET)
    stored = assemble(data, structure)
    assert SECRET[:4] not in stored
    assert structure.profile == neutral_profile(pictures.srgb_profile())
    again = read_structure(stored, budget=BUDGET)
    assert (again.pieces, again.profile) == (None, structure.profile)
    with Image.open(io.BytesIO(stored)) as image:
        assert image.info["icc_profile"].rstrip(b"\0") == structure.profile.rstrip(b"\0")


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_no_profile_goes(make: Callable[..., bytes]) -> None:
    data = make(32, 24, icc=b"\0\0\1\0" + SECRET * 20)
    structure = read_structure(data, budget=BUDGET)
    assert structure.profile is None
    stored = assemble(data, structure)
    assert SECRET not in stored
    assert read_structure(stored, budget=BUDGET).pieces is None


def test_jpeg_profiles_in_many_parts_and_places() -> None:
    profile = pictures.profile_of(pictures.srgb_profile(), tags={b"A2B0": b"mAB " + bytes(4) + bytes(150_000)})
    neutral = neutral_profile(profile)
    assert neutral is not None
    data = pictures.jpeg(16, 16)
    half = len(profile) // 4 + 1
    parts = [profile[at : at + half] for at in range(0, len(profile), half)]
    segments = [segment(0xE2, b"ICC_PROFILE\0" + bytes((n + 1, len(parts))) + part) for n, part in enumerate(parts)]
    scattered = data[:2] + segment(0xFE, b"x").join(reversed(segments)) + data[2:]
    structure = read_structure(scattered, budget=BUDGET)
    assert structure.profile == neutral
    stored = assemble(scattered, structure)
    assert stored.count(b"ICC_PROFILE\0") == 3
    again = read_structure(stored, budget=BUDGET)
    assert (again.pieces, again.profile) == (None, neutral)


def test_png_profiles_have_no_name_and_nothing_behind_them() -> None:
    profile = pictures.srgb_profile()
    packed = zlib.compress(profile) + SECRET
    data = pictures.with_chunks(pictures.png(16, 16), chunk(b"iCCP", SECRET + b"\0\0" + packed))
    stored = assemble(data, read_structure(data, budget=BUDGET))
    assert SECRET not in stored
    assert b"iCCPICC profile\0\0" in stored
    assert read_structure(stored, budget=BUDGET).pieces is None


def test_png_profiles_behind_the_picture_are_not_applied() -> None:
    plain = pictures.png(16, 16)
    late = chunk(b"iCCP", b"n\0\0" + zlib.compress(pictures.swapped_profile()))
    structure = read_structure(pictures.with_chunks(plain, late, before=b"IEND"), budget=BUDGET)
    assert structure.profile is None
    assert assemble(pictures.with_chunks(plain, late, before=b"IEND"), structure) == plain


def test_webp_profiles_of_odd_length() -> None:
    neutral = neutral_profile(pictures.srgb_profile())
    assert neutral is not None
    flags = riff_chunk(b"VP8X", b"\x20\0\0\0" + b"\x0f\0\0" + b"\x0f\0\0")
    picture = pictures.webp(16, 16)[12:]
    data = riff_of(flags + riff_chunk(b"ICCP", neutral + b"x") + picture)
    assert assemble(data, read_structure(data, budget=BUDGET)) == riff_of(
        flags + riff_chunk(b"ICCP", neutral) + picture
    )


def test_profiles_that_are_too_large_go() -> None:
    large = pictures.profile_of(pictures.srgb_profile(), tags={b"A2B0": b"mAB " + bytes(MAX_PROFILE)})
    assert neutral_profile(large) is None

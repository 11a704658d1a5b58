"""CPU of a thumbnail, and of all that one decode pass makes: `python -m benchmarks thumbnails [DIRECTORY]`.

Limit: the picture decoded at the scale that suffices, and nothing else, by libjpeg-turbo (through Pillow, whose share
is a per cent or two). Peer: a full decode for each of three thumbnails, as most services do. For PNG and WebP: Pillow
and libvips, each in its fastest way. One process, CPU time, rounds interleaved, medians of the faster half.
"""

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pyvips
from PIL import Image

from benchmarks.rig.photographs import generated
from benchmarks.rig.tables import machine, table, verdict
from chitram.adapters.codec import decoding, pipeline
from chitram.adapters.codec.formats.sniffing import read_structure
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, Budget

BUDGET = Budget(frozenset(FORMATS), 200_000_000, 500, 1_000_000_000)
ONE_TARGET, PASS_TARGET, FASTER_TARGET = 1.15, 1.6, 1.1
LONGEST = 300


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    started = time.process_time()
    work()
    return time.process_time() - started


def race(cases: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Milliseconds by name: the median of the faster half, for whatever else runs only ever adds."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for work in cases.values():
        work()
    for _ in range(rounds):
        for name, work in cases.items():
            times[name].append(cpu(work))
    return {name: median(sorted(found)[: (len(found) + 1) // 2]) * 1e3 for name, found in times.items()}


def scaled_only(data: bytes, *, longest: int) -> None:
    """The limit."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        image.draft("RGB", (longest, longest))
        image.load()


def one_thumbnail(data: bytes) -> None:
    """Ours: structure, scaled decode, encode."""
    structure = read_structure(data, budget=BUDGET)
    size = pipeline.fit((structure.width, structure.height), longest=LONGEST)
    image = decoding.decode_scaled(data, structure=structure, size=size)
    image.convert("RGB").save(io.BytesIO(), "JPEG", quality=pipeline.JPEG_QUALITY)


def three_passes(data: bytes) -> None:
    """The peer."""
    for longest in THUMBNAIL_SIZES:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            image.thumbnail((longest, longest))
            image.convert("RGB").save(io.BytesIO(), "JPEG", quality=pipeline.JPEG_QUALITY)


def by_pillow(data: bytes) -> None:
    """A thumbnail from any format."""
    with Image.open(io.BytesIO(data)) as opened:
        # A palette has no colours in between: scaled as it is, it would be cheap and ugly.
        image = opened.convert("RGB") if opened.mode == "P" else opened
        image.thumbnail((LONGEST, LONGEST), reducing_gap=1.0)
        image.convert("RGB").save(io.BytesIO(), "JPEG", quality=pipeline.JPEG_QUALITY)


def by_vips(data: bytes) -> None:
    """A thumbnail from any format."""
    image = pyvips.Image.thumbnail_buffer(data, LONGEST, height=LONGEST, size="down")
    image.jpegsave_buffer(Q=pipeline.JPEG_QUALITY)


def jpeg(data: bytes, *, rounds: int) -> None:
    """Print the figures for one JPEG."""
    found = race(
        {
            "decode at 1/8 (limit)": lambda: scaled_only(data, longest=LONGEST),
            "decode at 1/4": lambda: scaled_only(data, longest=THUMBNAIL_SIZES[0]),
            "one thumbnail": lambda: one_thumbnail(data),
            "the whole pass": lambda: pipeline.ingest(data, budget=BUDGET, strip_metadata=True),
            "three full decodes (peer)": lambda: three_passes(data),
        },
        rounds=rounds,
    )
    print(table(["", "CPU ms"], [[name, f"{value:.1f}"] for name, value in found.items()]))
    limit, _, one, whole, peer = found.values()
    print(f"one thumbnail, of the limit: {verdict(one / limit, at_most=ONE_TARGET)}")
    print(f"the whole pass, of the limit: {verdict(whole / limit, at_most=PASS_TARGET)}")
    print(f"the whole pass, of the peer: {whole / peer:.2f}")


def other(name: str, data: bytes, *, rounds: int) -> None:
    """Print the figures for a PNG or WebP."""
    decoding.preload()
    found = race(
        {
            "Pillow": lambda: by_pillow(data),
            "libvips": lambda: by_vips(data),
            "one thumbnail": lambda: one_thumbnail(data),
        },
        rounds=rounds,
    )
    print(f"\n{name}, {len(data):,} bytes")
    print(table(["", "CPU ms"], [[way, f"{value:.1f}"] for way, value in found.items()]))
    pillow, vips, ours = found.values()
    print(f"of the faster: {verdict(ours / min(pillow, vips), at_most=FASTER_TARGET)}")
    print(f"of the slower: {ours / max(pillow, vips):.2f}")


def encoded(data: bytes, form: str) -> bytes:
    """A smaller picture in another format."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2000, 1500))
        image.save(out, form)
    return out.getvalue()


def main(argv: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="thumbnails", description=__doc__)
    parser.add_argument("photographs", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    options = parser.parse_args(argv)
    rounds = 3 if options.quick else options.rounds
    print(machine())
    if options.photographs is None:
        photo = generated(megapixels=12)
        others = {form.lower(): encoded(photo, form) for form in ("PNG", "WEBP")}
    else:
        photo = largest(options.photographs, ".jpg")
        others = {
            path.name: path.read_bytes()
            for path in sorted(options.photographs.iterdir())
            if path.suffix in (".png", ".webp")
        }
    print(f"baseline JPEG, {len(photo):,} bytes")
    jpeg(photo, rounds=rounds)
    for name, data in others.items():
        other(name, data, rounds=rounds)


def largest(directory: Path, suffix: str) -> bytes:
    """The largest baseline JPEG."""
    files = sorted((path.read_bytes() for path in directory.glob(f"*{suffix}")), key=len, reverse=True)
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            if not image.info.get("progressive"):
                return data
    raise SystemExit(f"{directory} holds no baseline JPEG")

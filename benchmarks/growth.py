"""How costs grow: `python -m benchmarks growth [--csv]`.

The CPU of an upload against the megapixels of the picture; metadata and a page of the public list against the images
that are there. Lines that should be flat are flat when their last figure is at most 1.2 times the first.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.rig.fetching import fetch
from benchmarks.rig.photographs import Variants, generated
from benchmarks.rig.rows import image_id, prepare_data
from benchmarks.rig.servers import Running, chitram
from benchmarks.rig.tables import machine, verdict
from benchmarks.rig.uploading import burst
from benchmarks.rig.wrk import wrk

MEGAPIXELS = (1, 2, 4, 8, 16, 32)
ROWS = (1_000, 10_000, 100_000)
FLAT = 1.2
_BAR = 50


def upload_cpu(root: Path, *, megapixels: Sequence[int], uploads: int) -> dict[int, float]:
    """Milliseconds of CPU of all processes an upload, by megapixels."""
    found = {}
    with chitram(root / "uploads", MAX_FILE_SIZE_MB="64") as server:
        for size in megapixels:
            variants = Variants([generated(megapixels=size)])
            burst(server, variants.next, uploads=4, clients=2)
            found[size] = burst(server, variants.next, uploads=uploads, clients=2).cpu * 1e3
    return found


def reading_cpu(server: Running, path: str, *, seconds: float) -> float:
    """Microseconds of CPU a request: the median of three rounds of load."""
    return median(wrk(server, path, seconds=seconds, connections=4).cpu for _ in range(3)) * 1e6


def reads(
    root: Path, *, rows: Sequence[int], seconds: float
) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    """Metadata uncached, the first page, and a page from the middle of the list: microseconds by rows."""
    metadata, first, middle = {}, {}, {}
    for number in rows:
        directory = root / f"rows-{number}"
        prepare_data(directory, rows=number)
        with chitram(directory, CACHE_ENABLED="false") as server:
            listed = "/api/v1/images"
            metadata[number] = reading_cpu(server, f"{listed}/{image_id(number // 2)}", seconds=seconds)
            first[number] = reading_cpu(server, listed, seconds=seconds)
            middle[number] = reading_cpu(
                server, f"{listed}?cursor={cursor(server.url + listed, pages=8)}", seconds=seconds
            )
    return metadata, first, middle


def cursor(listed: str, *, pages: int) -> str:
    """The cursor that so many full pages lead to."""
    found = ""
    for _ in range(pages):
        page = json.loads(fetch(f"{listed}?limit=100" + (f"&cursor={found}" if found else "")))
        found = page["next_cursor"] or found
    return found


def chart(title: str, unit: str, values: dict[int, float], *, csv: bool) -> None:
    """Draw one curve, or write it as lines of values."""
    print(f"\n{title}, {unit}")
    most = max(values.values())
    for at, value in values.items():
        print(f"{at},{value:.1f}" if csv else f"{at:>9,} {value:>9,.1f} {'#' * max(1, round(value / most * _BAR))}")


def main(argv: Sequence[str] = ()) -> None:
    """Print the curves."""
    parser = argparse.ArgumentParser(prog="growth", description=__doc__)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    options = parser.parse_args(argv)
    megapixels, rows = (MEGAPIXELS[:3], ROWS[:2]) if options.quick else (MEGAPIXELS, ROWS)
    uploads = 8 if options.quick else 16
    print(machine())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        pixels = upload_cpu(Path(directory), megapixels=megapixels, uploads=uploads)
        metadata, first, middle = reads(Path(directory), rows=rows, seconds=1)
    chart("CPU of an upload by megapixels", "ms", pixels, csv=options.csv)
    for title, curve in (
        ("metadata, uncached", metadata),
        ("first page of the list", first),
        ("a page further on", middle),
    ):
        chart(f"{title} by images", "us", curve, csv=options.csv)
        figures = list(curve.values())
        print(f"last of first: {verdict(figures[-1] / figures[0], at_most=FLAT)}")
    sizes = sorted(pixels)
    slope = (pixels[sizes[-1]] / pixels[sizes[1]]) / (sizes[-1] / sizes[1])
    print(f"\nan upload's growth, of linear in pixels: {slope:.2f}; {time.perf_counter() - started:.0f} s")

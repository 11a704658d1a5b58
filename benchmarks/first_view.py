"""The first view over a slow line, as Chromium paints it: `python -m benchmarks first_view [DIRECTORY]`.

The gallery and an image's page, with an empty cache, on a phone and on a desk. The browser throttles itself: the "slow
4G" that page tests use (1.6 Mbit/s down, 750 kbit/s up, 150 ms) and plain 3G (400 kbit/s both ways, 400 ms). Limit: the
page's text alone, with everything blocked that it loads. DIRECTORY may hold photographs; otherwise they are generated.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser

from benchmarks.rig.browsing import Device, Line, View, chromium, first_view
from benchmarks.rig.photographs import generated, photographs
from benchmarks.rig.servers import Running, chitram
from benchmarks.rig.tables import machine, ratio, spread, table, verdict
from benchmarks.rig.uploading import connect, upload

LINES = (Line("slow 4G", 150, 1600, 750), Line("3G", 400, 400, 400))
DEVICES = (Device("phone", 375, 812, 2), Device("desk", 1440, 900, 1))
#: Seconds until the first view is there.
TARGET = 2.0
PICTURES = 24
_KINDS = ("Document", "Stylesheet", "Script", "Font", "Image")
_SHAPES = (0.75, 1.0, 1.5, 0.66)


def stock(server: Running, originals: Sequence[bytes]) -> str:
    """Upload public pictures; the id of the last."""
    image_id = ""
    with connect(server) as connection:
        for number in range(PICTURES):
            status, answer = upload(connection, originals[number % len(originals)], visibility="public")
            assert status == 201, answer
            image_id = answer["id"]
    return image_id


def rows_of(name: str, views: Sequence[View]) -> list[str]:
    """One line of the table."""
    last = views[-1]
    kilobytes = [f"{last.transferred.get(kind, 0) / 1000:.1f}" for kind in _KINDS]
    return [
        name,
        spread([view.first for view in views]),
        spread([view.picture for view in views]),
        spread([view.largest for view in views]),
        last.element.lower(),
        f"{median(view.loaded for view in views):.2f}",
        f"{last.shifted:.3f}",
        str(last.requests),
        *kilobytes,
    ]


def measure(browser: Browser, pages: dict[str, str], *, rounds: int) -> None:
    """Print a table for each line, and what became of the target."""
    for line in LINES:
        print(f"\n{line.name}: {line.down:g} kbit/s down, {line.up:g} up, {line.latency:g} ms")
        rows, found = [], {}
        bare = [first_view(browser, pages["gallery"], line=line, device=DEVICES[0], bare=True) for _ in range(rounds)]
        rows.append(rows_of("gallery, bare (limit)", bare))
        for device in DEVICES:
            for name, url in pages.items():
                views = [first_view(browser, url, line=line, device=device) for _ in range(rounds)]
                found[f"{name}, {device.name}"] = views
                rows.append(rows_of(f"{name}, {device.name}", views))
        print(
            table(["", "first paint s", "picture s", "largest s", "", "loaded s", "shifted", "requests", *_KINDS], rows)
        )
        for name, views in found.items():
            first, largest = median(view.first for view in views), median(view.largest for view in views)
            of_limit = ratio([view.first for view in views], [view.first for view in bare])
            print(f"{name}: first paint {verdict(first, at_most=TARGET)}, {of_limit:.1f} of the limit", end="; ")
            print(f"largest {verdict(largest, at_most=TARGET)}")


def main(argv: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="first_view", description=__doc__)
    parser.add_argument("photographs", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    options = parser.parse_args(argv)
    if options.photographs:
        originals = photographs(options.photographs)
    else:
        originals = [generated(megapixels=2, seed=seed, shape=_SHAPES[seed % len(_SHAPES)]) for seed in range(8)]
    print(f"{machine()}, cache empty, {PICTURES} pictures")
    with tempfile.TemporaryDirectory() as directory, chitram(Path(directory)) as server, chromium() as browser:
        image_id = stock(server, originals)
        pages = {"gallery": f"{server.url}/", "image": f"{server.url}/image/{image_id}"}
        measure(browser, pages, rounds=1 if options.quick else options.rounds)

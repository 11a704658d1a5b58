"""Thumbnails and the whole ingest pass: against the decoder alone, and against other ways to do it.

    python -m benchmarks.thumbnails [FOLDER_OF_PHOTOGRAPHS] [--rounds N]

Limit: libjpeg-turbo decoding in C, scaled by the DCT, without anything else. Peers: three separate passes, as most
services make them; sharp, where `node` finds it. CPU time, medians of interleaved rounds: the ratios are what counts.
"""

import argparse
import io
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from tests.factories import pictures

from chitram.adapters.codec import decoding, pipeline
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, Budget

BUDGET = Budget(frozenset(FORMATS), max_pixels=200_000_000, max_frames=1000, max_total_pixels=10**9)
#: Most an own figure may be, as a multiple of its limit or of the faster peer.
TARGETS = {"thumbnail": 1.15, "ingest": 1.6, "faster library": 1.1}
_SHARP = """
const sharp = require('sharp'); sharp.cache(false); sharp.concurrency(1);
(async () => {
  const times = [];
  for (let i = 0; i < +process.argv[2]; i++) {
    const before = process.cpuUsage();
    for (const size of process.argv[3].split(',').map(Number))
      await sharp(process.argv[1]).rotate().resize(size, size, {fit: 'inside'}).jpeg({quality: 80}).toBuffer();
    const spent = process.cpuUsage(before);
    times.push((spent.user + spent.system) / 1e3);
  }
  console.log(JSON.stringify(times));
})();
"""


def limit(data: bytes, size: int) -> None:
    """The scaled decode and nothing else."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        image.draft(None, (size, size))
        image.load()


def one_thumbnail(data: bytes, size: int) -> None:
    """One JPEG thumbnail by the steps of our pipeline."""
    structure = pipeline.read_structure(data, budget=BUDGET)
    scaled = pipeline.fit((structure.width, structure.height), longest=size)
    image = decoding.decode_scaled(data, structure=structure, size=scaled)
    image.convert("RGB").save(io.BytesIO(), "JPEG", quality=pipeline.JPEG_QUALITY)


def separate_passes(data: bytes, sizes: Sequence[int]) -> None:
    """Decode, scale and encode anew for each size, as it is usually done."""
    for size in sizes:
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((size, size))
            image.convert("RGB").save(io.BytesIO(), "JPEG", quality=80)


def full_pass(data: bytes) -> None:
    """What an upload costs: structure, every size, hash, placeholder, stripping."""
    pipeline.ingest(data, budget=BUDGET, strip_metadata=True)


def by_pillow(data: bytes, size: int) -> None:
    """The same thumbnail by Pillow, whatever the format."""
    with Image.open(io.BytesIO(data)) as image:
        whole = image.convert("RGB")
        whole.thumbnail((size, size), reducing_gap=2.0)
        whole.save(io.BytesIO(), "JPEG", quality=80)


def measure(cases: dict[str, Callable[[], None]], *, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each case; the rounds of all cases take turns, after one that is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            before = time.process_time()
            case()
            if number:
                spent[name].append((time.process_time() - before) * 1e3)
    return {name: statistics.median(times) for name, times in spent.items()}


def sharp_times(path: Path, *, sizes: Sequence[int], rounds: int) -> float | None:
    """Median CPU milliseconds of sharp for `sizes`; None where it is not installed."""
    node = shutil.which("node")
    if node is None:
        return None
    command = [node, "-e", _SHARP, str(path), str(rounds + 1), ",".join(map(str, sizes))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return statistics.median(json.loads(done.stdout)[1:]) if done.returncode == 0 else None


def jpeg_rows(path: Path, *, rounds: int) -> list[tuple[str, float, float, float | None]]:
    """What was done, milliseconds, multiple of the limit, target."""
    data = path.read_bytes()
    times = measure(
        {
            "limit, 300 px": lambda: limit(data, 300),
            "one thumbnail, 300 px": lambda: one_thumbnail(data, 300),
            "ingest pass": lambda: full_pass(data),
            "three separate passes": lambda: separate_passes(data, THUMBNAIL_SIZES),
        },
        rounds=rounds,
    )
    base = times["limit, 300 px"]
    targets = {"one thumbnail, 300 px": TARGETS["thumbnail"], "ingest pass": TARGETS["ingest"]}
    rows = [(name, spent, spent / base, targets.get(name)) for name, spent in times.items()]
    for title, sizes in (("sharp, 300 px", [300]), ("sharp, three sizes", THUMBNAIL_SIZES)):
        spent = sharp_times(path, sizes=sizes, rounds=rounds)
        if spent is not None:
            rows.append((title, spent, spent / base, None))
    return rows


def other_rows(path: Path, *, rounds: int) -> list[tuple[str, float, float, float | None]]:
    """PNG and WebP: our choice of library beside the other one."""
    data = path.read_bytes()
    times = measure({"ours": lambda: one_thumbnail(data, 300), "Pillow": lambda: by_pillow(data, 300)}, rounds=rounds)
    faster = min(times.values())
    return [
        (f"{name}, 300 px", spent, spent / faster, TARGETS["faster library"] if name == "ours" else None)
        for name, spent in times.items()
    ]


def samples(folder: Path | None, *, scratch: Path) -> list[Path]:
    """The photographs to measure with: those in `folder`, or made ones of 12 and 4 megapixels."""
    if folder is not None:
        return sorted(p for p in folder.iterdir() if p.suffix in {".jpg", ".jpeg", ".png", ".webp"})
    made = {"made_12mp.jpg": pictures.jpeg(4000, 3000, grain=0.12, quality=88)}
    photo = pictures.photograph(2000, 1500)
    for name, kind in (("made_3mp.png", "PNG"), ("made_3mp.webp", "WEBP")):
        out = io.BytesIO()
        photo.save(out, kind)
        made[name] = out.getvalue()
    for name, data in made.items():
        (scratch / name).write_bytes(data)
    return [scratch / name for name in made]


def main(argv: Sequence[str]) -> int:
    """Print the table; the exit status is 0 whatever the figures are, since they depend on the machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args(argv)
    decoding.preload()
    with tempfile.TemporaryDirectory() as scratch:
        for path in samples(chosen.folder, scratch=Path(scratch)):
            show = jpeg_rows if path.suffix in {".jpg", ".jpeg"} else other_rows
            print(f"{path.name}, {path.stat().st_size / 1e6:.1f} MB")
            for name, spent, ratio, target in show(path, rounds=chosen.rounds):
                verdict = (
                    "" if target is None else f"  target <= {target:.2f}x: {'met' if ratio <= target else 'MISSED'}"
                )
                print(f"  {name:<24}{spent:9.1f} ms CPU {ratio:6.2f}x{verdict}")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

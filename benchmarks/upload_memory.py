"""Memory of the server process for each upload under way: `python -m benchmarks upload_memory`.

Several uploads at a time, fed slowly in pieces, of the largest file that is allowed by default and of a far larger one:
photographs with ballast in their metadata, so that they are received, looked at, stripped and stored to the end. What
counts is the peak of the resident memory against that before, over the number of uploads. Peer: a service that holds
whole files.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import framework
from benchmarks.rig.photographs import Variants, generated
from benchmarks.rig.processes import forget_peak, peak_rss, rss
from benchmarks.rig.servers import Running, asgi, chitram
from benchmarks.rig.tables import machine, table, verdict
from benchmarks.rig.uploading import burst, connect, read_answer, upload_end, upload_head

MIB = 1024 * 1024
TARGET = 2.0
PIECE = 256 * 1024
_MOST_BALLAST = 65_000


def with_ballast(photo: bytes, *, size: int) -> bytes:
    """`photo` with comments behind its first marker, so that it has `size` bytes."""
    lacking, comments = size - len(photo), []
    while lacking >= 4:
        length = min(lacking, _MOST_BALLAST)
        comments.append(b"\xff\xfe" + (length - 2).to_bytes(2, "big") + bytes(length - 4))
        lacking -= length
    return b"".join((photo[:2], *comments, photo[2:]))


def feed(server: Running, data: bytes, *, seconds: float, together: threading.Barrier) -> None:
    """Upload `data` at an even pace, so that it takes `seconds`; the ends come together."""
    with connect(server) as connection:
        connection.sendall(upload_head(len(data)))
        pause = seconds * PIECE / len(data)
        for offset in range(0, len(data), PIECE):
            connection.sendall(data[offset : offset + PIECE])
            time.sleep(pause)
        together.wait()
        connection.sendall(upload_end())
        status, answer = read_answer(connection)
        assert status == 201, answer


def growth(server: Running, variants: Variants, *, size: int, uploads: int, seconds: float) -> float:
    """MiB of the server's process at its peak for each of `uploads` files of `size` bytes."""
    before = rss(server.pid)
    forget_peak(server.pid)
    together = threading.Barrier(uploads)
    threads = [
        threading.Thread(
            target=feed,
            args=(server, with_ballast(variants.next(), size=size)),
            kwargs={"seconds": seconds, "together": together},
        )
        for _ in range(uploads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (peak_rss(server.pid) - before) / uploads / MIB


def main(argv: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="upload_memory", description=__doc__)
    parser.add_argument("--uploads", type=int, default=12, help="at a time")
    parser.add_argument("--seconds", type=float, default=4, help="that one body takes")
    parser.add_argument("--quick", action="store_true", help="fewer and faster")
    options = parser.parse_args(argv)
    if options.quick:
        options.uploads, options.seconds = 4, 1
    variants = Variants([generated(megapixels=2)])
    print(f"{machine()}; {options.uploads} uploads at a time")
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        ours = stack.enter_context(chitram(root / "ours", MAX_FILE_SIZE_MB="64"))
        environment = {framework.DIRECTORY: str(root / "peer")}
        peer = stack.enter_context(asgi("benchmarks.peers.framework:application", environment=environment))
        rows, found = [], []
        for name, server in (("chitram", ours), ("framework (peer)", peer)):
            burst(server, variants.next, uploads=32, clients=8)  # what is loaded or kept once is not an upload's
            for size in (5 * MIB, 64 * MIB):
                mib = growth(server, variants, size=size, uploads=options.uploads, seconds=options.seconds)
                rows.append([f"{name}, {size // MIB} MiB", f"{mib:.2f}"])
                found.append(mib)
        print(table(["", "MiB an upload"], rows))
        print(f"of 64 MiB: {verdict(found[1], at_most=TARGET)} MiB")
        print(f"the peer: {found[3] / max(found[1], 0.01):.0f} times as much")
        print(f"of 5 MiB: {verdict(found[0], at_most=TARGET)} MiB")

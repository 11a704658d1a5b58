"""The same program on services: `python -m benchmarks services [rows] [bytes] [uploads]`.

rows: metadata of 10,000 images, by SQLite and by PostgreSQL, and on PostgreSQL out of Redis (HIT) and into it (MISS);
limit: a constant answer. bytes: a 300 kB original from the disk, from S3 through us, and by a signed link, whose two
halves are the redirect and what the S3 service itself gives. uploads: thumbnails made before the answer (inline) and by
a worker after it (background). Load: wrk with 32 connections, or clients with sockets; everything on the same cores.
Rounds are interleaved; medians of rounds and of their ratios.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from tests.factories.servers import clean_environment, command
from tests.services.postgres import running_postgres
from tests.services.processes import running
from tests.services.seaweed import seaweed_service
from tests.services.valkey import Valkey
from tests.services.workers import Worker

from benchmarks.peers import plain
from benchmarks.rig.fetching import fetch, fetch_all
from benchmarks.rig.photographs import Variants, generated
from benchmarks.rig.rows import image_id, prepare_data
from benchmarks.rig.servers import Running, asgi, chitram
from benchmarks.rig.tables import machine, ratio, spread, table
from benchmarks.rig.uploading import Burst, burst, connect, upload
from benchmarks.rig.wrk import Load, load_table, paths_script, wrk, zipf_script

ROWS = 10_000
PATH = "/api/v1/images/"
PATIENT = {"DB_STATEMENT_TIMEOUT_SECONDS": "10", "DB_POOL_TIMEOUT_SECONDS": "10", "DB_CONNECT_TIMEOUT_SECONDS": "10"}


def rows(root: Path, *, rounds: int, seconds: float) -> None:
    """Metadata by each database, and with Redis in front of the one."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        valkey = Valkey(root / "valkey")
        stack.enter_context(running(valkey))
        prepare_data(root / "sqlite", rows=ROWS)
        url = postgres.url(postgres.create())
        data = {"DATA_DIR": os.fspath(root / "sqlite" / "data"), "READ_ONLY": "true", "TARGET_DATABASE_URL": url}
        subprocess.run(command("migrate-db"), env=clean_environment(**data), check=True, stdout=subprocess.DEVNULL)
        (root / "plain").mkdir()
        paths = [PATH + image_id(number) for number in range(1, ROWS + 1)]
        zipf, each = zipf_script(root / "zipf.lua", paths), paths_script(root / "each.lua", paths)
        # The store belongs to the database, wherever that has gone.
        store = os.fspath(root / "sqlite" / "data" / "storage")
        settings = {"DATABASE_URL": url, "LOCAL_STORAGE_PATH": store, **PATIENT}
        cases: dict[str, tuple[Running, Path, Callable[[], object]]] = {
            "SQLite, no cache": (
                stack.enter_context(chitram(root / "sqlite", CACHE_ENABLED="false")), zipf, lambda: None,
            ),
            "PostgreSQL, no cache": (
                stack.enter_context(chitram(root / "pg", CACHE_ENABLED="false", **settings)), zipf, lambda: None,
            ),
        }  # fmt: skip
        cached = stack.enter_context(chitram(root / "redis", REDIS_URL=valkey.url, **settings))
        cases["PostgreSQL, Redis HIT"] = (cached, zipf, lambda: fetch_all(cached, paths))
        cases["PostgreSQL, Redis MISS"] = (cached, each, lambda: valkey.ask("FLUSHALL"))
        body = root / "body.json"
        body.write_bytes(fetch(cached.url + paths[0]))
        limit = asgi("benchmarks.peers.plain:constant", environment={plain.BODY: os.fspath(body)})
        cases["constant answer (limit)"] = (stack.enter_context(limit), zipf, lambda: None)
        loads: dict[str, list[Load]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (server, script, before) in cases.items():
                before()
                loads[name].append(wrk(server, paths[0], seconds=seconds, script=script))
        print(load_table(loads))
        rates = {name: [load.rate for load in found] for name, found in loads.items()}
        print(f"PostgreSQL of SQLite: {ratio(rates['PostgreSQL, no cache'], rates['SQLite, no cache']):.2f}")
        print(f"HIT of MISS: {ratio(rates['PostgreSQL, Redis HIT'], rates['PostgreSQL, Redis MISS']):.2f}")
        print(f"HIT of no cache: {ratio(rates['PostgreSQL, Redis HIT'], rates['PostgreSQL, no cache']):.2f}")


def originals(root: Path, *, rounds: int, seconds: float) -> None:
    """One original from the disk, from S3 through us, and by a signed link."""
    with ExitStack() as stack:
        (root / "s3").mkdir()
        seaweed = seaweed_service(root / "s3")
        stack.enter_context(running(seaweed.service))
        assert seaweed.service.process is not None
        bucket = seaweed.environment()
        disk = stack.enter_context(chitram(root / "disk"))
        proxy = stack.enter_context(chitram(root / "proxy", **bucket))
        bucket |= {"DATABASE_URL": f"sqlite:///{root / 'proxy' / 'data' / 'chitram.db'}"}
        redirect = stack.enter_context(chitram(root / "redirect", MINIO_DELIVERY="redirect", **bucket))
        picture = generated(megapixels=1.2)
        on_disk, in_s3 = (path_of(server, picture) for server in (disk, proxy))
        store = Running(seaweed.port, seaweed.service.process.pid)
        cases = {
            "disk": (disk, lambda: on_disk),
            "S3 through us": (proxy, lambda: in_s3),
            "signed link: our redirect": (redirect, lambda: in_s3),
            "signed link: the S3 service": (store, lambda: location(redirect, in_s3)),
        }
        loads: dict[str, list[Load]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (server, path) in cases.items():
                loads[name].append(wrk(server, path(), seconds=seconds))
        print(f"an original of {len(picture) // 1000} kB")
        print(load_table(loads))
        rates = {name: [load.rate for load in found] for name, found in loads.items()}
        itself = ratio(rates["S3 through us"], rates["signed link: the S3 service"])
        print(f"through us of the S3 service itself: {itself:.2f}")
        print(f"through us of the disk: {ratio(rates['S3 through us'], rates['disk']):.2f}")


def path_of(server: Running, picture: bytes) -> str:
    """The path of the original of a new image."""
    with connect(server) as connection:
        status, answer = upload(connection, picture)
    assert status == 201, answer
    return urlsplit(answer["url"]).path


def location(server: Running, path: str) -> str:
    """Where the server sends who asks for `path`: path and query."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        parts = urlsplit(answer.headers["location"])
        return f"{parts.path}?{parts.query}"
    finally:
        connection.close()


def uploads(root: Path, *, rounds: int, number: int) -> None:
    """Uploads whose thumbnails are made before the answer, and by a worker after it."""
    with ExitStack() as stack:
        valkey = Valkey(root / "broker")
        stack.enter_context(running(valkey))
        inline = stack.enter_context(chitram(root / "inline"))
        broker = {"CELERY_BROKER_URL": valkey.url}
        background = stack.enter_context(chitram(root / "background", **broker))
        settings = {"DATA_DIR": os.fspath(root / "background" / "data"), **broker}
        stack.enter_context(running(Worker(root / "worker", settings=settings)))
        picture = Variants([generated(megapixels=4)])
        bursts: dict[str, list[Burst]] = {"inline": [], "background": []}
        for _ in range(rounds):
            for name, server in (("inline", inline), ("background", background)):
                bursts[name].append(burst(server, picture.next, uploads=number, clients=2))
        columns = ["4 megapixels, 2 clients", "uploads/s", "server's CPU ms", "median ms", "failures"]
        print(
            table(columns, [
                [name, spread([each.rate for each in found]), f"{median(each.cpu for each in found) * 1e3:.0f}",
                 f"{median(each.median for each in found) * 1e3:.0f}", str(sum(each.failures for each in found))]
                for name, found in bursts.items()
            ])
        )  # fmt: skip
        rates = {name: [1 / each.median for each in found] for name, found in bursts.items()}
        times = ratio(rates["background"], rates["inline"])
        print(f"background answers {times:.1f} times as fast; its worker goes on meanwhile")


def main(argv: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="services", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["rows", "bytes", "uploads", []], help="all of them by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of one server in one round")
    parser.add_argument("--uploads", type=int, default=20, help="of one server in one round")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds, options.uploads = 1, 1, 6
    print(machine())
    for part in options.parts or ["rows", "bytes", "uploads"]:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            if part == "rows":
                rows(root, rounds=options.rounds, seconds=options.seconds)
            elif part == "bytes":
                originals(root, rounds=options.rounds, seconds=options.seconds)
            else:
                uploads(root, rounds=options.rounds, number=options.uploads)

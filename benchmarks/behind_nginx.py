"""Behind nginx: `python -m benchmarks behind_nginx`.

A public thumbnail of 300 pixels over TLS: through the delivered nginx configuration that keeps it for a lease, through
the same without, and (limit) from an nginx that has it as a file; and without TLS from our server itself. Then an
original of 3 MB over TLS: sent by nginx from our store (X-Accel-Redirect), through it from our server, and (limit) by
an nginx that has it as a file. Load: wrk, one thread, 16 connections, on the same cores. Rounds are interleaved;
medians of rounds and of their ratios.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.services.nginx import Nginx, certificate, nginx
from tests.services.processes import Service, accepts, free_port, running

from benchmarks.rig.fetching import fetch
from benchmarks.rig.photographs import generated
from benchmarks.rig.servers import Running, chitram
from benchmarks.rig.tables import machine, ratio, verdict
from benchmarks.rig.uploading import connect, upload
from benchmarks.rig.wrk import Load, load_table, wrk

TARGET, TARGET_OF_ORIGINALS = 0.90, 0.95
#: Megapixels of the original, which make some 3 MB.
PHOTOGRAPH = 12.0
_BARE = """daemon off; master_process off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type image/jpeg; keepalive_requests 1000000000;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4;
  scgi_temp_path {root}/t5;
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {key}; root {root}/files; }}
}}"""


@dataclass(frozen=True, slots=True)
class Secure(Running):
    """A server that is spoken to by TLS."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"  # nginx looks at the name in the handshake


def bare(stack: ExitStack, root: Path, data: bytes) -> Secure:
    """An nginx that has `data` as the file `/300`."""
    (root / "files").mkdir(parents=True)
    (root / "files" / "300").write_bytes(data)
    pem, key = certificate(root)
    port = free_port()
    user = "user root;" if root.stat().st_uid == 0 else ""
    configuration = root / "nginx.conf"
    configuration.write_text(_BARE.format(root=root, port=port, pem=pem, key=key, user=user), encoding="utf-8")
    program = "/usr/sbin/nginx"
    service = Service(
        "bare",
        command=[program, "-p", str(root), "-e", "stderr", "-c", str(configuration)],
        directory=root,
        ready=lambda: accepts(port),
    )
    stack.enter_context(running(service))
    return secure(service, port)


def main(argv: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="behind_nginx", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of one server in one round")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    print(machine())
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        report(measure(stack, root, rounds=options.rounds, seconds=options.seconds))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        report_originals(measure_originals(stack, root, rounds=options.rounds, seconds=options.seconds))


def measure(stack: ExitStack, root: Path, *, rounds: int, seconds: float) -> dict[str, list[Load]]:
    """Start everything and load it in turn."""
    kept_by, path, thumbnail = proxied(stack, root / "lease", PROXY_CACHE_SECONDS="1")
    passed_by, other, _ = proxied(stack, root / "plain")
    alone = stack.enter_context(chitram(root / "alone"))
    own = put(alone)
    cases = {
        "nginx with the file (limit)": (bare(stack, root / "bare", thumbnail), "/300"),
        "nginx with a lease": (kept_by, path),
        "nginx without": (passed_by, other),
        "our server, without TLS": (alone, own),
    }
    loads: dict[str, list[Load]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (server, asked) in cases.items():
            loads[name].append(wrk(server, asked, seconds=seconds, connections=16, headers=host(name)))
    return loads


def measure_originals(stack: ExitStack, root: Path, *, rounds: int, seconds: float) -> dict[str, list[Load]]:
    """The same of an original."""
    sent_by, path, original = proxied(stack, root / "accel", picture=PHOTOGRAPH, X_ACCEL_PREFIX="/_blobs/")
    passed_by, other, _ = proxied(stack, root / "plain", picture=PHOTOGRAPH)
    cases = {
        "nginx with the file (limit)": (bare(stack, root / "bare", original), "/300"),
        "nginx from our store": (sent_by, path),
        "through nginx from us": (passed_by, other),
    }
    loads: dict[str, list[Load]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (server, asked) in cases.items():
            named = {} if "limit" in name else {"Host": "localhost"}
            loads[name].append(wrk(server, asked, seconds=seconds, connections=16, headers=named))
    return loads


def proxied(
    stack: ExitStack, directory: Path, *, picture: float | None = None, **settings: str
) -> tuple[Secure, str, bytes]:
    """A server behind the delivered nginx, and the path and the bytes of a thumbnail, or of an original of so many
    megapixels.
    """
    server = stack.enter_context(chitram(directory, TRUSTED_PROXIES="127.0.0.1", **settings))
    path = put(server) if picture is None else put(server, megapixels=picture, of="url")
    data = fetch(server.url + path)
    # Whoever asks so often from one address is refused otherwise, which is not what is measured.
    front: Nginx = nginx(directory, upstream=server.port, storage=directory / "data" / "storage")
    stack.enter_context(running(front.service))
    return secure(front.service, front.https_port), path, data


def secure(service: Service, port: int) -> Secure:
    """The service, as wrk and the counting of CPU time know servers."""
    assert service.process is not None
    return Secure(port, service.process.pid)


def put(server: Running, *, megapixels: float = 2, of: str = "thumbnails") -> str:
    """The path of the original, or of the thumbnail of 300 pixels, of a new public image."""
    with connect(server) as connection:
        status, answer = upload(connection, generated(megapixels=megapixels), visibility="public")
    assert status == 201, answer
    return urlsplit(answer["url"] if of == "url" else answer["thumbnails"]["300"]).path


def host(name: str) -> dict[str, str]:
    """The name that the delivered configuration answers to."""
    return {"Host": "localhost"} if name.startswith("nginx with a") or name == "nginx without" else {}


def report(loads: dict[str, list[Load]]) -> None:
    """Print the figures and their ratios."""
    print(load_table(loads))
    limit, lease, plain, ours = ([load.rate for load in found] for found in loads.values())
    print(f"with a lease, of the limit: {verdict(ratio(lease, limit), at_least=TARGET)}")
    print(f"with a lease {ratio(lease, plain):.1f} times as without, {ratio(lease, ours):.1f} times our server alone")


def report_originals(loads: dict[str, list[Load]]) -> None:
    """Print the figures and their ratios."""
    print(load_table(loads))
    limit, sent, passed = ([load.rate for load in found] for found in loads.values())
    print(f"sent by nginx, of the limit: {verdict(ratio(sent, limit), at_least=TARGET_OF_ORIGINALS)}")
    print(f"sent by nginx {ratio(sent, passed):.1f} times as through it")

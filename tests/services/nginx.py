"""A real nginx with the configuration that is delivered, in front of a server on the loopback address."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.sources import ROOT
from tests.services.packages import SEARCH_PATH
from tests.services.processes import Service, accepts, free_port

TEMPLATE = ROOT / "deploy/nginx/chitram.conf.template"
NAME = "localhost"

_MAIN = """
daemon off;
load_module {brotli};
{user}
worker_processes 1;
pid {root}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    include {types};
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    include {root}/chitram.conf;
}}
"""
_BROTLI = Path("/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so")
_TYPES = "types { text/html html; }\n"


def placeholders(template: str) -> set[str]:
    """The names that the template wants replaced."""
    return set(re.findall(r"\$\{([A-Z_]+)\}", template))


def render(template: str, values: dict[str, str]) -> str:
    """What `envsubst` makes of the template. KeyError for a name without a value."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda match: values[match.group(1)], template)


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for NAME, signed by itself, and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@dataclass(frozen=True, slots=True)
class Nginx:
    """A proxy that was set up. `service` starts and stops it."""

    service: Service
    http_port: int
    https_port: int
    certificate: Path
    cache: Path
    access_log: Path

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.https_port}"


def nginx(
    directory: Path,
    *,
    upstream: int,
    storage: Path,
    body_limit: str = "6m",
    instead: Mapping[str, str] | None = None,
) -> Nginx:
    """The delivered configuration before the server on port `upstream`, whose local store is at `storage`.

    `instead`: lines of the configuration, and what stands in their place, for times that a test cannot wait for.
    """
    root = directory / "nginx"
    root.mkdir()
    pem, key = certificate(root)
    http_port, https_port = free_port(), free_port()
    values = {
        "CHITRAM_UPSTREAM": f"127.0.0.1:{upstream}",
        "CHITRAM_STORAGE": str(storage),
        "CHITRAM_ACCEL_PREFIX": "/_blobs/",
        "CHITRAM_CACHE_DIR": str(root / "cache"),
        "CHITRAM_ACME_DIR": str(root),
        "CHITRAM_SERVER_NAME": NAME,
        "CHITRAM_HTTP_PORT": f"127.0.0.1:{http_port}",
        "CHITRAM_HTTPS_PORT": f"127.0.0.1:{https_port}",
        "CHITRAM_TLS_CERTIFICATE": str(pem),
        "CHITRAM_TLS_KEY": str(key),
        "CHITRAM_BODY_LIMIT": body_limit,
    }
    configuration = render(TEMPLATE.read_text(encoding="utf-8"), values).replace("/var/log/nginx/", f"{root}/")
    for line, other in (instead or {}).items():
        assert line in configuration, line
        configuration = configuration.replace(line, other)
    (root / "chitram.conf").write_text(configuration, encoding="utf-8")
    (root / "mime.types").write_text(_TYPES, encoding="ascii")
    shutil.copy(TEMPLATE.with_name("chitram-brotli.conf"), root)
    user = "user root;" if root.stat().st_uid == 0 else ""
    main = _MAIN.format(root=root, types=root / "mime.types", user=user, brotli=_BROTLI)
    (root / "nginx.conf").write_text(main, encoding="utf-8")
    program = shutil.which("nginx", path=SEARCH_PATH)
    assert program is not None, "nginx is missing: make packages"
    service = Service(
        "nginx",
        command=[program, "-p", str(root), "-e", "stderr", "-c", str(root / "nginx.conf")],
        directory=root,
        ready=lambda: accepts(https_port),
    )
    return Nginx(service, http_port, https_port, pem, root / "cache", root / "access.log")

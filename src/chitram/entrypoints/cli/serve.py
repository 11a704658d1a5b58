"""`chitram serve`: the server."""

import resource
import ssl
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from chitram.bootstrap import StartupError, check_start, prepare
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.entrypoints.support.protocol import guarded_protocol
from chitram.settings import Settings

#: In-flight uploads may finish after SIGTERM, in seconds.
DRAIN_SECONDS = 30
#: Open files that the process allows itself where the system lets it. A slow reader holds three, and the usual 1024
#: would be gone with the readers of one address.
OPEN_FILES = 65_536


def serve(
    host: Annotated[str, typer.Option(envvar="CHITRAM_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="CHITRAM_PORT", help="Port to listen on.", min=0, max=65535)] = 8000,
    workers: Annotated[
        int,
        typer.Option(envvar="CHITRAM_WORKERS", help="Server processes; more than one needs shared services.", min=1),
    ] = 1,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="TLS certificate chain (PEM).", exists=True, dir_okay=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Private key of the certificate (PEM).", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C, then let running uploads finish."""
    settings = settings_or_exit()
    if workers > 1 and not settings.is_shared:
        fail("--workers: more than one needs PostgreSQL (DATABASE_URL) and Redis (REDIS_URL); run one worker.")
    if workers > 1 and settings.app.metrics_bind:
        fail("--workers: METRICS_BIND is one port, which serves one process; unset it, or run one worker.")
    if (tls_certificate is None) is not (tls_key is None):
        fail("--tls-certificate and --tls-key belong together.")
    if tls_certificate is not None and tls_key is not None:
        _require_pair(tls_certificate, tls_key)
    try:
        prepare(settings)
        check_start(settings)
    except StartupError as error:
        fail(str(error), status=1)
    _raise_file_limit()
    _run(settings, host=host, port=port, workers=workers, tls_certificate=tls_certificate, tls_key=tls_key)


def _require_pair(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # what is wrong with their contents is one too
        fail(
            f"--tls-certificate, --tls-key: {certificate} and {key} cannot be used: {error}."
            " They must be a certificate and its own private key, both PEM."
        )


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _run(
    settings: Settings, *, host: str, port: int, workers: int, tls_certificate: Path | None, tls_key: Path | None
) -> None:
    uvicorn.run(
        "chitram.entrypoints.asgi:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
        loop="uvloop",
        http=guarded_protocol(
            per_address=settings.app.connections_per_address,
            exempt=settings.app.trusted_proxies,
            head_timeout=settings.app.head_timeout,
        ),
        ws="none",
        # The edge writes the access log, adds the headers and decides which proxies are to be believed.
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )

"""`/health`, `/health/live`, `/health/ready` and `/metrics`."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from chitram import __version__
from chitram.domain.errors import NotFound
from chitram.entrypoints.support.wiring import wired
from chitram.services.health import Report, Status

router = APIRouter(tags=["health"])

Connection = Literal["connected", "disconnected"]


class HealthResponse(BaseModel):
    """The state of the service and of each of its parts."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    environment: str
    database: Connection
    storage: Connection
    storage_backend: str
    cache: Literal["connected", "disconnected", "disabled"]
    cache_backend: str
    rate_limiter: Literal["enabled", "disabled"]
    rate_limiter_backend: str = Field(description="Where requests are counted; memory while Redis is away.")
    upload_concurrency: str = Field(description="How many uploads hold a place, as `active/limit active`.")


class LiveResponse(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class ReadyResponse(BaseModel):
    """Whether this process should be sent requests, and why not."""

    status: Literal["ready", "degraded", "not ready"]
    checks: dict[str, str]


@router.get(
    "/health",
    summary="The service and each of its parts",
    responses={503: {"model": HealthResponse, "description": "Database or storage is down."}},
)
async def health(request: Request) -> JSONResponse:
    """The state of the service and of each of its parts."""
    application = wired(request)
    report = await application.health.report()
    body = HealthResponse(
        status=report.status.value,
        version=__version__,
        environment=application.settings.app.env,
        database=_connection(report.database),
        storage=_connection(report.storage),
        storage_backend=application.blobs.name,
        cache=_cache(report),
        cache_backend=application.cache.backend,
        rate_limiter="enabled" if application.settings.limits.enabled else "disabled",
        rate_limiter_backend=application.limiter.backend,
        upload_concurrency=f"{application.admission.active}/{application.admission.policy.slots} active",
    )
    return _uncached(body, status=503 if report.status is Status.UNHEALTHY else 200)


@router.get("/health/live", summary="Does the process answer?", response_model=LiveResponse)
async def live() -> JSONResponse:
    """Whether the process answers at all; looks at nothing else."""
    return _uncached(LiveResponse(), status=200)


@router.get(
    "/health/ready",
    summary="Should it be sent requests?",
    responses={503: {"model": ReadyResponse, "description": "Send requests elsewhere."}},
)
async def ready(request: Request) -> JSONResponse:
    """Whether this process should be sent requests."""
    application = wired(request)
    report = await application.health.report()
    checks = {
        "database": _connection(report.database),
        "storage": _connection(report.storage),
        "cache": _cache(report),
        "jobs": "running" if report.jobs else "stopped",
    }
    if report.status is Status.UNHEALTHY:
        return _uncached(ReadyResponse(status="not ready", checks=checks), status=503)
    state: Literal["ready", "degraded"] = "ready" if report.status is Status.HEALTHY else "degraded"
    return _uncached(ReadyResponse(status=state, checks=checks), status=200)


@router.get(
    "/metrics", summary="Prometheus metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def metrics(request: Request) -> Response:
    """Prometheus metrics; elsewhere when METRICS_BIND names another address."""
    application = wired(request)
    if application.settings.app.metrics_bind:
        raise NotFound
    content_type, body = application.metrics.render(request.headers.get("accept"))
    return Response(body, media_type=content_type, headers={"Cache-Control": "no-store"})


def _connection(up: bool) -> Connection:
    return "connected" if up else "disconnected"


def _cache(report: Report) -> Literal["connected", "disconnected", "disabled"]:
    return "disabled" if report.cache is None else _connection(report.cache)


def _uncached(body: BaseModel, *, status: int) -> JSONResponse:
    return JSONResponse(body.model_dump(), status_code=status, headers={"Cache-Control": "no-store"})

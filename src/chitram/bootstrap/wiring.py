"""Services on their foundation."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from chitram.adapters.jobs.embedded import EmbeddedRunner
from chitram.adapters.jobs.execution import Handler
from chitram.adapters.jobs.sweeping import Sweep
from chitram.adapters.memory.cache import MemoryByteCache
from chitram.adapters.observed import ObservedByteCache
from chitram.bootstrap import account_services
from chitram.bootstrap.decoding import budget_of
from chitram.bootstrap.foundation import Foundation
from chitram.bootstrap.working import Dispatch, embedded, make_runner, make_sweeps
from chitram.domain.jobs import JobKind
from chitram.domain.media import FORMATS
from chitram.observability import Metrics
from chitram.ports.audit import Audit
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.jobs import JobSignal
from chitram.ports.limiter import Limiter
from chitram.ports.unit_of_work import Database
from chitram.services.accounts import Accounts
from chitram.services.administration import Administration
from chitram.services.admission import Admission, AdmissionPolicy
from chitram.services.api_tokens import ApiTokens
from chitram.services.authentication import Authentication
from chitram.services.collection import Collector
from chitram.services.doctor import Doctor
from chitram.services.erasure import Erasure
from chitram.services.health import Health
from chitram.services.images import Images
from chitram.services.integrity import Integrity
from chitram.services.jobs import Jobs
from chitram.services.ownership import Ownership
from chitram.services.sessions import Sessions
from chitram.services.throttle import Throttle
from chitram.services.thumbnails import Thumbnails
from chitram.services.uploads import UploadPolicy, Uploads
from chitram.settings import MEBIBYTE, Settings

#: Thumbnails over this are served from the disk; a few large ones must not drive out thousands of small ones.
MAX_CACHED_THUMBNAIL = 128 * 1024
#: An upload that is repeated after its server died waits at most this long.
HOLD = timedelta(seconds=30)


@dataclass(slots=True)
class Application:
    """The wired service. Entry points pick what they need and decide nothing."""

    settings: Settings
    metrics: Metrics
    clock: Clock
    secrets: tuple[bytes, ...]
    blobs: BlobStore
    cache: RecordCache
    limiter: Limiter
    audit: Audit
    throttle: Throttle
    admission: Admission
    authentication: Authentication
    accounts: Accounts
    sessions: Sessions
    api_tokens: ApiTokens
    administration: Administration
    ownership: Ownership
    uploads: Uploads
    images: Images
    thumbnails: Thumbnails
    integrity: Integrity
    collector: Collector
    doctor: Doctor
    erasure: Erasure
    jobs: Jobs
    health: Health
    handlers: Mapping[JobKind, Handler]
    sweeps: tuple[Sweep, ...]
    runner: EmbeddedRunner


def wire(found: Foundation, dispatch: Dispatch | None = None) -> Application:
    """Every service on its foundation. Nothing runs yet. Jobs are for this process unless `dispatch` says otherwise."""
    dispatch = dispatch or embedded()
    signal = dispatch.signal
    thumbnails, images = _thumbnails(found, signal), _images(found, signal)
    integrity, collector, admission = _integrity(found), _collector(found), _admission(found)
    authentication, sessions = account_services.authentication(found), account_services.sessions(found)
    runs = _sweeps(found, thumbnails=thumbnails, integrity=integrity, collector=collector)
    sweeps = make_sweeps(found, {**runs, "uses": authentication.flush_uses, "expired": sessions.sweep})
    handlers: dict[JobKind, Handler] = {JobKind.RENDER: thumbnails.render, JobKind.INVALIDATE: images.invalidate}
    runner = make_runner(found, dispatch, handlers=handlers, sweeps=sweeps)
    return Application(
        settings=found.settings,
        metrics=found.metrics,
        clock=found.clock,
        secrets=found.secrets,
        blobs=found.blobs,
        cache=found.cache,
        limiter=found.limiter,
        audit=found.audit,
        throttle=account_services.throttle(found),
        admission=admission,
        authentication=authentication,
        accounts=account_services.accounts(found, signal),
        sessions=sessions,
        api_tokens=account_services.api_tokens(found),
        administration=account_services.administration(found),
        ownership=account_services.ownership(found, signal),
        uploads=_uploads(found, signal),
        images=images,
        thumbnails=thumbnails,
        integrity=integrity,
        collector=collector,
        erasure=Erasure(database=found.database, blobs=found.blobs, cache=found.cache),
        doctor=Doctor(database=found.database, blobs=found.blobs, clock=found.clock),
        jobs=Jobs(database=found.database, signal=signal, clock=found.clock),
        health=_health(found, admission, lambda: runner.alive() and dispatch.worker_answers()),
        handlers=handlers,
        sweeps=sweeps,
        runner=runner,
    )


def _thumbnails(found: Foundation, signal: JobSignal) -> Thumbnails:
    cache = MemoryByteCache(
        max_bytes=found.settings.cache.thumbnail_mb * MEBIBYTE, max_object_bytes=MAX_CACHED_THUMBNAIL
    )
    metrics = found.metrics
    memory = ObservedByteCache(cache, count=lambda result: metrics.thumbnail_cache_asked(hit=result == "hit"))
    return Thumbnails(
        # What is stored was accepted once; settings of today must not make it undecodable.
        budget=replace(budget_of(found.settings), content_types=frozenset(FORMATS)),
        database=found.database,
        blobs=found.blobs,
        staging=found.staging,
        codec=found.codec,
        records=found.cache,
        memory=memory,
        signal=signal,
        clock=found.clock,
    )


def _images(found: Foundation, signal: JobSignal) -> Images:
    return Images(
        database=found.database,
        lookup=found.lookup,
        cache=found.caches,
        blobs=found.blobs,
        signal=signal,
        audit=found.audit,
        clock=found.clock,
    )


def _integrity(found: Foundation) -> Integrity:
    return Integrity(
        interval=timedelta(days=found.settings.housekeeping.scrub_days),
        database=found.database,
        lookup=found.lookup,
        blobs=found.blobs,
        records=found.cache,
        clock=found.clock,
    )


def _collector(found: Foundation) -> Collector:
    return Collector(
        grace=timedelta(seconds=found.settings.housekeeping.collect_grace_seconds),
        database=found.database,
        blobs=found.blobs,
        staging=found.staging,
        clock=found.clock,
    )


def _health(found: Foundation, admission: Admission, jobs_alive: Callable[[], bool]) -> Health:
    return Health(
        database=found.database,
        blobs=found.blobs,
        cache=found.cache,
        require_room=admission.require_room,
        # A read-only server rests its runner on purpose.
        jobs_alive=(lambda: True) if found.settings.app.read_only else jobs_alive,
        clock=found.clock,
    )


def _sweeps(
    found: Foundation, *, thumbnails: Thumbnails, integrity: Integrity, collector: Collector
) -> dict[str, Callable[[], Awaitable[int]]]:
    return {
        "collect": collector.collect,
        "backfill": thumbnails.backfill,
        "scrub": integrity.scrub,
        "staging": collector.clear_staging,
        "orphans": collector.erase_orphans,
        "census": _census(found.database, found.metrics),
    }


def _census(database: Database, metrics: Metrics) -> Callable[[], Awaitable[int]]:
    """The gauges of everything that a queue could lose."""

    async def count() -> int:
        async with database.read() as repositories:
            blobs = await repositories.blobs.counts()
            metrics.set_jobs({state.value: number for state, number in (await repositories.jobs.counts()).items()})
        states = ("live", "condemned", "erasing", "without_thumbnails", "broken", "corrupt", "never_verified")
        metrics.set_blobs({state: getattr(blobs, state) for state in states}, live_bytes=blobs.bytes)
        return 0

    return count


def _admission(found: Foundation) -> Admission:
    uploads = found.settings.uploads
    policy = AdmissionPolicy(
        anonymous=uploads.anonymous,
        quota=account_services.quota(found.settings),
        slots=uploads.concurrency_limit,
        per_address=uploads.concurrency_per_address,
        patience=uploads.concurrency_timeout,
        reserve=found.settings.storage.reserve_mb * MEBIBYTE,
        max_file_size=uploads.max_file_size,
    )
    return Admission(policy, staging=found.staging)


def _uploads(found: Foundation, signal: JobSignal) -> Uploads:
    uploads = found.settings.uploads
    policy = UploadPolicy(
        budget=budget_of(found.settings),
        default_visibility=uploads.default_visibility,
        render_inline=found.settings.render_inline,
        quota=account_services.quota(found.settings),
        hold_for=HOLD,
    )
    return Uploads(
        policy,
        secrets=found.secrets,
        database=found.database,
        blobs=found.blobs,
        staging=found.staging,
        codec=found.codec,
        cache=found.caches,
        signal=signal,
        clock=found.clock,
        identifiers=found.identifiers,
    )

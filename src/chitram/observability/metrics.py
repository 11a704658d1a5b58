"""What this server counts and measures, for Prometheus."""

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from chitram import __version__
from chitram.observability import descriptions as described
from chitram.observability.codec_figures import CodecCollector, CodecStats
from chitram.observability.descriptions import MetricDescription
from chitram.observability.hot_figures import HotFigures

#: Seconds.
_STORAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one application, in a registry of their own. Methods are cheap and never raise for odd labels."""

    def __init__(self, *, version: str = __version__, now: Callable[[], float] = time.time) -> None:
        # Otherwise every counter and histogram is exported twice, the second time with its date of birth.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self._now = now
        #: Changed by the edge alone, on the event loop, so it needs no lock.
        self.requests_in_flight = 0
        self._hot = HotFigures(
            requests=described.REQUESTS,
            seconds=described.REQUEST_SECONDS,
            thumbnail_cache=described.THUMBNAIL_CACHE,
            record_cache=described.RECORD_CACHE,
        )
        self.registry.register(self._hot)
        self._gauge(described.IN_FLIGHT).set_function(lambda: float(self.requests_in_flight))
        self._uploads = self._counter(described.UPLOADS)
        self._upload_bytes = self._counter(described.UPLOAD_BYTES)
        self._jobs = self._gauge(described.JOBS)
        self._jobs_finished = self._counter(described.JOBS_FINISHED)
        self._messages = self._counter(described.MESSAGES)
        self._workers = self._gauge(described.WORKERS)
        self._blobs = self._gauge(described.BLOBS)
        self._blob_bytes = self._gauge(described.BLOB_BYTES)
        self._sweeps = self._counter(described.SWEEPS)
        self._sweep_success = self._gauge(described.SWEEP_SUCCESS)
        self._sweep_repaired = self._counter(described.SWEEP_REPAIRED)
        self._after_commit = self._counter(described.AFTER_COMMIT)
        self._storage_seconds = self._histogram(described.STORAGE_SECONDS, buckets=_STORAGE_BUCKETS)
        self._storage_errors = self._counter(described.STORAGE_ERRORS)
        self._audit_events = self._counter(described.AUDIT_EVENTS)
        self._redis_errors = self._counter(described.REDIS_ERRORS)
        self._breaker_open = self._gauge(described.BREAKER_OPEN)
        self._limiter_fallback = self._gauge(described.LIMITER_FALLBACK)
        Info(described.BUILD.name.removesuffix("_info"), described.BUILD.help, registry=self.registry).info(
            {"version": version}
        )
        ProcessCollector(registry=self.registry)

    @staticmethod
    def describe() -> tuple[MetricDescription, ...]:
        """Every metric of ours, for documents and for checks of rules and dashboards."""
        return described.ALL

    def render(self, accept: str | None) -> tuple[str, bytes]:
        """Content type and body of a scrape, in the format that `accept` asks for."""
        encode, content_type = choose_encoder(accept or "")
        body: bytes = encode(self.registry)
        return content_type, body

    def request_answered(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request. `route` is a template and `method` a known one, so that labels stay few."""
        self._hot.request_answered(route, method, status, seconds)

    def upload_finished(self, size: int) -> None:
        """Count an upload of `size` bytes that was answered with a new image."""
        self._uploads.labels("created").inc()
        self._upload_bytes.inc(size)

    def upload_refused(self, code: str) -> None:
        """Count an upload that ended in the error `code`."""
        self._uploads.labels(code).inc()

    def watch_codec(self, stats: Callable[[], CodecStats]) -> None:
        """Export what the decode sandbox counts itself. `stats` is called at each scrape."""
        self.registry.register(CodecCollector(stats))

    def thumbnail_cache_asked(self, *, hit: bool) -> None:
        self._hot.thumbnail_cache[hit] += 1

    def record_cache_asked(self, *, hit: bool) -> None:
        self._hot.record_cache[hit] += 1

    def set_jobs(self, counts: Mapping[str, int]) -> None:
        """Jobs by state; a state that is not named keeps its last value."""
        _set_all(self._jobs, counts.items())

    def job_finished(self, kind: str, outcome: str) -> None:
        """Count one run of a job."""
        self._jobs_finished.labels(kind, outcome).inc()

    def jobs_announced(self, count: int) -> None:
        """Count calls to workers that the broker has taken."""
        self._messages.labels("sent").inc(count)

    def announcement_failed(self) -> None:
        """Count a call that the broker did not take; it is tried again."""
        self._messages.labels("failed").inc()

    def worker_asked(self, *, answered: bool) -> None:
        """Whether any worker answered."""
        self._workers.labels("answering").set(answered)

    def set_blobs(self, counts: Mapping[str, int], *, live_bytes: int) -> None:
        """Stored files by state, and how many bytes the live ones have."""
        _set_all(self._blobs, counts.items())
        self._blob_bytes.set(live_bytes)

    def sweep_finished(self, name: str, found: int | None) -> None:
        """Count a run of a sweep; `found` is None when it failed."""
        self._sweeps.labels(name, "failed" if found is None else "ok").inc()
        if found is not None:
            self._sweep_success.labels(name).set(self._now())
            self._sweep_repaired.labels(name).inc(found)

    def effect_failed(self, _error: BaseException) -> None:
        """Count an effect of a committed transaction that failed."""
        self._after_commit.inc()

    def storage_operated(self, operation: str, *, seconds: float, failed: bool) -> None:
        self._storage_seconds.labels(operation).observe(seconds)
        if failed:
            self._storage_errors.labels(operation).inc()

    def audit_recorded(self, action: str, outcome: str) -> None:
        """Count one event of the audit log."""
        self._audit_events.labels(action, outcome).inc()

    def redis_failed(self, reason: str) -> None:
        """Count one call of Redis that failed."""
        self._redis_errors.labels(reason).inc()

    def breaker_changed(self, dependency: str, state: str) -> None:
        """`state`: closed, open or half_open."""
        self._breaker_open.labels(dependency).set(0 if state == "closed" else 1)

    def limiter_fell_back(self, active: bool) -> None:
        """Whether rate limits are counted by this process alone."""
        self._limiter_fallback.set(1 if active else 0)

    def _counter(self, metric: MetricDescription) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: MetricDescription) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: MetricDescription, *, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=buckets)


def _set_all(gauge: Gauge, counts: Iterable[tuple[str, int]]) -> None:
    for state, count in counts:
        gauge.labels(state).set(count)

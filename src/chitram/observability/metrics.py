"""What this server counts and measures, for Prometheus."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

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
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chitram import __version__
from chitram.observability.hot_figures import HotFigures

#: Seconds.
_STORAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """A metric as it is exported. `help` is a sentence."""

    name: str
    type: Kind
    labels: tuple[str, ...]
    help: str


def _describe(name: str, kind: Kind, text: str, *labels: str) -> MetricDescription:
    return MetricDescription(f"chitram_{name}", kind, labels, text)


_REQUESTS = _describe("http_requests_total", "counter", "Requests answered.", "route", "method", "status")
_REQUEST_SECONDS = _describe(
    "http_request_duration_seconds", "histogram", "Time from a request's head to the end of its answer.", "route"
)
_IN_FLIGHT = _describe("http_requests_in_flight", "gauge", "Requests being answered now.")
_UPLOADS = _describe(
    "uploads_total", "counter", "Uploads by their result: created, or the code of the error.", "result"
)
_UPLOAD_BYTES = _describe("upload_bytes_total", "counter", "Bytes of the files of accepted uploads.")
_DECODES = _describe("decodes_total", "counter", "Decode requests by outcome: done, crash, timeout.", "outcome")
_DECODERS = _describe("decoder_processes", "gauge", "Processes of the decode sandbox that exist.")
_DECODER_QUEUE = _describe("decoder_requests", "gauge", "Decode requests by state: busy, waiting.", "state")
_DECODER_RESTARTS = _describe(
    "decoder_restarts_total", "counter", "Processes of the decode sandbox that were replaced."
)
_THUMBNAIL_CACHE = _describe(
    "thumbnail_cache_requests_total", "counter", "Look-ups in the memory cache of thumbnails.", "result"
)
_RECORD_CACHE = _describe("record_cache_requests_total", "counter", "Look-ups in the cache of image records.", "result")
_JOBS = _describe("jobs", "gauge", "Jobs in the outbox by state.", "state")
_JOBS_FINISHED = _describe("jobs_finished_total", "counter", "Runs of jobs by outcome.", "kind", "outcome")
_MESSAGES = _describe(
    "job_messages_total", "counter", "Calls to workers through the broker, by outcome: sent, failed.", "outcome"
)
_WORKERS = _describe(
    "workers", "gauge", "With a broker: 1 when a worker answered the last question, 0 when none did.", "state"
)
_BLOBS = _describe("blobs", "gauge", "Stored files by state.", "state")
_BLOB_BYTES = _describe("blob_bytes", "gauge", "Bytes of all stored originals that are in use.")
_SWEEPS = _describe("sweep_runs_total", "counter", "Runs of each sweep by result: ok or failed.", "sweep", "result")
_SWEEP_SUCCESS = _describe(
    "sweep_last_success_timestamp_seconds", "gauge", "When each sweep last succeeded, in Unix time.", "sweep"
)
_SWEEP_REPAIRED = _describe("sweep_repaired_total", "counter", "What each sweep found and put right.", "sweep")
_AFTER_COMMIT = _describe(
    "after_commit_failures_total", "counter", "Effects of committed transactions that failed and were left to a sweep."
)
_STORAGE_SECONDS = _describe(
    "storage_operation_duration_seconds", "histogram", "Duration of operations on the image store.", "operation"
)
_STORAGE_ERRORS = _describe(
    "storage_operation_errors_total", "counter", "Operations on the image store that failed.", "operation"
)
_AUDIT_EVENTS = _describe(
    "audit_events_total",
    "counter",
    "Events of the audit log by outcome: done, refused; lost: those that could not be logged.",
    "action",
    "outcome",
)
_REDIS_ERRORS = _describe(
    "redis_errors_total", "counter", "Calls of Redis that failed: timeout, connection, refused.", "reason"
)
_BREAKER_OPEN = _describe(
    "breaker_open", "gauge", "Whether a service is left alone after failures: 1, and 0 while it is used.", "dependency"
)
_LIMITER_FALLBACK = _describe(
    "limiter_fallback_active", "gauge", "Whether rate limits are counted by this process alone while Redis is away."
)
_BUILD = _describe("build_info", "info", "The running version.", "version")

_ALL = (
    _REQUESTS,
    _REQUEST_SECONDS,
    _IN_FLIGHT,
    _UPLOADS,
    _UPLOAD_BYTES,
    _DECODES,
    _DECODERS,
    _DECODER_QUEUE,
    _DECODER_RESTARTS,
    _THUMBNAIL_CACHE,
    _RECORD_CACHE,
    _JOBS,
    _JOBS_FINISHED,
    _MESSAGES,
    _WORKERS,
    _BLOBS,
    _BLOB_BYTES,
    _SWEEPS,
    _SWEEP_SUCCESS,
    _SWEEP_REPAIRED,
    _AFTER_COMMIT,
    _STORAGE_SECONDS,
    _STORAGE_ERRORS,
    _AUDIT_EVENTS,
    _REDIS_ERRORS,
    _BREAKER_OPEN,
    _LIMITER_FALLBACK,
    _BUILD,
)


class CodecStats(Protocol):
    """What the decode sandbox knows of itself; all but the first three count since its start."""

    @property
    def workers(self) -> int: ...

    @property
    def busy(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def jobs(self) -> int: ...

    @property
    def crashes(self) -> int: ...

    @property
    def timeouts(self) -> int: ...

    @property
    def restarts(self) -> int: ...


class _CodecCollector(Collector):
    def __init__(self, stats: Callable[[], CodecStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        stats = self._stats()
        done = max(stats.jobs - stats.crashes - stats.timeouts, 0)
        decodes = CounterMetricFamily(_DECODES.name, _DECODES.help, labels=_DECODES.labels)
        for outcome, count in (("done", done), ("crash", stats.crashes), ("timeout", stats.timeouts)):
            decodes.add_metric([outcome], count)
        queue = GaugeMetricFamily(_DECODER_QUEUE.name, _DECODER_QUEUE.help, labels=_DECODER_QUEUE.labels)
        for state, count in (("busy", stats.busy), ("waiting", stats.waiting)):
            queue.add_metric([state], count)
        processes = GaugeMetricFamily(_DECODERS.name, _DECODERS.help, value=stats.workers)
        restarts = CounterMetricFamily(_DECODER_RESTARTS.name, _DECODER_RESTARTS.help, value=stats.restarts)
        return decodes, queue, processes, restarts


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
            requests=_REQUESTS, seconds=_REQUEST_SECONDS, thumbnail_cache=_THUMBNAIL_CACHE, record_cache=_RECORD_CACHE
        )
        self.registry.register(self._hot)
        self._gauge(_IN_FLIGHT).set_function(lambda: float(self.requests_in_flight))
        self._uploads = self._counter(_UPLOADS)
        self._upload_bytes = self._counter(_UPLOAD_BYTES)
        self._jobs = self._gauge(_JOBS)
        self._jobs_finished = self._counter(_JOBS_FINISHED)
        self._messages = self._counter(_MESSAGES)
        self._workers = self._gauge(_WORKERS)
        self._blobs = self._gauge(_BLOBS)
        self._blob_bytes = self._gauge(_BLOB_BYTES)
        self._sweeps = self._counter(_SWEEPS)
        self._sweep_success = self._gauge(_SWEEP_SUCCESS)
        self._sweep_repaired = self._counter(_SWEEP_REPAIRED)
        self._after_commit = self._counter(_AFTER_COMMIT)
        self._storage_seconds = self._histogram(_STORAGE_SECONDS, buckets=_STORAGE_BUCKETS)
        self._storage_errors = self._counter(_STORAGE_ERRORS)
        self._audit_events = self._counter(_AUDIT_EVENTS)
        self._redis_errors = self._counter(_REDIS_ERRORS)
        self._breaker_open = self._gauge(_BREAKER_OPEN)
        self._limiter_fallback = self._gauge(_LIMITER_FALLBACK)
        Info(_BUILD.name.removesuffix("_info"), _BUILD.help, registry=self.registry).info({"version": version})
        ProcessCollector(registry=self.registry)

    @staticmethod
    def describe() -> tuple[MetricDescription, ...]:
        """Every metric of ours, for documents and for checks of rules and dashboards."""
        return _ALL

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
        self.registry.register(_CodecCollector(stats))

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

    def _counter(self, described: MetricDescription) -> Counter:
        return Counter(described.name, described.help, described.labels, registry=self.registry)

    def _gauge(self, described: MetricDescription) -> Gauge:
        return Gauge(described.name, described.help, described.labels, registry=self.registry)

    def _histogram(self, described: MetricDescription, *, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(described.name, described.help, described.labels, registry=self.registry, buckets=buckets)


def _set_all(gauge: Gauge, counts: Iterable[tuple[str, int]]) -> None:
    for state, count in counts:
        gauge.labels(state).set(count)

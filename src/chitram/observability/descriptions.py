"""Every metric of ours: its name, its kind, its labels, and a sentence."""

from dataclasses import dataclass
from typing import Literal

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


REQUESTS = _describe("http_requests_total", "counter", "Requests answered.", "route", "method", "status")
REQUEST_SECONDS = _describe(
    "http_request_duration_seconds", "histogram", "Time from a request's head to the end of its answer.", "route"
)
IN_FLIGHT = _describe("http_requests_in_flight", "gauge", "Requests being answered now.")
UPLOADS = _describe("uploads_total", "counter", "Uploads by their result: created, or the code of the error.", "result")
UPLOAD_BYTES = _describe("upload_bytes_total", "counter", "Bytes of the files of accepted uploads.")
DECODES = _describe("decodes_total", "counter", "Decode requests by outcome: done, crash, timeout.", "outcome")
DECODERS = _describe("decoder_processes", "gauge", "Processes of the decode sandbox that exist.")
DECODER_QUEUE = _describe("decoder_requests", "gauge", "Decode requests by state: busy, waiting.", "state")
DECODER_RESTARTS = _describe("decoder_restarts_total", "counter", "Processes of the decode sandbox that were replaced.")
THUMBNAIL_CACHE = _describe(
    "thumbnail_cache_requests_total", "counter", "Look-ups in the memory cache of thumbnails.", "result"
)
RECORD_CACHE = _describe("record_cache_requests_total", "counter", "Look-ups in the cache of image records.", "result")
JOBS = _describe("jobs", "gauge", "Jobs in the outbox by state.", "state")
JOBS_FINISHED = _describe("jobs_finished_total", "counter", "Runs of jobs by outcome.", "kind", "outcome")
MESSAGES = _describe(
    "job_messages_total", "counter", "Calls to workers through the broker, by outcome: sent, failed.", "outcome"
)
WORKERS = _describe(
    "workers", "gauge", "With a broker: 1 when a worker answered the last question, 0 when none did.", "state"
)
BLOBS = _describe("blobs", "gauge", "Stored files by state.", "state")
BLOB_BYTES = _describe("blob_bytes", "gauge", "Bytes of all stored originals that are in use.")
SWEEPS = _describe("sweep_runs_total", "counter", "Runs of each sweep by result: ok or failed.", "sweep", "result")
SWEEP_SUCCESS = _describe(
    "sweep_last_success_timestamp_seconds", "gauge", "When each sweep last succeeded, in Unix time.", "sweep"
)
SWEEP_REPAIRED = _describe("sweep_repaired_total", "counter", "What each sweep found and put right.", "sweep")
AFTER_COMMIT = _describe(
    "after_commit_failures_total", "counter", "Effects of committed transactions that failed and were left to a sweep."
)
STORAGE_SECONDS = _describe(
    "storage_operation_duration_seconds", "histogram", "Duration of operations on the image store.", "operation"
)
STORAGE_ERRORS = _describe(
    "storage_operation_errors_total", "counter", "Operations on the image store that failed.", "operation"
)
AUDIT_EVENTS = _describe(
    "audit_events_total",
    "counter",
    "Events of the audit log by outcome: done, refused; lost: those that could not be logged.",
    "action",
    "outcome",
)
REDIS_ERRORS = _describe(
    "redis_errors_total", "counter", "Calls of Redis that failed: timeout, connection, refused.", "reason"
)
BREAKER_OPEN = _describe(
    "breaker_open", "gauge", "Whether a service is left alone after failures: 1, and 0 while it is used.", "dependency"
)
LIMITER_FALLBACK = _describe(
    "limiter_fallback_active", "gauge", "Whether rate limits are counted by this process alone while Redis is away."
)
BUILD = _describe("build_info", "info", "The running version.", "version")

ALL = (
    REQUESTS,
    REQUEST_SECONDS,
    IN_FLIGHT,
    UPLOADS,
    UPLOAD_BYTES,
    DECODES,
    DECODERS,
    DECODER_QUEUE,
    DECODER_RESTARTS,
    THUMBNAIL_CACHE,
    RECORD_CACHE,
    JOBS,
    JOBS_FINISHED,
    MESSAGES,
    WORKERS,
    BLOBS,
    BLOB_BYTES,
    SWEEPS,
    SWEEP_SUCCESS,
    SWEEP_REPAIRED,
    AFTER_COMMIT,
    STORAGE_SECONDS,
    STORAGE_ERRORS,
    AUDIT_EVENTS,
    REDIS_ERRORS,
    BREAKER_OPEN,
    LIMITER_FALLBACK,
    BUILD,
)

"""Jobs: work that was promised in the same transaction as the change that made it necessary."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_ATTEMPTS = 8
BACKOFF_BASE = timedelta(seconds=2)
BACKOFF_LIMIT = timedelta(minutes=15)


class JobKind(StrEnum):
    RENDER = "render"  # decode pass of a blob: thumbnails, perceptual hash, placeholder. Payload: blob_id
    INVALIDATE = "invalidate"  # drop cached records. Payload: image_ids


RENDER_KEY_PREFIX = "render:"


def render_key(blob_id: int) -> str:
    """The key of a blob's decode pass: one at a time waits, or was given up."""
    return f"{RENDER_KEY_PREFIX}{blob_id}"


class JobState(StrEnum):
    """READY jobs wait for `run_at`; RUNNING ones are leased; DEAD ones wait for an operator. Finished ones are gone."""

    READY = "ready"
    RUNNING = "running"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job for the outbox. `payload` must be plain JSON. It is not added while one with its `key` waits or is dead."""

    kind: JobKind
    payload: Mapping[str, object]
    run_at: datetime
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    kind: JobKind
    payload: Mapping[str, object]
    state: JobState
    attempts: int
    run_at: datetime
    created_at: datetime
    lease_until: datetime | None
    last_error: str | None


def backoff(attempts: int, *, jitter: float) -> timedelta:
    """The wait after the `attempts`-th failure: exponential, capped, scaled by `jitter` in [0, 1) to 50–100 %."""
    whole = min(BACKOFF_BASE * float(2 ** min(attempts - 1, 20)), BACKOFF_LIMIT)
    return whole * (0.5 + jitter / 2)

"""Rate limits of routes."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from chitram.domain.access import Viewer
from chitram.domain.errors import InvalidDeleteToken, RateLimitExceeded
from chitram.entrypoints.support.asgi import CLIENT, add_reply_headers
from chitram.entrypoints.support.rate_limits import rate_limit_fields
from chitram.entrypoints.support.refusals import record_limited
from chitram.entrypoints.support.wiring import wired
from chitram.ports.limiter import Verdict


async def count(request: Request, budget: str, *, viewer: Viewer) -> None:
    """Count the request against the viewer's budget, and say on the answer what is left. RateLimitExceeded."""
    _require(request, await wired(request).throttle.count(budget, viewer=viewer))


async def count_attempt(request: Request, *, email: str | None = None, viewer: Viewer | None = None) -> None:
    """Count what a password could be guessed with, or an account be made, before that costs us. RateLimitExceeded.

    `email` of the account that somebody wants to get into, or the `viewer` who confirms their own password.
    """
    throttle = wired(request).throttle
    verdict = await throttle.attempt(address=request.scope[CLIENT], email=email, viewer=viewer)
    _require_attempt(request, verdict)


@asynccontextmanager
async def guessing(request: Request, viewer: Viewer) -> AsyncIterator[None]:
    """Let the viewer show a delete token, unless too many of theirs were wrong. RateLimitExceeded."""
    throttle = wired(request).throttle
    verdict = await throttle.require_guesses(viewer)
    if not verdict.allowed:
        _require_attempt(request, verdict)
    try:
        yield
    except InvalidDeleteToken:
        await throttle.guessed_wrong(viewer)
        raise


def _require_attempt(request: Request, verdict: Verdict) -> None:
    if not verdict.allowed:
        record_limited(request.scope, audit=wired(request).audit)
    _require(request, verdict)


def _require(request: Request, verdict: Verdict) -> None:
    if wired(request).settings.limits.enabled:
        add_reply_headers(request.scope, rate_limit_fields(verdict))
    if not verdict.allowed:
        seconds = max(1, math.ceil(verdict.retry_after))
        raise RateLimitExceeded(f"Too many requests. Try again in {seconds} s.", retry_after=verdict.retry_after)

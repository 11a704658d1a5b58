"""`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""

import math

from chitram.entrypoints.support.asgi import Headers
from chitram.ports.limiter import Verdict


def rate_limit_fields(verdict: Verdict) -> Headers:
    """The two fields that say how much of the budget is left, and for how many seconds."""
    rate = verdict.rate
    return [
        (b"ratelimit-policy", f'"{rate.name}";q={rate.limit};w={rate.window}'.encode()),
        (b"ratelimit", f'"{rate.name}";r={verdict.remaining};t={math.ceil(verdict.reset)}'.encode()),
    ]

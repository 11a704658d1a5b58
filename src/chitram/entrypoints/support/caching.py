"""What may be kept by whom for how long."""

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from chitram.domain.images import Visibility

IMMUTABLE = b"public, max-age=31536000, immutable"
BARE = b"public, max-age=300"
PRIVATE = b"private, no-store"
#: For answers that may change at any moment: kept, but asked about each time.
REVALIDATE = b"no-cache"


def cache_control(visibility: Visibility, *, version: str, requested: str | None) -> bytes:
    """Cache-Control of an image's bytes. `requested` is the content version in the query, `v`, if any."""
    if visibility is Visibility.PRIVATE:
        return PRIVATE
    return IMMUTABLE if requested == version else BARE


@lru_cache(maxsize=8192)
def http_date(moment: datetime) -> bytes:
    """`moment` as HTTP writes dates; parts of a second are dropped."""
    return format_datetime(moment.astimezone(UTC), usegmt=True).encode("ascii")

"""Links by which clients fetch stored bytes from the store itself."""

from datetime import timedelta
from typing import Protocol


class DirectLinks(Protocol):
    @property
    def origin(self) -> str:
        """Scheme, host and port that the links lead to."""
        ...

    async def signed_url(
        self, key: str, *, expires: timedelta, content_type: str, disposition: str, cache_control: str
    ) -> str | None:
        """A URL that whoever has it may GET until it expires, with Range as they like; None when there is none.

        The answer carries the given Content-Type, Content-Disposition and Cache-Control. Nothing is asked of the store:
        the object need not be there.
        """
        ...

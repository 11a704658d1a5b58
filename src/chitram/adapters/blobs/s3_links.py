"""Links that lead straight to the S3 service, good for a while."""

from datetime import timedelta
from urllib.parse import urlsplit

from chitram.adapters.blobs.keys import require_key
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_signing import signed_url
from chitram.ports.clock import Clock


class S3Links:
    """Signs links for `bucket`, whose address is the one that clients know.

    `prefix` is a path that a proxy before the service takes away again, or empty: it is not part of what is signed.
    """

    def __init__(self, bucket: S3Bucket, *, clock: Clock, prefix: str = "") -> None:
        self._bucket = bucket
        self._clock = clock
        self._prefix = prefix

    @property
    def origin(self) -> str:
        """Scheme, host and port that the links lead to."""
        return self._bucket.account.base_url

    async def signed_url(
        self, key: str, *, expires: timedelta, content_type: str, disposition: str, cache_control: str
    ) -> str:
        """A link to the object `key`, which need not be there; the service answers with these header fields."""
        url = signed_url(
            self._bucket.account,
            self._bucket.path(require_key(key)),
            now=self._clock.now(),
            expires=expires,
            query={
                "response-content-type": content_type,
                "response-content-disposition": disposition,
                "response-cache-control": cache_control,
            },
        )
        base = self._bucket.account.base_url
        return f"{base}{self._prefix}{url.removeprefix(base)}"


def path_of(url: str) -> str:
    """The path of a base URL, without a slash at its end."""
    return urlsplit(url).path.rstrip("/")

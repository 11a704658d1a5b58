"""What is left to nginx in front of us: sending originals from its disk, and keeping thumbnails for a moment.

Both are said in fields of the answer that nginx takes out of it. Nobody else gets to see them: only a trusted proxy is
told, and where files lie only one that says that it can do something with it.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Protocol, Self

from chitram.domain.blobs import is_blob_key
from chitram.domain.images import ImageRecord
from chitram.domain.leases import lease_until
from chitram.entrypoints.delivery.bodies import send_whole
from chitram.entrypoints.support.addresses import TrustedProxies
from chitram.entrypoints.support.asgi import Headers, Scope, Send
from chitram.entrypoints.support.digests import sha256_member
from chitram.entrypoints.support.ranges import ByteRange
from chitram.settings import Settings

#: How a proxy says that it sends files by itself, as others have it say so too.
_CAPABILITY, _ACCEL = b"x-sendfile-type", b"X-Accel-Redirect"
#: Conditions that nginx would judge by the date of its file, or by a tag that it does not have yet.
_OUR_CONDITIONS = (b"if-match", b"if-unmodified-since")
#: The ranges that nginx and we understand alike. What differs is ours: several parts, broken syntax, 416.
_PLAIN_RANGE = re.compile(rb"bytes=(\d{1,18}-\d{0,18}|-\d{1,18})", re.ASCII)


class Request(Protocol):
    """A request for the original of an image that it may see."""

    @property
    def scope(self) -> Scope: ...

    @property
    def send(self) -> Send: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...

    @property
    def record(self) -> ImageRecord: ...


class Handover:
    """`prefix`: nginx's internal location of the local store, empty for none. `seconds`: the lease of thumbnails."""

    def __init__(
        self, *, prefix: str, seconds: int, proxies: TrustedProxies, now: Callable[[], float] = time.time
    ) -> None:
        self._prefix = prefix.encode("ascii")
        self._seconds = seconds
        self._proxies = proxies
        self._now = now

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """What `settings` leave to nginx; None for nothing."""
        prefix, seconds = settings.storage.accel_prefix, settings.cache.proxy_seconds
        if not prefix and not seconds:
            return None
        return cls(prefix=prefix, seconds=seconds, proxies=TrustedProxies(settings.app.trusted_proxies))

    def lease(self, scope: Scope) -> Headers:
        """The lease of an answer that is about to be decided: to be asked for before the image is looked up."""
        if not self._seconds or not self._is_proxy(scope):
            return []
        return [(b"x-accel-expires", b"@%d" % lease_until(self._now(), seconds=self._seconds))]

    async def send(self, request: Request, *, fields: Headers, ranges: tuple[ByteRange, ...] | None) -> bool:
        """Have nginx send the original with `fields`, when it would send just what we would; else False.

        `ranges` are the parts to be sent, as we understand the request. Lengths and parts are nginx's own matter.
        """
        record = request.record
        if not self._may_send(request) or not _understood_alike(request.headers, ranges):
            return False
        fields = [*fields, (b"content-type", record.blob.content_type.encode()), (b"content-length", b"0")]
        if ranges is None:
            # nginx says that it knows ranges, but not beside a part.
            fields.remove((b"accept-ranges", b"bytes"))
            fields.append((b"repr-digest", sha256_member(record.blob.sha256)))
        fields.append((b"x-accel-redirect", self._prefix + record.blob.key.encode("ascii")))
        await send_whole(request.send, status=200, headers=fields, body=b"")
        return True

    def _may_send(self, request: Request) -> bool:
        if not self._prefix or request.scope["method"] != "GET" or request.headers.get(_CAPABILITY) != _ACCEL:
            return False
        # The key is made of a hash and of digits of ours, and yet: what it names is opened with nginx's rights.
        return self._is_proxy(request.scope) and is_blob_key(request.record.blob.key)

    def _is_proxy(self, scope: Scope) -> bool:
        peer = scope.get("client")
        return peer is not None and self._proxies.trusts(peer[0])


def _understood_alike(headers: Mapping[bytes, bytes], ranges: tuple[ByteRange, ...] | None) -> bool:
    if any(name in headers for name in _OUR_CONDITIONS):
        return False
    asked = headers.get(b"range")
    if asked is None:
        return True
    return ranges is not None and len(ranges) == 1 and _PLAIN_RANGE.fullmatch(asked) is not None

"""Originals that clients fetch from the store itself: we say who may, and where."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from chitram.domain.images import ImageRecord, Visibility
from chitram.entrypoints.delivery.bodies import send_whole
from chitram.entrypoints.delivery.fields import original_disposition, safety_fields
from chitram.entrypoints.support.asgi import Scope, Send
from chitram.entrypoints.support.caching import PRIVATE, cache_control
from chitram.ports.links import DirectLinks

#: How long a link is good. Whoever has one keeps it that long, whatever becomes of the image meanwhile.
LINK_LIFE = timedelta(seconds=120)
#: A redirect that is kept leads to a link that is good for a while yet.
_KEPT = b"public, max-age=60"


class Request(Protocol):
    """A request for the original of an image that it may see."""

    @property
    def scope(self) -> Scope: ...

    @property
    def send(self) -> Send: ...

    @property
    def query(self) -> Mapping[str, str]: ...

    @property
    def record(self) -> ImageRecord: ...

    @property
    def attachment(self) -> bool: ...


class Redirects:
    """Sends whoever may see an original to the store, which then answers GET with or without Range."""

    def __init__(self, links: DirectLinks) -> None:
        self._links = links

    async def send(self, request: Request) -> bool:
        """Answer with a redirect; False where the bytes have to come from us.

        HEAD is ours, for a link is good for GET alone, and so are files known to be damaged: they are not handed out.
        """
        record = request.record
        if request.scope["method"] != "GET" or record.blob.corrupt_at is not None:
            return False
        # What was shown to somebody for their token must not be handed on by a cache.
        visibility = Visibility.PRIVATE if record.hidden else record.image.visibility
        kept = cache_control(visibility, version=record.version, requested=request.query.get("v"))
        url = await self._links.signed_url(
            record.blob.key,
            expires=LINK_LIFE,
            content_type=record.blob.content_type,
            disposition=original_disposition(record, attachment=request.attachment)[1].decode("latin-1"),
            cache_control=kept.decode("ascii"),
        )
        if url is None:
            return False
        fields = [
            (b"location", url.encode("ascii")),
            (b"cache-control", _KEPT if visibility is Visibility.PUBLIC else PRIVATE),
            *safety_fields(record),
            (b"content-length", b"0"),
        ]
        await send_whole(request.send, status=307, headers=fields, body=b"")
        return True

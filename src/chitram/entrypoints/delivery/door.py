"""The bytes door: metadata, originals and thumbnails, which are read far more often than anything else.

Plain ASGI, because the framework would cost several times what the answer itself does.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from chitram.domain.access import ANONYMOUS
from chitram.domain.errors import ChitramError, ImageNotFound, MethodNotAllowed, StorageUnavailable, ValidationFailed
from chitram.domain.images import ImageRecord
from chitram.domain.media import FORMATS
from chitram.entrypoints.delivery.bodies import ByteRanges, send_range, send_whole
from chitram.entrypoints.delivery.fields import (
    ERROR_FIELDS,
    last_modified,
    metadata_fields,
    original_disposition,
    original_etag,
    thumbnail_disposition,
    thumbnail_etag,
    validator_fields,
)
from chitram.entrypoints.delivery.handover import Handover
from chitram.entrypoints.delivery.prepared import Prepared
from chitram.entrypoints.delivery.redirects import Redirects
from chitram.entrypoints.delivery.routes import (
    METHODS,
    TEMPLATES,
    Kind,
    Target,
    parse_target,
    thumbnail_size,
)
from chitram.entrypoints.delivery.services import Gate, Images, Thumbnails
from chitram.entrypoints.support.asgi import (
    ROUTE,
    ZERO_COPY,
    Headers,
    Receive,
    Scope,
    Send,
    accept,
    header_map,
    request_id,
)
from chitram.entrypoints.support.auth import is_anonymous
from chitram.entrypoints.support.caching import http_date
from chitram.entrypoints.support.conditions import is_unchanged
from chitram.entrypoints.support.csrf import is_foreign
from chitram.entrypoints.support.digests import sha256_member
from chitram.entrypoints.support.errors import error_response, report
from chitram.entrypoints.support.links import base_url
from chitram.entrypoints.support.queries import parse_query
from chitram.entrypoints.support.ranges import ByteRange, parse_range
from chitram.entrypoints.support.refusals import record_refusal
from chitram.entrypoints.support.representations import document
from chitram.ports.audit import Audit
from chitram.ports.blobs import OpenBlob
from chitram.ports.links import DirectLinks

#: Status, header fields and body.
Answer = tuple[int, Headers, bytes]
#: Makes a page of an error for people who opened an address; None for programs, and for pages that show a picture.
AsPage = Callable[[Scope, ChitramError], Answer | None]

#: How many answers of each kind are remembered in part: a kilobyte or two each.
_PREPARED = 8192

#: Where `matches` leaves what it found for the call that follows.
_TARGET = "chitram.door_target"


@dataclass(slots=True)
class _Request:
    """A request that found its image."""

    scope: Scope
    send: Send
    headers: Mapping[bytes, bytes]
    query: Mapping[str, str]
    record: ImageRecord
    cache: str
    size: int | None
    lease: Headers

    @property
    def is_head(self) -> bool:
        return bool(self.scope["method"] == "HEAD")

    @property
    def attachment(self) -> bool:
        """Other sites' pages notice whether a download began, and could so find out who owns what."""
        asked_for = self.query.get("download") == "1"
        return asked_for and not (self.record.hidden and is_foreign(self.headers))


class Door:
    """An ASGI application for the requests that it `matches`."""

    def __init__(
        self,
        *,
        images: Images,
        thumbnails: Thumbnails,
        gate: Gate,
        audit: Audit,
        public_url: str | None = None,
        as_page: AsPage = lambda _scope, _error: None,
        handover: Handover | None = None,
        links: DirectLinks | None = None,
    ) -> None:
        self._images = images
        self._thumbnails = thumbnails
        self._gate = gate
        self._audit = audit
        self._public_url = public_url
        self._as_page = as_page
        self._handover = handover
        self._redirects = None if links is None else Redirects(links)
        self._heads: Prepared[tuple[bytes, Headers]] = Prepared(max_entries=_PREPARED)
        self._documents: Prepared[tuple[bytes, bytes]] = Prepared(max_entries=_PREPARED)
        self._answers: Mapping[Kind, Callable[[_Request], Awaitable[None]]] = {
            "metadata": self._metadata,
            "file": self._original,
            "thumbnail": self._thumbnail,
        }

    @staticmethod
    def matches(scope: Scope) -> bool:
        """Whether this door answers the request; methods that change an image are the API's."""
        target = scope[_TARGET] = parse_target(scope["path"], raw_path=scope.get("raw_path") or b"")
        return target is not None and (target.kind != "metadata" or scope["method"] in METHODS)

    @staticmethod
    def allowed_methods(path: str) -> tuple[str, ...]:
        """The methods that this door answers at `path`, for the API's Allow fields."""
        return METHODS if parse_target(path) is not None else ()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a request that `matches` was asked about; AnswerCutShort when the store fails in the middle."""
        target: Target = scope[_TARGET]
        scope[ROUTE] = TEMPLATES[target.kind]
        try:
            request = await self._find(target, scope, send)
            await self._answers[target.kind](request)
        except ChitramError as error:
            record_refusal(scope, error, audit=self._audit)
            await self._refuse(scope, send, error)

    async def _refuse(self, scope: Scope, send: Send, error: ChitramError) -> None:
        identity = request_id(scope)
        report(error, request_id=identity)
        page = self._as_page(scope, error)
        if page is None:
            status, headers, body = error_response(error, accept=accept(scope), request_id=identity)
            headers += ERROR_FIELDS
        else:
            status, headers, body = page
        await send_whole(send, status=status, headers=headers, body=b"" if scope["method"] == "HEAD" else body)

    async def _find(self, target: Target, scope: Scope, send: Send) -> _Request:
        if scope["method"] not in METHODS:
            raise MethodNotAllowed(details={"allow": list(METHODS)})
        headers = header_map(scope)
        try:
            query = parse_query(scope["query_string"])
        except ValidationFailed:
            # Credentials that are not good are told before anything else that is wrong.
            await self._gate.identify(scope, {})
            raise
        # Most requests carry no credentials, and are not made to wait for anybody who looks after those.
        viewer = ANONYMOUS if is_anonymous(headers, query) else await self._gate.identify(scope, query)
        if target.image_id is None:
            raise ImageNotFound
        lease = [] if self._handover is None else self._handover.lease(scope)
        found = await self._images.find(target.image_id, viewer=viewer)
        _require_right_name(target, found.record)
        return _Request(
            scope, send, headers, query, found.record, found.cache, target.size, [] if found.record.hidden else lease
        )

    async def _metadata(self, request: _Request) -> None:
        etag, body = self._document(request)
        fields = metadata_fields(request.record, etag=etag, cache=request.cache)
        if is_unchanged(request.headers, etag=etag):
            await send_whole(request.send, status=304, headers=fields, body=b"")
            return
        fields += ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        await send_whole(request.send, status=200, headers=fields, body=b"" if request.is_head else body)

    def _document(self, request: _Request) -> tuple[bytes, bytes]:
        """Entity tag and body."""
        record, base = request.record, base_url(request.scope, public_url=self._public_url)
        key = (record.image.id, base)
        found = self._documents.get(key, record)
        if found is None:
            found = self._documents.put(key, record, document(record, base=base))
        return found

    async def _thumbnail(self, request: _Request) -> None:
        record, size = request.record, request.size or thumbnail_size(request.query)
        etag, fields = self._thumbnail_head(request, size)
        if record.blob.thumbnail_ready and is_unchanged(request.headers, etag=etag):
            await send_whole(request.send, status=304, headers=[*fields[:-2], *request.lease], body=b"")
            return
        body = await self._thumbnails.read(record, size=size)
        fields = [*fields, *request.lease, (b"content-length", b"%d" % len(body))]
        await send_whole(request.send, status=200, headers=fields, body=b"" if request.is_head else body)

    def _thumbnail_head(self, request: _Request, size: int) -> tuple[bytes, Headers]:
        """Entity tag and fields; the last two of them are about the body, and not for a 304."""
        record, version, attachment = request.record, request.query.get("v"), request.attachment
        # Not the version itself: strangers may write there what they want.
        key = (record.image.id, size, version == record.version, attachment)
        head = self._heads.get(key, record)
        if head is None:
            etag = thumbnail_etag(record, size=size)
            fields = validator_fields(record, etag=etag, version=version)
            fields.append((b"content-type", (record.blob.thumbnail_type or "image/jpeg").encode()))
            fields.append(thumbnail_disposition(record, size=size, attachment=attachment))
            head = self._heads.put(key, record, (etag, fields))
        return head

    async def _original(self, request: _Request) -> None:
        record = request.record
        etag = original_etag(record)
        fields = validator_fields(record, etag=etag, version=request.query.get("v"))
        # An image's bytes never change, so this date is as good as the tag; those of its thumbnails may.
        modified = last_modified(record)
        fields.append((b"last-modified", http_date(modified)))
        if is_unchanged(request.headers, etag=etag, modified=modified):
            await send_whole(request.send, status=304, headers=fields, body=b"")
            return
        ranges = _ranges(request, etag=etag)
        if self._redirects is not None and await self._redirects.send(request):
            return
        blob = await self._open(record)
        try:
            fields.append((b"accept-ranges", b"bytes"))
            fields.append(original_disposition(record, attachment=request.attachment))
            if self._handover is None or not await self._handover.send(request, fields=fields, ranges=ranges):
                await _send_original(request, blob, fields=fields, ranges=ranges)
        finally:
            await blob.aclose()

    async def _open(self, record: ImageRecord) -> OpenBlob:
        """The original, unless it is known or seen to be damaged: rather no bytes than wrong ones."""
        if record.blob.corrupt_at is not None:
            raise StorageUnavailable
        blob = await self._images.open_original(record)
        if blob.size != record.blob.size:
            await blob.aclose()
            raise StorageUnavailable
        return blob


def _require_right_name(target: Target, record: ImageRecord) -> None:
    """Raise ImageNotFound for a short address that ends as no file of this image does: there is one address, not many.

    Thumbnails are of a kind that is not known before they are made.
    """
    is_named = target.kind == "file" and target.extension is not None
    if is_named and target.extension != FORMATS[record.blob.content_type].extension:
        raise ImageNotFound


def _ranges(request: _Request, *, etag: bytes) -> tuple[ByteRange, ...] | None:
    """The parts to send, None for the whole file. Range means something for GET only."""
    value = request.headers.get(b"range")
    if value is None or request.is_head:
        return None
    condition = request.headers.get(b"if-range")
    modified = http_date(last_modified(request.record))
    if condition is not None and condition.strip() not in (etag, modified):
        return None
    return parse_range(value.decode("latin-1"), size=request.record.blob.size)


async def _send_original(
    request: _Request, blob: OpenBlob, *, fields: Headers, ranges: tuple[ByteRange, ...] | None
) -> None:
    content_type, size = request.record.blob.content_type, blob.size
    if ranges is not None and len(ranges) > 1:
        several = ByteRanges(ranges, content_type=content_type, size=size)
        fields += ((b"content-type", several.content_type), (b"content-length", b"%d" % several.length))
        await several.send(request.send, blob, headers=fields)
        return
    part = ranges[0] if ranges is not None else ByteRange(0, size)
    fields += ((b"content-type", content_type.encode()), (b"content-length", b"%d" % part.length))
    if ranges is None:
        fields.append((b"repr-digest", sha256_member(request.record.blob.sha256)))
    else:
        fields.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.stop - 1, size)))
    if request.is_head:
        await send_whole(request.send, status=200, headers=fields, body=b"")
        return
    status, zero_copy = 200 if ranges is None else 206, ZERO_COPY in request.scope.get("extensions", ())
    await send_range(request.send, blob, status=status, headers=fields, part=part, zero_copy=zero_copy)

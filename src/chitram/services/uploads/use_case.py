"""The use case: from a received file to an image."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from chitram.domain.api_tokens import hash_secret
from chitram.domain.blobs import NewBlob
from chitram.domain.errors import (
    ChecksumMismatch,
    InvalidFileFormat,
    InvalidReason,
    InvalidRequest,
    ServiceUnavailable,
    ValidationFailed,
)
from chitram.domain.filenames import clean_filename
from chitram.domain.idempotency import IdempotencyKey
from chitram.domain.images import Image, Visibility
from chitram.domain.media import FORMATS, Budget, Inspected, Rendered, describe_formats, is_acceptable_declaration
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.domain.users import Quota
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.codec import Codec
from chitram.ports.jobs import JobSignal
from chitram.ports.staging import StagedFile, Staging
from chitram.ports.unit_of_work import Database
from chitram.services.uploads.placement import Placement
from chitram.services.uploads.recording import OutrunError, Placing, Recorder, Repetition
from chitram.services.uploads.repeats import Hold, Repeats, fingerprint

#: How often an upload starts anew when the blob that it counted on vanished under it. Each time means a collector pass.
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """`render_inline` is False in background mode. `quota`: that of accounts which have none of their own. `hold_for`:
    how long the idempotency key of an upload stays held when the process dies that works on it.
    """

    budget: Budget
    default_visibility: Visibility
    render_inline: bool
    quota: Quota
    hold_for: timedelta


class Uploads:
    """`secrets`: what delete tokens of repeatable uploads are derived with, today's first."""

    def __init__(  # one parameter a port
        self,
        policy: UploadPolicy,
        *,
        secrets: Sequence[bytes],
        database: Database,
        blobs: BlobStore,
        staging: Staging,
        codec: Codec,
        cache: RecordCache,
        signal: JobSignal,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        self._policy = policy
        self._staging = staging
        self._codec = codec
        self._clock = clock
        self._identifiers = identifiers
        self._placement = Placement(database=database, blobs=blobs, clock=clock, identifiers=identifiers)
        self._recorder = Recorder(
            quota=policy.quota,
            render_inline=policy.render_inline,
            database=database,
            placement=self._placement,
            cache=cache,
            signal=signal,
            clock=clock,
        )
        self._repeats = Repeats(
            secrets=secrets, hold_for=policy.hold_for, database=database, clock=clock, identifiers=identifiers
        )

    def stage(self) -> AbstractAsyncContextManager[StagedFile]:
        """An empty file to receive the body in; it is gone when the context ends."""
        return self._staging.new()

    def hold(self, key: IdempotencyKey | None) -> AbstractAsyncContextManager[Hold | None]:
        """Hold a client's key, if it sent one, while its upload is received and kept. IdempotencyKeyInUse."""
        return contextlib.nullcontext(None) if key is None else self._repeats.hold(key)

    async def keep(self, staged: StagedFile, *, details: UploadDetails, hold: Hold | None = None) -> Uploaded:
        """Turn a received file into an image, or find the one that an earlier upload with the same key became.

        When this returns, bytes and rows survive a power cut. Raises InvalidRequest (empty), InvalidFileFormat,
        ChecksumMismatch, ValidationFailed, QuotaExceeded, IdempotencyKeyReused, ImageNotFound (a repetition of what has
        been deleted or claimed), StorageFull, StorageUnavailable, ServiceUnavailable; then nothing is kept.
        """
        await staged.flush()
        self._check_declarations(staged, details)
        if hold is not None and hold.finished is not None:
            sent = fingerprint(staged.sha256, details)
            return await self._repeats.replay(hold, fingerprint=sent, owner_id=details.owner_id)
        inspected, rendered = await self._understand(staged)
        async with self._stored_form(staged, inspected) as stored:
            new = NewBlob(
                sha256=stored.sha256,
                generation="",
                size=stored.size,
                content_type=inspected.content_type,
                width=inspected.width,
                height=inspected.height,
                created_at=self._clock.now(),
                thumbnail_type=rendered.thumbnail_type if rendered else None,
                perceptual_hash=rendered.perceptual_hash if rendered else None,
                placeholder=rendered.placeholder if rendered else None,
            )
            image, token = self._new_image(staged, new, details=details, hold=hold)
            repetition = Repetition(hold.key, hold.holder, fingerprint(staged.sha256, details)) if hold else None
            placed = Placing(image, details.owner, repetition)
            uploaded = await self._keep_and_record(stored, new, rendered, placed)
        return replace(uploaded, delete_token=token)

    def _new_image(
        self, staged: StagedFile, new: NewBlob, *, details: UploadDetails, hold: Hold | None
    ) -> tuple[Image, str | None]:
        """The image as it will be but for its blob, and its delete token; images with an owner have none."""
        image_id = self._identifiers.image_id()
        token = None
        if details.owner_id is None:
            derive = self._repeats.delete_token
            token = self._identifiers.secret() if hold is None else derive(hold.key, image_id=image_id)
        image = Image(
            id=image_id,
            blob_id=0,
            filename=clean_filename(details.filename, extension=FORMATS[new.content_type].extension),
            visibility=details.visibility or self._policy.default_visibility,
            created_at=new.created_at,
            delete_token_hash=None if token is None else hash_secret(token),
            received_sha256=staged.sha256,
            owner_id=details.owner_id,
        )
        return image, token

    def _check_declarations(self, staged: StagedFile, details: UploadDetails) -> None:
        if staged.size == 0:
            raise InvalidRequest("The file is empty.", problem="empty_file")
        declared = details.declared_digest
        if declared is not None and declared.sha256 != staged.sha256:
            raise ChecksumMismatch(details={"field": declared.field})
        if not is_acceptable_declaration(details.declared_type):
            formats = describe_formats(self._policy.budget.content_types)
            raise InvalidFileFormat(
                InvalidReason.TYPE_MISMATCH,
                f"The file is declared as {details.declared_type}, which is no image's type. Accepted are {formats}.",
            )
        if details.visibility is Visibility.PRIVATE and details.owner_id is None:
            message = "must be public or unlisted; a private image needs an owner"
            raise ValidationFailed.of("visibility", message, problem="private_without_account")

    async def _understand(self, staged: StagedFile) -> tuple[Inspected, Rendered | None]:
        if self._policy.render_inline:
            ingested = await self._codec.ingest(staged.fileno(), budget=self._policy.budget)
            return ingested.inspected, ingested.rendered
        return await self._codec.inspect(staged.fileno(), budget=self._policy.budget), None

    @asynccontextmanager
    async def _stored_form(self, staged: StagedFile, inspected: Inspected) -> AsyncIterator[StagedFile]:
        if inspected.pieces is None:
            yield staged
            return
        async with self._staging.copy(staged, inspected.pieces) as stripped:
            yield stripped

    async def _keep_and_record(
        self,
        stored: StagedFile,
        new: NewBlob,
        rendered: Rendered | None,
        placing: Placing,
    ) -> Uploaded:
        for _ in range(ATTEMPTS):
            kept = await self._placement.put(stored, new, rendered)
            with contextlib.suppress(OutrunError):
                return await self._recorder.record(kept, rendered, placing)
        raise ServiceUnavailable(retry_after=1)

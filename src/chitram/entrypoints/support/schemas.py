"""The shapes of `representations.py` and of errors as models, for the API's description."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chitram.domain.images import MAX_DESCRIPTION, MAX_TITLE


class Thumbnails(BaseModel):
    """Addresses of the thumbnails by their longest side in pixels."""

    model_config = ConfigDict(populate_by_name=True)

    size_150: str = Field(alias="150")
    size_300: str = Field(alias="300")
    size_600: str = Field(alias="600")


class ImageMetadata(BaseModel):
    """What anybody who may see an image may know of it."""

    id: str = Field(pattern=r"^[0-9A-Za-z]{11}$", description="Short, opaque and unguessable.")
    filename: str = Field(max_length=255)
    content_type: str = Field(description="Found from the content, never taken from the name.")
    file_size: int = Field(ge=0, description="Bytes, as stored.")
    url: str = Field(description="Absolute address of the original, with its content version.")
    created_at: datetime = Field(description="ISO 8601, UTC.")
    width: int = Field(ge=1, description="Pixels, upright.")
    height: int = Field(ge=1, description="Pixels, upright.")
    thumbnail_ready: bool
    thumbnail_url: str = Field(description="Absolute address of the 300 pixel thumbnail.")
    thumbnails: Thumbnails
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the stored bytes.")
    visibility: Literal["public", "unlisted", "private"]
    placeholder: str | None = Field(description="A thumbhash, base64, to be shown while the picture loads.")
    title: str | None = Field(max_length=MAX_TITLE, description="What its owner calls it.")
    description: str | None = Field(max_length=MAX_DESCRIPTION, description="What its owner says of it.")
    problem: str | None = Field(
        None,
        description="Only where a file turned out to be broken after it was accepted: why. Others do not see it then.",
    )


class UploadResponse(ImageMetadata):
    """The metadata of a new image, and what only its uploader gets to know."""

    delete_token: str | None = Field(
        description="Shown once: the only way to delete an anonymous image. null for images of accounts."
    )
    duplicate_of: str | None = Field(description="An earlier image of the same account with the same bytes.")


class ErrorDetail(BaseModel):
    code: str = Field(pattern=r"^[A-Z][A-Z_]+$", description="Stable; programs should look at nothing else.")
    message: str
    details: dict[str, Any] = Field(description="With `request_id` when the failure is ours.")


class ErrorResponse(BaseModel):
    """Every error has this shape."""

    detail: ErrorDetail

"""What can go wrong, each with a stable code and a message that is safe to show.

HTTP status codes are not known here: one table at the edge maps codes to them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Self


class ChitramError(Exception):
    """A failure with a stable upper-case code and a public message.

    `details` is public too. `retry_after` is in seconds. `report` says whether an operator should hear of it.
    `problem` is a stable name for what exactly is wrong, with its `values`: pages have words of their own for it.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    default_message: ClassVar[str] = "Something went wrong on our side."
    report: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, object] | None = None,
        retry_after: float | None = None,
        problem: str | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.details: dict[str, object] = dict(details or {})
        self.retry_after = retry_after
        self.problem = problem
        self.values: dict[str, object] = dict(values or {})
        super().__init__(self.message)


class InternalError(ChitramError):
    report = True


class InvalidReason(StrEnum):
    """Why a picture was not acceptable."""

    UNSUPPORTED_TYPE = "unsupported_type"
    TYPE_MISMATCH = "type_mismatch"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    DECODE_TIMEOUT = "decode_timeout"
    DECODER_CRASHED = "decoder_crashed"


class InvalidFileFormat(ChitramError):
    """The bytes are no picture that this server takes."""

    code = "INVALID_FILE_FORMAT"
    default_message = "The file is not an image that can be accepted here."

    def __init__(self, reason: InvalidReason, message: str | None = None) -> None:
        super().__init__(message, details={"reason": reason.value}, problem=reason.value)
        self.reason = reason


class InvalidRequest(ChitramError):
    code = "INVALID_REQUEST"
    default_message = "The request cannot be understood."


class ValidationFailed(ChitramError):
    code = "VALIDATION_ERROR"
    default_message = "The request is not valid."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, object] | None = None,
        problem: str | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message or _first_problem(details), details=details, problem=problem, values=values)

    @classmethod
    def of(cls, field: str, message: str, *, problem: str | None = None, **values: object) -> Self:
        """One field that is not as it should be; `message` says to programs how it should be."""
        return cls(details={"errors": [{"field": field, "message": message}]}, problem=problem, values=values)


class ChecksumMismatch(ChitramError):
    code = "CHECKSUM_MISMATCH"
    default_message = "The bytes that arrived do not have the digest that the request declared."


class FileTooLarge(ChitramError):
    code = "FILE_TOO_LARGE"
    default_message = "The file is larger than this server accepts."

    @classmethod
    def than(cls, max_bytes: int) -> Self:
        """A file of more than `max_bytes`."""
        most = f"{max_bytes / 2**20:.3g} MiB" if max_bytes >= 2**20 else f"{max_bytes} bytes"
        return cls(f"The file is larger than the {most} that this server accepts.", details={"max_bytes": max_bytes})


class RequestTimeout(ChitramError):
    code = "REQUEST_TIMEOUT"
    default_message = "The upload arrived too slowly and was given up."


class Unauthorized(ChitramError):
    code = "UNAUTHORIZED"
    default_message = "The credentials are missing or not valid."


class TokenExpired(Unauthorized):
    code = "TOKEN_EXPIRED"
    default_message = "The token has expired. Sign in again."


class InvalidCredentials(ChitramError):
    code = "INVALID_CREDENTIALS"
    default_message = "The e-mail or the password is not right."


class EmailExists(ChitramError):
    code = "EMAIL_EXISTS"
    default_message = "There is an account with this e-mail already."


class RegistrationClosed(ChitramError):
    code = "REGISTRATION_CLOSED"
    default_message = "This server takes no new accounts."


class InvalidInvite(ChitramError):
    code = "INVALID_INVITE"
    default_message = "Registration needs an invitation, and this one is missing, used or expired."


class Forbidden(ChitramError):
    code = "FORBIDDEN"
    default_message = "You may not do this."


class CsrfRefused(ChitramError):
    code = "CSRF_REFUSED"
    default_message = "The request does not seem to come from our own pages. Load the page again and retry."


class DeleteTokenRequired(ChitramError):
    code = "DELETE_TOKEN_REQUIRED"
    default_message = "This image can only be changed with its delete token."


class InvalidDeleteToken(ChitramError):
    code = "INVALID_DELETE_TOKEN"
    default_message = "The delete token does not belong to this image."


class NotFound(ChitramError):
    code = "NOT_FOUND"
    default_message = "There is nothing at this address."


class MethodNotAllowed(ChitramError):
    code = "METHOD_NOT_ALLOWED"
    default_message = "This address does not support that method."


class ImageNotFound(ChitramError):
    code = "IMAGE_NOT_FOUND"
    default_message = "There is no such image."


class UserNotFound(ChitramError):
    code = "USER_NOT_FOUND"
    default_message = "There is no account with this e-mail."


class SessionNotFound(ChitramError):
    code = "SESSION_NOT_FOUND"
    default_message = "There is no such session."


class TokenNotFound(ChitramError):
    code = "TOKEN_NOT_FOUND"
    default_message = "There is no such token."


class IdempotencyKeyInUse(ChitramError):
    code = "IDEMPOTENCY_KEY_IN_USE"
    default_message = "An upload with this key is under way."


class IdempotencyKeyReused(ChitramError):
    code = "IDEMPOTENCY_KEY_REUSED"
    default_message = "This key was used for another upload."


class ThumbnailNotReady(ChitramError):
    code = "THUMBNAIL_NOT_READY"
    default_message = "The thumbnail has not been made yet."


class PreconditionFailed(ChitramError):
    code = "PRECONDITION_FAILED"
    default_message = "What is here is not what the request made its condition."


class RangeNotSatisfiable(ChitramError):
    code = "RANGE_NOT_SATISFIABLE"
    default_message = "The requested range lies outside the file."


class RateLimitExceeded(ChitramError):
    code = "RATE_LIMIT_EXCEEDED"
    default_message = "Too many requests. Try again later."


class UploadBusy(ChitramError):
    code = "UPLOAD_BUSY"
    default_message = "The server is busy with other uploads. Try again shortly."


class QuotaExceeded(ChitramError):
    code = "QUOTA_EXCEEDED"
    default_message = "This would be more than the account may keep. Delete something first."


class StorageFull(ChitramError):
    code = "STORAGE_FULL"
    default_message = "There is no room left on this server."
    report = True


class StorageUnavailable(ChitramError):
    code = "STORAGE_UNAVAILABLE"
    default_message = "The image store cannot be reached right now."
    report = True


class ReadOnly(ChitramError):
    code = "READ_ONLY"
    default_message = "This server is read-only for now: pictures are shown, nothing can be changed."


class ServiceUnavailable(ChitramError):
    code = "SERVICE_UNAVAILABLE"
    default_message = "The service is not available right now."
    report = True


def _first_problem(details: Mapping[str, object] | None) -> str | None:
    """The message for clients that show nothing else: what is wrong with the first field. None when nobody knows."""
    match (details or {}).get("errors"):
        case [{"field": str(field), "message": str(message)}, *_]:
            return f"The request is not valid: {field} {message}".rstrip(".") + "."
    return None

"""What a failure of the driver means."""

import re

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from chitram.domain.errors import ChitramError, StorageFull, StorageUnavailable

#: Answers about one object, which say nothing against the service.
ANSWERS = (FileNotFoundError, AlreadyExistsError, PreconditionError)
#: Failures of the driver or of the service behind it.
FAILURES = (BaseError, TimeoutError)
_FULL = re.compile(
    r"status code: 507\b"
    r"|<Code>(QuotaExceeded|XMinioStorageFull|XMinioAdminBucketQuotaExceeded|InsufficientStorage)</Code>"
)
_EMPTY_RANGE = re.compile(r"status code: 416\b")


def is_full(error: BaseException) -> bool:
    """Whether the service said that it has no room for us."""
    return _FULL.search(str(error)) is not None


def is_beyond_end(error: BaseException) -> bool:
    """Whether the service said that the object has none of the bytes asked for."""
    return _EMPTY_RANGE.search(str(error)) is not None


def storage_failure(error: BaseException) -> ChitramError:
    """The domain's error. Its message names nothing, as clients see it; the driver's stays behind it, as its cause."""
    return StorageFull(retry_after=60) if is_full(error) else StorageUnavailable()

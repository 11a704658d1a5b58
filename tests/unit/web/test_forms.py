"""Forms of our pages: when to send one again."""

import pytest

from chitram.domain.errors import Forbidden, RateLimitExceeded, UploadBusy
from chitram.entrypoints.support.errors import DEFAULT_RETRY_AFTER, error_response
from chitram.entrypoints.web.forms import retry_fields


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (None, None),
        (Forbidden(), None),
        (UploadBusy(), DEFAULT_RETRY_AFTER["UPLOAD_BUSY"]),
        (RateLimitExceeded(retry_after=0.2), 1),
        # Whoever came back sooner would be refused once more.
        (RateLimitExceeded(retry_after=12.1), 13),
    ],
)
def test_pages_say_what_programs_are_told(error, seconds):
    assert retry_fields(error) == ({} if seconds is None else {"Retry-After": str(seconds)})
    if error is not None:
        _, headers, _ = error_response(error, accept=None, request_id="x")
        assert dict(headers).get(b"retry-after") == (None if seconds is None else str(seconds).encode())

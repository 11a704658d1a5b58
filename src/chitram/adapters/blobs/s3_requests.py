"""The few requests to an S3 service that obstore cannot make: about buckets, and about uploads that were left open.

They block, each on a connection of its own, and are rare: at the start, and after a failure.
"""

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from chitram.adapters.blobs.s3_signing import S3Account, encoded_target, sha256_hex, signed_headers

#: No answer that is looked at is longer; what follows is not read.
_MAX_ANSWER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class S3Answer:
    """Status and the first part of the body."""

    status: int
    body: str

    @property
    def code(self) -> str:
        """The service's own name of what is wrong, such as NoSuchBucket; empty when it does not say."""
        return self.first("Code")

    def first(self, element: str) -> str:
        """The text of the first element of this name; empty without one. Those we look for have no entities in them."""
        found = re.search(rf"<{element}>([^<&]*)</{element}>", self.body)
        return "" if found is None else found[1]


class S3Requests:
    """Signed requests of `account`."""

    def __init__(self, account: S3Account) -> None:
        self._account = account

    def send(
        self,
        method: str,
        path: str,
        *,
        patience: float,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> S3Answer:
        """The service's answer. OSError or HTTPException when there is none; `patience`: of each wait, in seconds."""
        fields = signed_headers(
            self._account,
            method,
            path,
            now=datetime.now(UTC),
            payload_sha256=sha256_hex(body),
            query=query,
            headers=headers,
        )
        connection = self._connect(patience)
        try:
            connection.request(method, encoded_target(path, query), body=body or None, headers=fields)
            answer = connection.getresponse()
            return S3Answer(answer.status, answer.read(_MAX_ANSWER).decode(errors="replace"))
        finally:
            connection.close()

    def _connect(self, patience: float) -> http.client.HTTPConnection:
        if self._account.base_url.startswith("https://"):
            return http.client.HTTPSConnection(self._account.host, timeout=patience)
        return http.client.HTTPConnection(self._account.host, timeout=patience)

"""A bucket at the start: made when it is missing, ours and nobody else's, at a service that keeps what it promises.

Everything here blocks, and goes without the driver: a process that has used that must not fork any more, as a worker
does after it has made sure that it can start.
"""

import base64
import hashlib
import html
import http.client
import logging
import re
import ssl
import uuid
from xml.sax.saxutils import escape

from chitram.adapters.blobs.marker import MARKER
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_requests import S3Answer, S3Requests

#: What is ours in a bucket beside the objects; no key of an object begins like this.
OWN_PREFIX = ".chitram-"
PROBES = f"{OWN_PREFIX}probe"
#: Longest wait for one answer while the service may still be starting, in seconds.
_PATIENCE = 3.0
_FIRST_REGION = "us-east-1"
_MARK = """This bucket belongs to a Chitram blob store.
database {owner}
"""
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_CONDITION = {"if-none-match": "*"}

#: The service's names of what is wrong, and what the operator can do.
_COMPLAINTS = {
    "InvalidAccessKeyId": "MINIO_ACCESS_KEY: the S3 service does not know this key",
    "SignatureDoesNotMatch": "MINIO_SECRET_KEY: is not the secret of MINIO_ACCESS_KEY, says the S3 service",
    "AccessDenied": "MINIO_ACCESS_KEY: the S3 service does not let this key use the bucket MINIO_BUCKET",
    "InvalidBucketName": "MINIO_BUCKET: the S3 service does not take this name",
    "BucketAlreadyExists": "MINIO_BUCKET: a bucket of this name belongs to somebody else",
    "TooManyBuckets": "MINIO_BUCKET: the account may not have one more bucket",
    "QuotaExceeded": "MINIO_BUCKET: the S3 service has no room left for it",
    "AuthorizationHeaderMalformed": "MINIO_REGION: the S3 service is in another region",
    "IllegalLocationConstraintException": "MINIO_REGION: the S3 service is in another region",
    "InvalidLocationConstraint": "MINIO_REGION: the S3 service does not know this region",
    "InvalidRegion": "MINIO_REGION: the S3 service does not know this region",
    "PermanentRedirect": "MINIO_REGION: the bucket is in another region, or MINIO_ENDPOINT is not its address",
    "RequestTimeTooSkewed": "MINIO_ENDPOINT: the S3 service's clock and this machine's differ too much",
}

logger = logging.getLogger(__name__)


class UnfitStore(ValueError):
    """The store cannot be used as it is: one line that begins with the variable to look at."""


class NotAnswering(Exception):
    """The service does not answer, or cannot do its work yet; later it may."""


def require_bucket_name(name: str) -> None:
    """Raise UnfitStore for a name that no service would take; others may be refused by the service."""
    if _BUCKET_NAME.fullmatch(name) is None:
        raise UnfitStore(
            f"MINIO_BUCKET: {name!r} is no name for a bucket: 3 to 63 small letters, digits, dots and hyphens"
        )


def mark_of(owner: str) -> bytes:
    """What the marker of the database `owner` says."""
    return _MARK.format(owner=owner).encode()


class BucketAtStart:
    """Makes sure of `bucket`. Every method raises UnfitStore or NotAnswering, and blocks."""

    def __init__(self, requests: S3Requests, bucket: S3Bucket) -> None:
        self._requests = requests
        self._bucket = bucket

    def make(self) -> None:
        """See to it that the bucket is there and may be listed."""
        for _ in range(3):
            answer = self._send("GET", query={"list-type": "2", "max-keys": "1"})
            if answer.status == 200:
                return
            if answer.code != "NoSuchBucket":
                raise _complaint(answer)
            made = self._send("PUT", body=_location(self._bucket.account.region))
            if made.status == 200:
                logger.info("made the bucket %s", self._bucket.name)
            elif made.code not in {"BucketAlreadyOwnedByYou", "OperationAborted"}:
                # Somebody else, a server that starts beside us say, may have made it meanwhile: then it is there now.
                raise _complaint(made)
        raise NotAnswering("the bucket was made and is not there")

    def claim(self, *, owner: str, expect_data: bool) -> None:
        """Mark the bucket as that of the database `owner` at its first start, else see that it is.

        A database that does not know the objects of a store would take all of them for left-overs and erase them.
        `expect_data`: images are recorded, so the bucket cannot be new.
        """
        found = self._read(MARKER)
        if found is None:
            if expect_data:
                raise UnfitStore(f"MINIO_BUCKET: has no {MARKER} though images are recorded: is it the right one?")
            self._require_empty()
            marked = self._send("PUT", MARKER, headers=_CONDITION, body=mark_of(owner))
            # Of two processes that start together one is first: it must have said the same.
            if marked.status not in (200, 409, 412):
                raise _complaint(marked)
            found = self._read(MARKER)
        if found != mark_of(owner).decode():
            raise UnfitStore("MINIO_BUCKET: belongs to another database: are DATA_DIR and DATABASE_URL right?")

    def probe(self) -> bool:
        """Whether the service refuses bodies that are not what their checksum says.

        UnfitStore where it lacks what we need: conditional writes, or two writers could silently replace each other's
        objects, and ranges.
        """
        key = f"{PROBES}/{uuid.uuid4().hex}"
        try:
            self._probe_conditions(key)
            part = self._send("GET", key, headers={"range": "bytes=1-3"})
            if (part.status, part.body) != (206, "irs"):
                raise UnfitStore("MINIO_ENDPOINT: the S3 service gives other bytes than were asked for (Range)")
            return self._refuses_wrong_checksum(f"{key}-checksum")
        finally:
            self._forget(key, f"{key}-checksum")

    def _probe_conditions(self, key: str) -> None:
        first = self._send("PUT", key, headers=_CONDITION, body=b"first")
        if first.status == 501:
            raise UnfitStore("MINIO_ENDPOINT: the S3 service does not know conditional writes (If-None-Match: *)")
        if first.status != 200:
            raise _complaint(first)
        second = self._send("PUT", key, headers=_CONDITION, body=b"second")
        if second.status == 200:
            raise UnfitStore(
                "MINIO_ENDPOINT: the S3 service overwrites an object although told not to: it lacks conditional writes"
                " (If-None-Match: *), without which uploads could be lost"
            )
        if second.status != 412:
            raise _complaint(second)

    def _refuses_wrong_checksum(self, key: str) -> bool:
        checksum = base64.b64encode(hashlib.sha256(b"something else").digest()).decode()
        answer = self._send("PUT", key, headers={"x-amz-checksum-sha256": checksum}, body=b"something")
        if answer.status >= 500:
            raise _complaint(answer)
        return answer.status >= 400

    def _forget(self, *keys: str) -> None:
        for key in keys:
            try:
                self._send("DELETE", key)
            except (UnfitStore, NotAnswering):
                logger.warning("a probe could not be erased from the bucket: %s", key)

    def _read(self, key: str) -> str | None:
        answer = self._send("GET", key)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise _complaint(answer)
        return answer.body

    def _require_empty(self) -> None:
        listed = self._send("GET", query={"list-type": "2", "max-keys": "100"})
        if listed.status != 200:
            raise _complaint(listed)
        keys = [html.unescape(part.partition("</Key>")[0]) for part in listed.body.split("<Key>")[1:]]
        strangers = [key for key in keys if not key.startswith(OWN_PREFIX)]
        if strangers:
            raise UnfitStore(f"MINIO_BUCKET: is not empty and has no {MARKER}: found {strangers[0]!r}")

    def _send(
        self,
        method: str,
        key: str = "",
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> S3Answer:
        path = self._bucket.path(key)
        try:
            return self._requests.send(method, path, patience=_PATIENCE, query=query, headers=headers, body=body)
        except ssl.SSLCertVerificationError as error:
            raise UnfitStore(
                f"MINIO_SECURE: the S3 service's certificate is not good: {error.verify_message}"
            ) from error
        except ssl.SSLError as error:
            raise NotAnswering(f"{error.reason or 'no TLS'}, is MINIO_SECURE right?") from error
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswering(str(error) or type(error).__name__) from error


def _complaint(answer: S3Answer) -> Exception:
    if answer.status == 507:
        return UnfitStore(_COMPLAINTS["QuotaExceeded"])
    if answer.status >= 500 or answer.status == 429:
        return NotAnswering(f"it answers {answer.status} {answer.code}".rstrip())
    known = _COMPLAINTS.get(answer.code)
    what = f"{answer.status} {answer.code}".rstrip()
    return UnfitStore(known or f"MINIO_ENDPOINT: does not answer as an S3 service: {what}; is MINIO_SECURE right?")


def _location(region: str) -> bytes:
    if region == _FIRST_REGION:
        return b""  # which is where buckets are made that say nothing, and must not be said
    name = f"<LocationConstraint>{escape(region)}</LocationConstraint>"
    return f"<CreateBucketConfiguration>{name}</CreateBucketConfiguration>".encode()

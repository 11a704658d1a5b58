"""Signature version 4 of the S3 API: of requests that obstore does not make, and of links.

Written after "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class S3Account:
    """Whose requests they are. `base_url` is scheme, host and port alone; addresses are path-style below it."""

    base_url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str

    @property
    def host(self) -> str:
        """Host and port as the Host field has them."""
        return self.base_url.partition("://")[2]


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data` in hex, as signatures name payloads."""
    return hashlib.sha256(data).hexdigest()


def signed_headers(
    account: S3Account,
    method: str,
    path: str,
    *,
    now: datetime,
    payload_sha256: str,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All header fields of a request to `path`: those in `headers` and the signature over them.

    `path` is not encoded yet; `now` is in UTC; `payload_sha256` is that of the body, in hex.
    """
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    fields = {"host": account.host, "x-amz-date": moment, "x-amz-content-sha256": payload_sha256, **(headers or {})}
    names = ";".join(sorted(fields))
    request = _canonical(method, path, _query(query or {}), fields, payload=payload_sha256)
    scope = _scope(account, moment)
    fields["authorization"] = (
        f"{_ALGORITHM} Credential={account.access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={_signature(account, moment, scope, request)}"
    )
    return fields


def signed_url(
    account: S3Account, path: str, *, now: datetime, expires: timedelta, query: Mapping[str, str] | None = None
) -> str:
    """A link that lets whoever has it GET `path` until it expires. `query` is part of what is signed."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = _scope(account, moment)
    asked = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{account.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(int(expires.total_seconds())),
        "X-Amz-SignedHeaders": "host",
    }
    request = _canonical("GET", path, _query(asked), {"host": account.host}, payload=_UNSIGNED)
    signature = _signature(account, moment, scope, request)
    return f"{account.base_url}{quote(path)}?{_query(asked)}&X-Amz-Signature={signature}"


def encoded_target(path: str, query: Mapping[str, str] | None) -> str:
    """Path and query as a request line has them, encoded as they were signed."""
    return quote(path) + (f"?{_query(query)}" if query else "")


def _query(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _canonical(method: str, path: str, query: str, headers: Mapping[str, str], *, payload: str) -> str:
    fields = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    return "\n".join([method, quote(path), query, fields, ";".join(sorted(headers)), payload])


def _scope(account: S3Account, moment: str) -> str:
    return f"{moment[:8]}/{account.region}/s3/aws4_request"


def _signature(account: S3Account, moment: str, scope: str, request: str) -> str:
    text = "\n".join([_ALGORITHM, moment, scope, sha256_hex(request.encode())])
    key = f"AWS4{account.secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()

"""The driver: how it is told where the bucket is, and how patient it is."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from chitram.adapters.blobs.s3_signing import S3Account

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Credential

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """A bucket, and with whose keys we come to it."""

    account: S3Account
    name: str

    def path(self, key: str = "") -> str:
        """Path-style address of the bucket, or of an object in it; not encoded."""
        return f"/{self.name}/{key}" if key else f"/{self.name}"


def origin(url: str) -> str:
    """Scheme, host and port of `url` as a client's Host field will have them: without the port that goes unsaid."""
    parts = urlsplit(url)
    # Not `parts.hostname`, which drops the brackets of an IPv6 address.
    host, port = parts.netloc.lower(), parts.port
    return f"{parts.scheme}://{host.removesuffix(f':{port}') if port == _DEFAULT_PORTS[parts.scheme] else host}"


def open_client(bucket: S3Bucket, *, request_timeout: float, patient: bool) -> S3Store:
    """The driver on `bucket`. `request_timeout`: longest time of one request with its body, in seconds.

    One that is not `patient` tries once, on a connection of its own: it is there to find out how things stand.
    """
    account = bucket.account
    # Everything is said: what is left out the driver takes from AWS_* variables, which are about something else.
    return S3Store(
        bucket.name,
        endpoint=account.base_url,
        aws_endpoint_url_s3=account.base_url,
        region=account.region,
        virtual_hosted_style_request=False,
        skip_signature=False,
        unsigned_payload=False,
        request_payer=False,
        s3_express=False,
        checksum_algorithm="SHA256",
        conditional_put="etag",
        # Not every service knows the deletion of many objects in one request.
        disable_bulk_delete=True,
        disable_tagging=True,
        client_options=_client(bucket, request_timeout=request_timeout, patient=patient),
        retry_config=_retries(patient=patient),
        credential_provider=_Credentials(account),
    )


class _Credentials:
    """Our own keys, without the session token that the environment may have."""

    def __init__(self, account: S3Account) -> None:
        self._account = account

    def __call__(self) -> "S3Credential":
        return {
            "access_key_id": self._account.access_key,
            "secret_access_key": self._account.secret_key,
            "token": None,
            "expires_at": None,
        }


def _client(bucket: S3Bucket, *, request_timeout: float, patient: bool) -> "ClientConfig":
    return {
        "allow_http": bucket.account.base_url.startswith("http://"),
        "connect_timeout": timedelta(seconds=2),
        "timeout": timedelta(seconds=request_timeout),
        # Connections that lie idle die unseen in routers between us and the service.
        "pool_idle_timeout": timedelta(seconds=15),
        "pool_max_idle_per_host": "32" if patient else "0",
        "user_agent": "chitram",
    }


def _retries(*, patient: bool) -> "RetryConfig":
    return {
        "max_retries": 2 if patient else 0,
        "retry_timeout": timedelta(seconds=10),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=2),
            "base": 2,
        },
    }

"""Settings of the services that Chitram can stand on: database, store of bytes, Redis, Celery."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, SecretStr

from chitram.settings.fields import Group, at_least_one, base_url, setting

SQLITE_SCHEMES = ("sqlite:///", "sqlite+aiosqlite:///")
POSTGRESQL_SCHEMES = ("postgresql://", "postgresql+asyncpg://", "postgres://")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _database_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not value.get_secret_value().startswith(SQLITE_SCHEMES + POSTGRESQL_SCHEMES):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return value


def _redis_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not value.get_secret_value().startswith(REDIS_SCHEMES):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def _endpoint(value: str) -> str:
    if any(letter in value for letter in "/@?# \t"):
        raise ValueError("must be host:port or a host, without http:// or a path; see MINIO_SECURE")
    return value


def _path_prefix(value: str) -> str:
    if value and not (value.startswith("/") and value.endswith("/")):
        raise ValueError("must begin and end with /")
    return value


class DatabaseSettings(Group):
    """Where the rows are."""

    url: Annotated[SecretStr | None, AfterValidator(_database_url)] = setting(
        "DATABASE_URL", None, "The database, sqlite:/// or postgresql://; empty: SQLite in the data directory."
    )
    pool_size: int = at_least_one("DB_POOL_SIZE", 5, "Connections to PostgreSQL that are kept open, for each purpose.")
    max_overflow: int = setting("DB_MAX_OVERFLOW", 10, "Connections to PostgreSQL beyond these under load.", ge=0)
    pool_recycle: int = at_least_one("DB_POOL_RECYCLE", 3600, "A connection this old, in seconds, is replaced.")
    pool_timeout: float = setting(
        "DB_POOL_TIMEOUT_SECONDS", 0.5, "Longest wait for a connection to PostgreSQL; then 503.", gt=0
    )
    connect_timeout: float = setting(
        "DB_CONNECT_TIMEOUT_SECONDS", 0.5, "Longest time that opening a connection to PostgreSQL may take.", gt=0
    )
    statement_timeout: float = setting(
        "DB_STATEMENT_TIMEOUT_SECONDS", 0.8, "Longest time for one statement of a request on PostgreSQL.", gt=0
    )
    lock_timeout: float = setting(
        "DB_LOCK_TIMEOUT_SECONDS", 0.5, "Longest wait of a statement for a lock of PostgreSQL.", gt=0
    )


class StorageSettings(Group):
    """Where the bytes are."""

    backend: Literal["local", "minio"] = setting(
        "STORAGE_BACKEND", "local", "Where originals and thumbnails are kept; minio: any service that speaks S3."
    )
    local_path: Path | None = setting(
        "LOCAL_STORAGE_PATH", None, "Directory of the local backend; empty: `storage` in the data directory."
    )
    on_network: bool = setting(
        "LOCAL_STORAGE_ON_NETWORK",
        False,
        "The directory is on a network (NFS, SMB): nothing but the requests for its files waits when that hangs.",
    )
    reserve_mb: int = setting(
        "STORAGE_RESERVE_MB", 64, "Uploads are refused when less than this would stay free on the disk (MiB).", ge=0
    )
    minio_endpoint: Annotated[str, AfterValidator(_endpoint)] = setting(
        "MINIO_ENDPOINT", "", "The S3 service, host:port, or the host alone at its usual port."
    )
    minio_access_key: str = setting("MINIO_ACCESS_KEY", "", "Our name at the S3 service.")
    minio_secret_key: SecretStr | None = setting("MINIO_SECRET_KEY", None, "Our secret at the S3 service.")
    minio_bucket: str = setting("MINIO_BUCKET", "images", "The bucket; it is made at the first start.")
    minio_region: str = setting("MINIO_REGION", "us-east-1", "The region that requests are signed for.")
    minio_secure: bool = setting("MINIO_SECURE", False, "Whether the S3 service is spoken to by https.")
    minio_startup_timeout: float = setting(
        "MINIO_STARTUP_TIMEOUT", 10, "Longest time to make sure of the bucket at the start, in seconds.", gt=0
    )
    minio_delivery: Literal["proxy", "redirect"] = setting(
        "MINIO_DELIVERY", "proxy", "How originals are handed out: through us, or by a signed link to the S3 service."
    )
    minio_public_url: Annotated[str, AfterValidator(base_url)] = setting(
        "MINIO_PUBLIC_URL", "", "How clients reach the S3 service, for signed links; empty: as we do."
    )
    accel_prefix: Annotated[str, AfterValidator(_path_prefix)] = setting(
        "X_ACCEL_PREFIX", "", "nginx's internal location of the local store, such as /_blobs/; empty: we send bytes."
    )


class RedisSettings(Group):
    """What server processes share."""

    url: Annotated[SecretStr | None, AfterValidator(_redis_url)] = setting(
        "REDIS_URL", None, "Redis for the cache and the limits; empty: see REDIS_HOST."
    )
    host: str = setting("REDIS_HOST", "", "The same, part by part; empty and without REDIS_URL: no Redis.")
    port: int = setting("REDIS_PORT", 6379, "Its port.", ge=1, le=65535)
    password: SecretStr | None = setting("REDIS_PASSWORD", None, "Its password, if any.")
    db: int = setting("REDIS_DB", 0, "The number of its database.", ge=0)
    timeout: float = setting(
        "REDIS_TIMEOUT_SECONDS", 0.05, "Longest wait for one answer of Redis; then we go on without it.", gt=0
    )

    @property
    def address(self) -> str | None:
        """The whole URL, password included; None without Redis."""
        if self.url is not None:
            return self.url.get_secret_value()
        if not self.host:
            return None
        secret = "" if self.password is None else f":{quote(self.password.get_secret_value(), safe='')}@"
        return f"redis://{secret}{self.host}:{self.port}/{self.db}"


class CelerySettings(Group):
    """Jobs in processes of their own."""

    broker_url: Annotated[SecretStr | None, AfterValidator(_redis_url)] = setting(
        "CELERY_BROKER_URL", None, "Redis that carries jobs to `chitram worker`; empty: the server does them itself."
    )
    concurrency: int = setting("CELERY_CONCURRENCY", 0, "Processes of one worker; 0: as many as there are cores.", ge=0)
    visibility_timeout: int = at_least_one(
        "CELERY_VISIBILITY_TIMEOUT", 600, "Seconds after which a message whose worker vanished goes to another one."
    )

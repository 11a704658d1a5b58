"""The groups of settings, each field with its environment variable, its default and a sentence."""

import ipaddress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chitram.domain.images import Visibility
from chitram.domain.media import FORMATS

MEBIBYTE = 1024 * 1024


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _known_types(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [v for v in value if v not in FORMATS]
    if unknown or not value:
        raise ValueError(f"must name one or more of {', '.join(FORMATS)}")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ipaddress.ip_network(network, strict=False)
    return value


def _base_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not (host and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("must have the form host:port")
    return value


def _sqlite_url(value: str) -> str:
    if value and not value.startswith(("sqlite:///", "sqlite+aiosqlite:///")):
        raise ValueError("must begin with sqlite:///")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Group(BaseSettings):
    """Settings that belong together; each field's alias is its environment variable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True, hide_input_in_errors=True
    )


def setting(variable: str, default: Any, help_text: str, **constraints: Any) -> Any:  # noqa: ANN401  # as pydantic's Field
    """A field read from the environment variable `variable`."""
    return Field(default, validation_alias=variable, description=help_text, **constraints)


_at_least_one = partial(setting, ge=1)


class AppSettings(Group):
    """Where the service runs and how it is reached."""

    env: Literal["development", "test", "production"] = setting(
        "APP_ENV", "development", "What the process is for; production insists on safe settings."
    )
    debug: bool = setting("DEBUG", False, "Log more. Never changes what clients see.")
    data_dir: Path = setting("DATA_DIR", Path("data"), "The directory that holds everything unless told otherwise.")
    public_url: Annotated[str, AfterValidator(_base_url)] = setting(
        "PUBLIC_URL", "", "Base of the absolute URLs in answers; empty: from the request's host."
    )
    allowed_hosts: Names = setting(
        "ALLOWED_HOSTS", (), "Host names that are answered, comma-separated, `*.` for subdomains; empty: any."
    )
    trusted_proxies: Annotated[Names, AfterValidator(_networks)] = setting(
        "TRUSTED_PROXIES", (), "Proxies whose X-Forwarded-For and -Proto count, comma-separated."
    )
    secret_key: SecretStr | None = setting(
        "JWT_SECRET_KEY", None, "Signs what we hand out; empty: made once and kept in the data directory."
    )
    metrics_bind: Annotated[str, AfterValidator(_address)] = setting(
        "METRICS_BIND", "", "Serve /metrics on this host:port alone; empty: on the service's own port."
    )
    head_timeout: float = setting("HEADER_TIMEOUT_SECONDS", 15, "Longest time a request's head may take.", gt=0)
    connections_per_address: int = _at_least_one(
        "MAX_CONNECTIONS_PER_ADDRESS", 512, "Open connections of one address; trusted proxies are not counted."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("LOG_LEVEL", "info", "The least severe log line.")
    log_format: Literal["auto", "json", "console"] = setting(
        "LOG_FORMAT", "auto", "auto: coloured on a terminal, JSON lines elsewhere."
    )


class DatabaseSettings(Group):
    """Where the rows are."""

    url: Annotated[str, AfterValidator(_sqlite_url)] = setting(
        "DATABASE_URL", "", "The database; empty: SQLite in the data directory."
    )


class StorageSettings(Group):
    """Where the bytes are."""

    backend: Literal["local"] = setting("STORAGE_BACKEND", "local", "Where originals and thumbnails are kept.")
    local_path: Path | None = setting(
        "LOCAL_STORAGE_PATH", None, "Directory of the local backend; empty: `storage` in the data directory."
    )
    reserve_mb: int = setting(
        "STORAGE_RESERVE_MB", 64, "Uploads are refused when less than this would stay free on the disk (MiB).", ge=0
    )


class UploadSettings(Group):
    """What may be uploaded, and how much at a time."""

    anonymous: bool = setting("ANONYMOUS_UPLOADS", True, "Whether people without an account may upload.")
    max_file_size_mb: int = _at_least_one("MAX_FILE_SIZE_MB", 5, "Largest file, in MiB.", le=1024)
    allowed_content_types: Annotated[Names, AfterValidator(_known_types)] = setting(
        "ALLOWED_CONTENT_TYPES", ("image/jpeg", "image/png"), "Formats that are accepted, comma-separated."
    )
    strip_metadata: bool = setting(
        "STRIP_METADATA", True, "Remove EXIF, GPS and the like from what is kept, without touching pixels."
    )
    default_visibility: Literal[Visibility.PUBLIC, Visibility.UNLISTED] = setting(
        "DEFAULT_VISIBILITY", Visibility.UNLISTED, "Who sees an upload that does not say."
    )
    thumbnail_mode: Literal["inline", "background"] = setting(
        "THUMBNAIL_MODE", "inline", "inline: thumbnails exist when the upload answers; background: soon after."
    )
    max_pixels: int = _at_least_one("MAX_PIXELS", 100_000_000, "Most pixels of one frame.")
    max_frames: int = _at_least_one("MAX_FRAMES", 500, "Most frames of an animation.")
    max_total_pixels: int = _at_least_one("MAX_TOTAL_PIXELS", 500_000_000, "Most pixels of all frames together.")
    concurrency_limit: int = _at_least_one("UPLOAD_CONCURRENCY_LIMIT", 10, "Uploads that are worked on at a time.")
    concurrency_per_address: int = _at_least_one(
        "UPLOAD_CONCURRENCY_PER_ADDRESS", 3, "Of these, at most so many from one address."
    )
    concurrency_timeout: float = setting(
        "UPLOAD_CONCURRENCY_TIMEOUT", 30, "Longest wait for a place, in seconds; then 503 UPLOAD_BUSY.", ge=0
    )
    deadline: float = setting("UPLOAD_DEADLINE_SECONDS", 300, "Longest time that one body may take to arrive.", gt=0)
    min_rate: int = setting(
        "UPLOAD_MIN_RATE", 4096, "Slowest body, in bytes a second after the first 10 s; 0: no matter.", ge=0
    )

    @property
    def max_file_size(self) -> int:
        """Largest file in bytes; exactly this much passes."""
        return self.max_file_size_mb * MEBIBYTE


class DecodeSettings(Group):
    """The sandbox in which pictures are decoded."""

    workers: int = setting("DECODE_WORKERS", 0, "Decoder processes; 0: as many as there are cores.", ge=0)
    memory_mb: int = setting("DECODE_MEMORY_MB", 1024, "Address space of one decoder beyond its base, in MiB.", ge=128)
    cpu_seconds: float = setting("DECODE_CPU_SECONDS", 15, "CPU time of one decode.", gt=0)
    timeout: float = setting("DECODE_TIMEOUT_SECONDS", 30, "Wall-clock time of one decode.", gt=0)
    recycle_after: int = _at_least_one("DECODE_RECYCLE_AFTER", 200, "Decodes after which a decoder is replaced.")


class CacheSettings(Group):
    """What is kept in memory."""

    enabled: bool = setting("CACHE_ENABLED", True, "Keep image records in memory between requests.")
    ttl_seconds: int = _at_least_one("CACHE_TTL_SECONDS", 3600, "Longest life of a cached record.")
    max_entries: int = _at_least_one("CACHE_MAX_ENTRIES", 20_000, "Most cached records.")
    thumbnail_mb: int = setting("THUMBNAIL_CACHE_MB", 64, "Memory for small thumbnails, in MiB; 0: none.", ge=0)


class LimitSettings(Group):
    """How often something may be asked."""

    enabled: bool = setting("RATE_LIMIT_ENABLED", True, "Whether rate limits are on.")
    per_minute: int = _at_least_one("RATE_LIMIT_PER_MINUTE", 10, "Uploads of one address in a window.")
    similar_per_minute: int = _at_least_one(
        "RATE_LIMIT_SIMILAR_PER_MINUTE", 60, "Searches for near-duplicates of one address in a window."
    )
    window_seconds: int = _at_least_one("RATE_LIMIT_WINDOW_SECONDS", 60, "The length of the window.")


class HousekeepingSettings(Group):
    """What happens by itself."""

    collect_grace_seconds: int = setting(
        "COLLECT_GRACE_SECONDS", 86_400, "How long bytes that nothing names are kept before they are erased.", ge=0
    )
    sweep_interval: float = setting("SWEEP_INTERVAL_SECONDS", 60, "Pause between two rounds of the sweepers.", gt=0)
    scrub_days: int = _at_least_one("SCRUB_DAYS", 30, "Every stored file is read and compared at least this often.")
    job_runners: int = _at_least_one("JOB_RUNNERS", 2, "Jobs that are worked on at a time.")

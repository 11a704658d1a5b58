"""The groups of settings, each field with its environment variable, its default and a sentence."""

import ipaddress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chitram.domain.images import Visibility
from chitram.domain.media import FORMATS

MEBIBYTE = 1024 * 1024
#: Quotas have to fit into the database's numbers: an exabyte, and more files than that could hold.
MAX_QUOTA_MB = 2**40
MAX_QUOTA_FILES = 2**60


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


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(origin if origin == "*" else _origin(origin) for origin in value)


def _origin(text: str) -> str:
    """`text` as browsers write it: in lower case, and without the port that goes without saying."""
    parts = urlsplit(text)
    default_port = {"http": 80, "https": 443}.get(parts.scheme)
    if default_port is None or not parts.hostname or text.lower() != f"{parts.scheme}://{parts.netloc}".lower():
        raise ValueError("must be origins such as https://app.example.org, or *")
    if "@" in parts.netloc:
        raise ValueError("must be origins, without a name or a password")
    return text.lower().removesuffix(f":{default_port}") if parts.port == default_port else text.lower()


def _one_secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None and "," in value.get_secret_value():
        raise ValueError("must not contain a comma: it could not be named in JWT_PREVIOUS_SECRET_KEYS later")
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
    secret_key: Annotated[SecretStr | None, AfterValidator(_one_secret)] = setting(
        "JWT_SECRET_KEY", None, "Signs what we hand out; empty: made once and kept in the data directory."
    )
    previous_secret_keys: SecretStr | None = setting(
        "JWT_PREVIOUS_SECRET_KEYS",
        None,
        "Older secrets, comma-separated: what they signed stays good until it expires.",
    )
    cors_origins: Annotated[Names, AfterValidator(_origins)] = setting(
        "CORS_ORIGINS", (), "Origins of other sites whose pages may use the API, comma-separated; `*`: any."
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

    @property
    def previous_secrets(self) -> tuple[SecretStr, ...]:
        """Secrets that signed what is still good."""
        text = self.previous_secret_keys.get_secret_value() if self.previous_secret_keys is not None else ""
        return tuple(SecretStr(part.strip()) for part in text.split(",") if part.strip())


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


class AccountSettings(Group):
    """Who may have an account, how people sign in, and how much they may keep."""

    registration: Literal["open", "closed", "invite"] = setting(
        "REGISTRATION", "open", "Who may register: everybody, nobody, or whoever has an invitation."
    )
    jwt_algorithm: Literal["HS256"] = setting("JWT_ALGORITHM", "HS256", "How tokens are signed; there is no other way.")
    jwt_expire_minutes: int = _at_least_one("JWT_EXPIRE_MINUTES", 1440, "Life of an access token.", le=525_600)
    session_expire_days: int = _at_least_one("SESSION_EXPIRE_DAYS", 30, "Life of a browser's session.", le=3650)
    bcrypt_rounds: int = setting(
        "BCRYPT_ROUNDS",
        12,
        "Cost of a password hash; one more doubles it. After lowering it, time tells who has not signed in since.",
        ge=4,
        le=18,
    )
    password_blocklist: Path | None = setting(
        "PASSWORD_BLOCKLIST", None, "A file of passwords that are refused, one a line; empty: none is."
    )
    quota_mb: int = setting(
        "DEFAULT_QUOTA_MB", 0, "What an account may keep, in MiB; 0: no limit.", ge=0, le=MAX_QUOTA_MB
    )
    quota_files: int = setting(
        "DEFAULT_QUOTA_FILES", 0, "How many files an account may keep; 0: no limit.", ge=0, le=MAX_QUOTA_FILES
    )


class CacheSettings(Group):
    """What is kept in memory."""

    enabled: bool = setting("CACHE_ENABLED", True, "Keep image records in memory between requests.")
    ttl_seconds: int = _at_least_one("CACHE_TTL_SECONDS", 3600, "Longest life of a cached record.")
    max_entries: int = _at_least_one("CACHE_MAX_ENTRIES", 20_000, "Most cached records.")
    thumbnail_mb: int = setting("THUMBNAIL_CACHE_MB", 64, "Memory for small thumbnails, in MiB; 0: none.", ge=0)


class LimitSettings(Group):
    """How often something may be asked."""

    enabled: bool = setting("RATE_LIMIT_ENABLED", True, "Whether rate limits are on.")
    per_minute: int = _at_least_one(
        "RATE_LIMIT_PER_MINUTE", 10, "Uploads without an account, of one address in a window."
    )
    account_per_minute: int = _at_least_one("RATE_LIMIT_ACCOUNT_PER_MINUTE", 120, "Uploads of one account in a window.")
    similar_per_minute: int = _at_least_one(
        "RATE_LIMIT_SIMILAR_PER_MINUTE", 60, "Searches for near-duplicates of one address in a window."
    )
    window_seconds: int = _at_least_one("RATE_LIMIT_WINDOW_SECONDS", 60, "The length of the window.")
    auth_attempts: int = _at_least_one(
        "RATE_LIMIT_AUTH_ATTEMPTS", 10, "Sign-ins, registrations and the like: of one address, and to one account."
    )
    auth_attempts_all: int = _at_least_one("RATE_LIMIT_AUTH_ATTEMPTS_ALL", 1000, "The same of everybody together.")
    auth_window_seconds: int = _at_least_one("RATE_LIMIT_AUTH_WINDOW_SECONDS", 300, "The window for these.")
    allowed: Annotated[Names, AfterValidator(_networks)] = setting(
        "RATE_LIMIT_ALLOWED", (), "Addresses and networks that have no limits, comma-separated."
    )


class HousekeepingSettings(Group):
    """What happens by itself."""

    collect_grace_seconds: int = setting(
        "COLLECT_GRACE_SECONDS", 86_400, "How long bytes that nothing names are kept before they are erased.", ge=0
    )
    sweep_interval: float = setting("SWEEP_INTERVAL_SECONDS", 60, "Pause between two rounds of the sweepers.", gt=0)
    scrub_days: int = _at_least_one("SCRUB_DAYS", 30, "Every stored file is read and compared at least this often.")
    job_runners: int = _at_least_one("JOB_RUNNERS", 2, "Jobs that are worked on at a time.")

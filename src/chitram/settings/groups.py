"""The groups of settings, each field with its environment variable, its default and a sentence."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, SecretStr

from chitram.domain.images import Visibility
from chitram.domain.leases import MAX_LEASE_SECONDS
from chitram.settings.fields import (
    Group,
    Names,
    at_least_one,
    base_url,
    host_and_port,
    host_names,
    known_types,
    networks,
    one_secret,
    origins,
    setting,
)

MEBIBYTE = 1024 * 1024
#: Quotas have to fit into the database's numbers: an exabyte, and more files than that could hold.
MAX_QUOTA_MB = 2**40
MAX_QUOTA_FILES = 2**60


class AppSettings(Group):
    """Where the service runs and how it is reached."""

    env: Literal["development", "test", "production"] = setting(
        "APP_ENV", "development", "What the process is for; production insists on safe settings."
    )
    debug: bool = setting("DEBUG", False, "Log more. Never changes what clients see.")
    data_dir: Path = setting("DATA_DIR", Path("data"), "The directory that holds everything unless told otherwise.")
    public_url: Annotated[str, AfterValidator(base_url)] = setting(
        "PUBLIC_URL", "", "Base of the absolute URLs in answers; empty: from the request's host."
    )
    allowed_hosts: Annotated[Names, AfterValidator(host_names)] = setting(
        "ALLOWED_HOSTS", (), "Host names that are answered, comma-separated, `*.` for subdomains; empty: any."
    )
    trusted_proxies: Annotated[Names, AfterValidator(networks)] = setting(
        "TRUSTED_PROXIES", (), "Proxies whose X-Forwarded-For and -Proto count, comma-separated."
    )
    secret_key: Annotated[SecretStr | None, AfterValidator(one_secret)] = setting(
        "JWT_SECRET_KEY", None, "Signs what we hand out; empty: made once and kept in the data directory."
    )
    previous_secret_keys: SecretStr | None = setting(
        "JWT_PREVIOUS_SECRET_KEYS",
        None,
        "Older secrets, comma-separated: what they signed stays good until it expires.",
    )
    cors_origins: Annotated[Names, AfterValidator(origins)] = setting(
        "CORS_ORIGINS", (), "Origins of other sites whose pages may use the API, comma-separated; `*`: any."
    )
    metrics_bind: Annotated[str, AfterValidator(host_and_port)] = setting(
        "METRICS_BIND", "", "Serve /metrics on this host:port alone; empty: on the service's own port."
    )
    head_timeout: float = setting("HEADER_TIMEOUT_SECONDS", 15, "Longest time a request's head may take.", gt=0)
    connections_per_address: int = at_least_one(
        "MAX_CONNECTIONS_PER_ADDRESS", 512, "Open connections of one address; trusted proxies are not counted."
    )
    read_only: bool = setting("READ_ONLY", False, "Refuse every change with 503; pictures are shown as ever.")
    log_level: Literal["debug", "info", "warning", "error"] = setting("LOG_LEVEL", "info", "The least severe log line.")
    log_format: Literal["auto", "json", "console"] = setting(
        "LOG_FORMAT", "auto", "auto: coloured on a terminal, JSON lines elsewhere."
    )

    @property
    def previous_secrets(self) -> tuple[SecretStr, ...]:
        """Secrets that signed what is still good."""
        text = self.previous_secret_keys.get_secret_value() if self.previous_secret_keys is not None else ""
        return tuple(SecretStr(part.strip()) for part in text.split(",") if part.strip())


class UploadSettings(Group):
    """What may be uploaded, and how much at a time."""

    anonymous: bool = setting("ANONYMOUS_UPLOADS", True, "Whether people without an account may upload.")
    max_file_size_mb: int = at_least_one("MAX_FILE_SIZE_MB", 5, "Largest file, in MiB.", le=1024)
    allowed_content_types: Annotated[Names, AfterValidator(known_types)] = setting(
        "ALLOWED_CONTENT_TYPES", ("image/jpeg", "image/png"), "Formats that are accepted, comma-separated."
    )
    strip_metadata: bool = setting(
        "STRIP_METADATA", True, "Remove EXIF, GPS and the like from what is kept, without touching pixels."
    )
    default_visibility: Literal[Visibility.PUBLIC, Visibility.UNLISTED] = setting(
        "DEFAULT_VISIBILITY", Visibility.UNLISTED, "Who sees an upload that does not say."
    )
    thumbnail_mode: Literal["inline", "background"] | None = setting(
        "THUMBNAIL_MODE",
        None,
        "inline: thumbnails exist when the upload answers; background: soon after. Empty: background with Celery.",
    )
    max_pixels: int = at_least_one("MAX_PIXELS", 100_000_000, "Most pixels of one frame.")
    max_frames: int = at_least_one("MAX_FRAMES", 500, "Most frames of an animation.")
    max_total_pixels: int = at_least_one("MAX_TOTAL_PIXELS", 500_000_000, "Most pixels of all frames together.")
    concurrency_limit: int = at_least_one("UPLOAD_CONCURRENCY_LIMIT", 10, "Uploads that are worked on at a time.")
    concurrency_per_address: int = at_least_one(
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
    recycle_after: int = at_least_one("DECODE_RECYCLE_AFTER", 200, "Decodes after which a decoder is replaced.")


class AccountSettings(Group):
    """Who may have an account, how people sign in, and how much they may keep."""

    registration: Literal["open", "closed", "invite"] = setting(
        "REGISTRATION", "open", "Who may register: everybody, nobody, or whoever has an invitation."
    )
    jwt_algorithm: Literal["HS256"] = setting("JWT_ALGORITHM", "HS256", "How tokens are signed; there is no other way.")
    jwt_expire_minutes: int = at_least_one("JWT_EXPIRE_MINUTES", 1440, "Life of an access token.", le=525_600)
    session_expire_days: int = at_least_one("SESSION_EXPIRE_DAYS", 30, "Life of a browser's session.", le=3650)
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
    ttl_seconds: int = at_least_one("CACHE_TTL_SECONDS", 3600, "Longest life of a cached record.")
    max_entries: int = at_least_one("CACHE_MAX_ENTRIES", 20_000, "Most cached records.")
    key_prefix: str = setting("CACHE_KEY_PREFIX", "chitram", "What our keys in Redis begin with.", pattern=r"^[\w.-]+$")
    debug: bool = setting("CACHE_DEBUG", False, "Log every answer of the cache.")
    proxy_seconds: int = setting(
        "PROXY_CACHE_SECONDS",
        0,
        "How long nginx in front may keep what everybody may see; changes and deletions wait as long. 0: not at all.",
        ge=0,
        le=MAX_LEASE_SECONDS,
    )
    thumbnail_mb: int = setting("THUMBNAIL_CACHE_MB", 64, "Memory for small thumbnails, in MiB; 0: none.", ge=0)


class LimitSettings(Group):
    """How often something may be asked."""

    enabled: bool = setting("RATE_LIMIT_ENABLED", True, "Whether rate limits are on.")
    per_minute: int = at_least_one(
        "RATE_LIMIT_PER_MINUTE", 10, "Uploads without an account, of one address in a window."
    )
    account_per_minute: int = at_least_one("RATE_LIMIT_ACCOUNT_PER_MINUTE", 120, "Uploads of one account in a window.")
    similar_per_minute: int = at_least_one(
        "RATE_LIMIT_SIMILAR_PER_MINUTE", 60, "Searches for near-duplicates of one address in a window."
    )
    window_seconds: int = at_least_one("RATE_LIMIT_WINDOW_SECONDS", 60, "The length of the window.")
    auth_attempts: int = at_least_one(
        "RATE_LIMIT_AUTH_ATTEMPTS", 10, "Sign-ins, registrations and the like: of one address, and to one account."
    )
    auth_attempts_all: int = at_least_one("RATE_LIMIT_AUTH_ATTEMPTS_ALL", 1000, "The same of everybody together.")
    auth_window_seconds: int = at_least_one("RATE_LIMIT_AUTH_WINDOW_SECONDS", 300, "The window for these.")
    allowed: Annotated[Names, AfterValidator(networks)] = setting(
        "RATE_LIMIT_ALLOWED", (), "Addresses and networks that have no limits, comma-separated."
    )


class HousekeepingSettings(Group):
    """What happens by itself."""

    collect_grace_seconds: int = setting(
        "COLLECT_GRACE_SECONDS", 86_400, "How long bytes that nothing names are kept before they are erased.", ge=0
    )
    sweep_interval: float = setting("SWEEP_INTERVAL_SECONDS", 60, "Pause between two rounds of the sweepers.", gt=0)
    scrub_days: int = at_least_one("SCRUB_DAYS", 30, "Every stored file is read and compared at least this often.")
    job_runners: int = at_least_one("JOB_RUNNERS", 2, "Jobs that are worked on at a time.")

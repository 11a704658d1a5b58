"""The tree of all settings, and reading it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from chitram.settings.fields import Group
from chitram.settings.groups import (
    AccountSettings,
    AppSettings,
    CacheSettings,
    DecodeSettings,
    HousekeepingSettings,
    LimitSettings,
    UploadSettings,
)
from chitram.settings.services import (
    POSTGRESQL_SCHEMES,
    CelerySettings,
    DatabaseSettings,
    RedisSettings,
    StorageSettings,
)

#: A secret shorter than this, or of fewer different characters, is refused in production, as is what examples call one.
MIN_SECRET_BYTES = 32
MIN_SECRET_CHARACTERS = 8
#: Fewer rounds of bcrypt are for tests.
MIN_PRODUCTION_ROUNDS = 10
#: What services and their tutorials come with, in small letters.
PUBLISHED_SECRETS = frozenset(
    {"minioadmin", "minio123", "changeme", "password", "secret", "postgres", "redis", "chitram", "admin", "root"}
)
PLACEHOLDERS = ("changeme", "changethis", "changeinproduction", "devsecret", "yoursecret", "yoursupersecret")


class SettingsError(ValueError):
    """One line for each setting that cannot be used, beginning with the variable's name."""


class Settings(BaseModel):
    """The whole tree."""

    model_config = ConfigDict(frozen=True)

    app: AppSettings = Field(default_factory=AppSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    celery: CelerySettings = Field(default_factory=CelerySettings)
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    accounts: AccountSettings = Field(default_factory=AccountSettings)
    decode: DecodeSettings = Field(default_factory=DecodeSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    housekeeping: HousekeepingSettings = Field(default_factory=HousekeepingSettings)

    @property
    def database_url(self) -> str:
        """The URL of the database, password included."""
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.app.data_dir / 'chitram.db'}"

    @property
    def on_postgresql(self) -> bool:
        """Whether the rows are in PostgreSQL, which several machines may share."""
        return self.database_url.startswith(POSTGRESQL_SCHEMES)

    @property
    def storage_path(self) -> Path:
        return self.storage.local_path or self.app.data_dir / "storage"

    @property
    def is_shared(self) -> bool:
        """Whether everything that server processes have to agree on is outside of them."""
        return self.on_postgresql and self.redis.address is not None

    @property
    def staging_path(self) -> Path:
        """Where uploads land: beside the store where that is local, so that keeping one is a matter of its name."""
        return self.storage_path / ".staging" if self.storage.backend == "local" else self.app.data_dir / "staging"

    @property
    def render_inline(self) -> bool:
        """Whether thumbnails are made before an upload answers; by default where no worker could make them."""
        return self.uploads.thumbnail_mode == "inline" or (
            self.uploads.thumbnail_mode is None and self.celery.broker_url is None
        )

    def checked(self) -> Self:
        """These settings, or SettingsError when they are not fit for the environment that they name."""
        problems = []
        if self.app.env == "production":
            if not self.app.allowed_hosts:
                problems.append("ALLOWED_HOSTS: required when APP_ENV=production")
            if self.app.debug:
                problems.append("DEBUG: must be off when APP_ENV=production")
            problems += _weak_secret("JWT_SECRET_KEY", self.app.secret_key)
            problems += _published_secrets(self)
            problems += _weak_secret("JWT_PREVIOUS_SECRET_KEYS", *self.app.previous_secrets)
            if self.accounts.bcrypt_rounds < MIN_PRODUCTION_ROUNDS:
                problems.append(f"BCRYPT_ROUNDS: must be at least {MIN_PRODUCTION_ROUNDS} when APP_ENV=production")
        if self.decode.timeout < self.decode.cpu_seconds:
            problems.append("DECODE_TIMEOUT_SECONDS: must not be less than DECODE_CPU_SECONDS")
        problems += _store_problems(self)
        problems += _proxy_problems(self)
        if problems:
            raise SettingsError("\n".join(problems))
        return self


def _store_problems(settings: Settings) -> list[str]:
    storage = settings.storage
    if storage.backend == "local":
        return []
    needed = {
        "MINIO_ENDPOINT": storage.minio_endpoint,
        "MINIO_ACCESS_KEY": storage.minio_access_key,
        "MINIO_SECRET_KEY": storage.minio_secret_key,
    }
    problems = [f"{name}: required when STORAGE_BACKEND=minio" for name, value in needed.items() if not value]
    if storage.accel_prefix:
        problems.append("X_ACCEL_PREFIX: only for STORAGE_BACKEND=local")
    return problems


def _published_secrets(settings: Settings) -> list[str]:
    """Services that anybody who gets near them can use."""
    storage = settings.storage
    given = {
        "MINIO_SECRET_KEY": _text(storage.minio_secret_key) if storage.backend == "minio" else "",
        "DATABASE_URL": _password(settings.database.url),
        "REDIS_URL": _password(settings.redis.url),
        "REDIS_PASSWORD": _text(settings.redis.password),
        "CELERY_BROKER_URL": _password(settings.celery.broker_url),
    }
    return [
        f"{name}: has a password that is known to everybody; choose another one when APP_ENV=production"
        for name, secret in given.items()
        if secret.lower() in PUBLISHED_SECRETS
    ]


def _text(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _password(url: SecretStr | None) -> str:
    """The password in `url`; empty when there is none, or when the URL is no good, which others find out."""
    try:
        return unquote(urlsplit(_text(url)).password or "")
    except ValueError:
        return ""


def _proxy_problems(settings: Settings) -> list[str]:
    """Only proxies that we know are told what they may do."""
    if settings.app.trusted_proxies:
        return []
    asked = {"X_ACCEL_PREFIX": settings.storage.accel_prefix, "PROXY_CACHE_SECONDS": settings.cache.proxy_seconds}
    return [f"{name}: needs TRUSTED_PROXIES, which names the proxy" for name, value in asked.items() if value]


def _weak_secret(variable: str, *secrets: SecretStr | None) -> list[str]:
    if any(_is_weak(secret.get_secret_value()) for secret in secrets if secret is not None):
        return [f"{variable}: must be a random secret of at least {MIN_SECRET_BYTES} bytes when APP_ENV=production"]
    return []


def _is_weak(text: str) -> bool:
    letters = "".join(filter(str.isalnum, text.lower()))
    return (
        len(text.encode()) < MIN_SECRET_BYTES
        or len(set(text)) < MIN_SECRET_CHARACTERS
        or any(word in letters for word in PLACEHOLDERS)
    )


class Entry(NamedTuple):
    """One setting as documentation and `chitram settings` show it."""

    variable: str
    group: str
    default: object
    value: object
    help: str
    secret: bool


def load_settings(*, env_file: Path | None = Path(".env")) -> Settings:
    """Read every setting from the environment and `env_file`. SettingsError names what cannot be used."""
    groups: dict[str, Group] = {}
    problems: list[str] = []
    for name, group in _groups():
        try:
            groups[name] = group(_env_file=env_file)  # type: ignore[call-arg]  # pydantic-settings' own constructor
        except ValidationError as error:
            problems += [f"{e['loc'][0]}: {_sentence(e['msg'])}" for e in error.errors()]
        except OSError as error:
            reason = f"{env_file} cannot be read ({error.strerror}); run this as the user of the service"
            raise SettingsError(reason) from error
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**groups).checked()  # type: ignore[arg-type]  # each group is of the type that its field names


def entries(settings: Settings) -> list[Entry]:
    """Every setting with its default and present value, in the order of the tree."""
    return [
        Entry(
            variable=str(field.validation_alias),
            group=(group.__doc__ or "").strip(),
            default=field.default,
            value=getattr(getattr(settings, name), field_name),
            help=field.description or "",
            secret=_is_secret(field),
        )
        for name, group in _groups()
        for field_name, field in group.model_fields.items()
    ]


def _groups() -> list[tuple[str, type[Group]]]:
    fields: Mapping[str, FieldInfo] = Settings.model_fields
    return [(name, field.annotation) for name, field in fields.items() if isinstance(field.annotation, type)]


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")

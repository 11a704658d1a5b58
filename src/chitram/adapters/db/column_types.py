"""Column types that keep the domain's promises: aware UTC moments and unsigned 64-bit hashes."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, Text
from sqlalchemy.types import String, TypeDecorator, TypeEngine

from chitram.domain.api_tokens import Scope

_SIGN = 1 << 63
_RANGE = 1 << 64


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with microseconds. Naive datetimes are refused with ValueError; what comes back is aware and in UTC.

    SQLite has no such type and keeps `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, which sorts as text; others keep a time zone.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("a moment without its time zone cannot be stored")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Unsigned64(TypeDecorator[int]):
    """An unsigned 64-bit number in a signed column with the same bits. Others are refused with ValueError."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        return None if value is None else signed64(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        return None if value is None else unsigned64(value)


class ScopeSet(TypeDecorator[frozenset[Scope]]):
    """What an API token is for, as a short text: `delete,read`. The same set is always the same text."""

    impl = String(64)
    cache_ok = True

    def process_bind_param(self, value: frozenset[Scope] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        return None if value is None else ",".join(sorted(scope.value for scope in value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[Scope] | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        return None if value is None else parse_scopes(value)


def parse_scopes(text: str) -> frozenset[Scope]:
    """What ScopeSet wrote."""
    return frozenset(Scope(name) for name in text.split(",") if name)


def signed64(value: int) -> int:
    """The signed 64-bit number with the same bits as the unsigned `value`."""
    if not 0 <= value < _RANGE:
        raise ValueError("not an unsigned 64-bit number")
    return value - _RANGE if value >= _SIGN else value


def unsigned64(value: int) -> int:
    """The unsigned 64-bit number with the same bits as the signed `value`."""
    return value % _RANGE


def parse_utc(text: str) -> datetime:
    """What UtcDateTime wrote into SQLite, read without SQLAlchemy."""
    # Several times as fast as adding the zone to what was parsed.
    return datetime.fromisoformat(f"{text}+00:00")


def enum_column(kind: type[StrEnum], *, name: str) -> Enum:
    """A short text that must be one of the values of `kind`, by a check constraint called `name`."""
    return Enum(kind, name=name, native_enum=False, create_constraint=True, length=16, values_callable=_values)


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


def plain_text(length: int | None = None) -> TypeEngine[str]:
    """Text of so many characters that is compared by its bytes and knows the case of ASCII letters alone.

    SQLite has no other; PostgreSQL would go by the language of whoever made the database.
    """
    kind = Text if length is None else String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes it for text; it refuses even to look for what it cannot have."""
    return "\0" not in text


def serial_id() -> TypeEngine[int]:
    """64-bit row numbers. SQLite counts by itself only in a column that is declared INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")

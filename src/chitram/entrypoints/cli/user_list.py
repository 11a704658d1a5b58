"""Accounts as `chitram admin users` prints them."""

from collections.abc import Sequence

from chitram.domain.users import User
from chitram.settings import MEBIBYTE

# E-mails come last: their characters have no width that one could count on.
_HEADINGS = ("ID", "ROLE", "STATE", "FILES", "OF", "MIB", "OF", "SINCE", "E-MAIL")
_TO_THE_RIGHT = frozenset({3, 4, 5, 6})


def as_table(users: Sequence[User]) -> str:
    """Aligned columns under their headings. A quota of `-` is the one in the settings, one of `any` no limit."""
    rows = [_HEADINGS, *map(_row, users)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    return "\n".join("  ".join((*_aligned(row, widths), row[-1])) for row in rows)


def as_records(users: Sequence[User]) -> list[dict[str, object]]:
    """The same for programs, in bytes. A quota of null is the one in the settings, one of 0 no limit."""
    return [
        {
            "id": user.id,
            "email": user.email,
            "role": user.role.value,
            "is_active": user.is_active,
            "created_at": f"{user.created_at:%Y-%m-%dT%H:%M:%SZ}",
            "used_bytes": user.used_bytes,
            "used_files": user.used_files,
            "quota_bytes": user.quota_bytes,
            "quota_files": user.quota_files,
        }
        for user in users
    ]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.rjust(width) if column in _TO_THE_RIGHT else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=False))
    ]


def _row(user: User) -> tuple[str, ...]:
    return (
        user.id,
        user.role.value,
        "open" if user.is_active else "closed",
        str(user.used_files),
        _quota(user.quota_files),
        f"{user.used_bytes / MEBIBYTE:.1f}",
        _quota(user.quota_bytes, unit=MEBIBYTE),
        f"{user.created_at:%Y-%m-%d}",
        user.email,
    )


def _quota(limit: int | None, *, unit: int = 1) -> str:
    return "-" if limit is None else f"{limit / unit:g}" if limit else "any"

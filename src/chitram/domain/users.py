"""Accounts: who somebody is here, what they may do, and how much they may keep."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chitram.domain.errors import ValidationFailed

MIN_PASSWORD = 8
MAX_PASSWORD = 128
MAX_EMAIL = 254


class Role(StrEnum):
    """ADMINS may delete and verify every image. They are shown private ones no more than anybody else."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Quota:
    """Most bytes and files that an account may keep; 0: as many as it likes."""

    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class User:
    """An account. `email_key` is what its e-mail is compared by. A quota of None is the server's default.

    What it uses is counted by the stored size of each of its images, whether or not somebody else has the same bytes.
    """

    id: str
    email: str
    email_key: str
    password_hash: str
    role: Role
    is_active: bool
    created_at: datetime
    quota_bytes: int | None = None
    quota_files: int | None = None
    used_bytes: int = 0
    used_files: int = 0

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def quota(self, default: Quota) -> Quota:
        """What this account may keep where others may keep `default`."""
        return Quota(
            default.bytes if self.quota_bytes is None else self.quota_bytes,
            default.files if self.quota_files is None else self.quota_files,
        )


def email_key(email: str) -> str:
    """The form in which e-mails are compared: without case, the same for every way to write a character, and for names
    of hosts in letters and in the ASCII form that browsers turn them into.

    What is longer than any account's is cut: to normalise a text of combining marks takes the square of its length.
    """
    text = email.strip()[: MAX_EMAIL + 1]
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    person, at, host = key.rpartition("@")
    if "xn--" not in host:
        return key
    try:
        return f"{person}{at}{host.encode('ascii').decode('idna')}"
    except UnicodeError:
        return key


def check_password(password: str, *, is_known: Callable[[str], bool], field: str = "password") -> None:
    """Raise ValidationFailed unless `password` may be one. `is_known`: whether everybody tries it first. `field`: what
    it is called where it was asked for.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        message = f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        raise ValidationFailed.of(field, message, problem="password_length", least=MIN_PASSWORD, most=MAX_PASSWORD)
    if is_known(password):
        raise ValidationFailed.of(field, "is one of those that everybody tries first", problem="password_known")

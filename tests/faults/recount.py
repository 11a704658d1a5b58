"""What accounts keep, counted anew from the rows, with nothing of Chitram's own."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_PER_ACCOUNT = """
SELECT u.id, u.email, u.used_bytes, u.used_files,
       (SELECT coalesce(sum(b.size), 0) FROM images i JOIN blobs b ON b.id = i.blob_id WHERE i.owner_id = u.id),
       (SELECT count(*) FROM images i WHERE i.owner_id = u.id)
FROM users u
"""
#: What must never be there, with the words for it.
_NEVER = {
    "images with an owner and a delete token": (
        "SELECT count(*) FROM images WHERE owner_id IS NOT NULL AND delete_token_hash IS NOT NULL"
    ),
    "images of an account that is gone": (
        "SELECT count(*) FROM images WHERE owner_id IS NOT NULL AND owner_id NOT IN (SELECT id FROM users)"
    ),
    "private images without an owner": (
        "SELECT count(*) FROM images WHERE visibility = 'private' AND owner_id IS NULL"
    ),
    "sessions of an account that is gone": "SELECT count(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)",
    "API tokens of an account that is gone": (
        "SELECT count(*) FROM api_tokens WHERE user_id NOT IN (SELECT id FROM users)"
    ),
    "e-mails with two accounts": "SELECT count(*) - count(DISTINCT lower(email)) FROM users",
}


@dataclass(frozen=True, slots=True)
class Account:
    """`used` is what is counted as the account goes, `kept` what is there: bytes and files."""

    id: str
    email: str
    used: tuple[int, int]
    kept: tuple[int, int]


def recount(data: Path) -> dict[str, Account]:
    """Every account by its e-mail, in lower case."""
    with _open(data) as connection:
        rows = connection.execute(_PER_ACCOUNT).fetchall()
    accounts = [Account(row[0], row[1], (row[2], row[3]), (row[4], row[5])) for row in rows]
    return {account.email.lower(): account for account in accounts}


def account_violations(data: Path) -> list[str]:
    """Everything about accounts that must never be so, at no moment."""
    found = [f"{a.email}: counted {a.used}, there are {a.kept}" for a in recount(data).values() if a.used != a.kept]
    with _open(data) as connection:
        for what, query in _NEVER.items():
            (number,) = connection.execute(query).fetchone()
            found += [f"{number} {what}"] if number else []
    return found


def _open(data: Path) -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(data / "chitram.db", timeout=30, isolation_level=None)
    connection.execute("PRAGMA query_only=ON")
    return closing(connection)

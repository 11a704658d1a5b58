"""The hot look-up of credentials on SQLite: a session or an API token with its account, read anew for each request."""

from typing import Any

from sqlalchemy import select

from chitram.adapters.db.column_types import parse_scopes, parse_utc
from chitram.adapters.db.reading import InlineReader, compiled
from chitram.adapters.db.records import API_TOKEN_COLUMNS, SESSION_COLUMNS, USER_COLUMNS
from chitram.adapters.db.tables import api_tokens, sessions, users
from chitram.domain.api_tokens import ApiToken
from chitram.domain.sessions import Session, SessionKind
from chitram.domain.users import Role, User

_ROLES = {role.value: role for role in Role}
_KINDS = {kind.value: kind for kind in SessionKind}
_SESSION_WIDTH = len(SESSION_COLUMNS)
_API_TOKEN_WIDTH = len(API_TOKEN_COLUMNS)


def session_sql() -> str:
    """The SELECT of one session with its account, with one `?` for the session's id, from the tables."""
    joined = select(*SESSION_COLUMNS, *USER_COLUMNS).join_from(sessions, users, sessions.c.user_id == users.c.id)
    return compiled(joined.where(sessions.c.id == ""))


def api_token_sql() -> str:
    """The SELECT of one API token with its account, with one `?` for the token's hash, from the tables."""
    joined = select(*API_TOKEN_COLUMNS, *USER_COLUMNS).join_from(api_tokens, users, api_tokens.c.user_id == users.c.id)
    return compiled(joined.where(api_tokens.c.token_hash == ""))


class SqliteCredentialLookup:
    """ports.credentials.CredentialLookup. Used by one event loop."""

    def __init__(self, *, url: str) -> None:
        """`url` as for open_sqlite; ValueError for another kind. The file is opened at the first look-up."""
        self._reader = InlineReader(url=url)
        self._session_sql = session_sql()
        self._api_token_sql = api_token_sql()

    async def session(self, session_id: str) -> tuple[Session, User] | None:
        """The session and its account, expired and inactive ones included; ServiceUnavailable."""
        row = self._reader.row(self._session_sql, (session_id,))
        return None if row is None else (_session(row[:_SESSION_WIDTH]), _user(row[_SESSION_WIDTH:]))

    async def api_token(self, token_hash: str) -> tuple[ApiToken, User] | None:
        """The API token and its account, expired and inactive ones included; ServiceUnavailable."""
        row = self._reader.row(self._api_token_sql, (token_hash,))
        return None if row is None else (_api_token(row[:_API_TOKEN_WIDTH]), _user(row[_API_TOKEN_WIDTH:]))

    def close(self) -> None:
        """Close the connection. Look-ups raise ServiceUnavailable from now on."""
        self._reader.close()


def _session(row: tuple[Any, ...]) -> Session:
    session_id, user_id, kind, created_at, last_used_at, expires_at, address, user_agent = row
    moments = (parse_utc(created_at), parse_utc(last_used_at), parse_utc(expires_at))
    return Session(session_id, user_id, _KINDS[kind], *moments, address, user_agent)


def _api_token(row: tuple[Any, ...]) -> ApiToken:
    token_id, user_id, name, token_hash, scopes, created_at, expires_at, last_used_at = row
    return ApiToken(
        token_id, user_id, name, token_hash, parse_scopes(scopes), parse_utc(created_at),
        None if expires_at is None else parse_utc(expires_at),
        None if last_used_at is None else parse_utc(last_used_at),
    )  # fmt: skip


def _user(row: tuple[Any, ...]) -> User:
    user_id, email, email_key, password_hash, role, is_active, created_at, *counts = row
    return User(
        user_id, email, email_key, password_hash, _ROLES[role], bool(is_active), parse_utc(created_at), *counts
    )  # fmt: skip

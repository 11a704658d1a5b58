"""Accounts of test users, made and signed in through HTTP as anybody makes theirs."""

from dataclasses import dataclass
from typing import Any

import httpx

AUTH = "/api/v1/auth"
USERS = "/api/v1/users/me"
PASSWORD = "correct horse battery"
#: What a browser's own pages send along with what they change.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Account:
    """A test user with an access token."""

    id: str
    email: str
    token: str
    password: str = PASSWORD

    @property
    def bearer(self) -> dict[str, str]:
        """The header that shows the access token."""
        return bearer(self.token)


def bearer(token: str) -> dict[str, str]:
    """The header that shows `token`."""
    return {"Authorization": f"Bearer {token}"}


async def signed_up(client: httpx.AsyncClient, name: str = "ada", *, password: str = PASSWORD) -> Account:
    """A new account `<name>@example.org`."""
    email = f"{name}@example.org"
    answer = await client.post(f"{AUTH}/register", json={"email": email, "password": password})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    return Account(body["user"]["id"], email, body["access_token"], password)


async def signed_in(client: httpx.AsyncClient, account: Account) -> Account:
    """The same account with another session's access token."""
    answer = await client.post(f"{AUTH}/login", json={"email": account.email, "password": account.password})
    assert answer.status_code == 200, answer.text
    return Account(account.id, account.email, answer.json()["access_token"], account.password)


async def browser_signed_in(client: httpx.AsyncClient, account: Account) -> str:
    """Sign `client` in with a cookie, which it keeps; the CSRF token of its session."""
    answer = await client.post(
        f"{AUTH}/session", json={"email": account.email, "password": account.password}, headers=OWN_PAGE
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["csrf_token"]
    return token


async def api_token(client: httpx.AsyncClient, account: Account, *scopes: str, **options: Any) -> str:
    """The secret of a new API token of the account."""
    body = {"name": "-".join(scopes), "scopes": list(scopes)} | options
    answer = await client.post(f"{AUTH}/tokens", json=body, headers=account.bearer)
    assert answer.status_code == 201, answer.text
    secret: str = answer.json()["token"]
    return secret

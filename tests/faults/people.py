"""People with accounts, as programs and browsers use them over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from tests.faults.traffic import UPLOAD, form

AUTH = "/api/v1/auth"
ME = "/api/v1/users/me"
IMAGES = "/api/v1/images"
PASSWORD = "correct horse battery"
SCOPES = ("upload", "read", "delete")
COOKIE = "chitram_session"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account who is signed in with `token`."""

    email: str
    password: str
    token: str
    id: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def register(client: httpx.Client, email: str, *, password: str = PASSWORD, **fields: Any) -> Person:
    """A new account, which has to succeed."""
    answer = client.post(f"{AUTH}/register", json={"email": email, "password": password, **fields})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    return Person(email, password, body["access_token"], body["user"]["id"])


def sign_in(client: httpx.Client, person: Person) -> Person:
    """The same person in another session."""
    answer = client.post(f"{AUTH}/login", json={"email": person.email, "password": person.password})
    assert answer.status_code == 200, answer.text
    return replace(person, token=answer.json()["access_token"])


def create_token(client: httpx.Client, person: Person, *, scopes: Sequence[str] = SCOPES, name: str = "key") -> str:
    """The secret of a new API token."""
    answer = client.post(f"{AUTH}/tokens", json={"name": name, "scopes": list(scopes)}, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return secret_of(answer.json())


def secret_of(body: dict[str, Any]) -> str:
    """The secret in the answer that made an API token: the one text in it that has the form of one."""
    (secret,) = [value for value in texts(body) if value.startswith("chitram_") and len(value) == len("chitram_") + 43]
    return secret


def texts(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def upload_as(client: httpx.Client, person: Person, data: bytes, **fields: str) -> dict[str, Any]:
    """The answer to an upload into the person's account, which has to succeed."""
    answer = client.post(UPLOAD, files=form(data), data=fields, headers=person.headers)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def usage(client: httpx.Client, person: Person) -> dict[str, Any]:
    """What the account is told that it keeps."""
    answer = client.get(f"{ME}/usage", headers=person.headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body

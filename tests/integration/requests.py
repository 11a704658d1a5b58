"""Requests that many tests make, and what they look at in the answers."""

import functools
from typing import Any

import httpx

from tests.factories import pictures

UPLOAD = "/api/v1/images/upload"
IMAGES = "/api/v1/images"
UNKNOWN = "AAAAAAAAAAA"


@functools.cache
def photo(seed: int = 0) -> bytes:
    """A small JPEG; another one for each `seed`."""
    return pictures.jpeg(48, 32, seed=seed)


async def post(client: httpx.AsyncClient, data: bytes | None = None, **options: Any) -> httpx.Response:
    """Upload `data`, else a small photo. `name` and `declared` describe the file, `fields` go beside it."""
    name, declared = options.pop("name", "photo.jpg"), options.pop("declared", "image/jpeg")
    files = {"file": (name, photo() if data is None else data, declared)}
    return await client.post(UPLOAD, files=files, data=options.pop("fields", None), **options)


async def uploaded(client: httpx.AsyncClient, data: bytes | None = None, **options: Any) -> dict[str, Any]:
    """The body of the answer to an upload that has to succeed."""
    answer = await post(client, data, **options)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def token(image: dict[str, Any]) -> dict[str, str]:
    """The header that shows an upload's delete token."""
    return {"X-Delete-Token": image["delete_token"]}


def code(answer: httpx.Response) -> str:
    """The error code of an answer; fails when it does not have the shape of our errors."""
    detail = answer.json()["detail"]
    assert set(detail) == {"code", "message", "details"}
    assert detail["message"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("request_id" in detail["details"]) is (answer.status_code >= 500)
    found: str = detail["code"]
    return found


def form(data: bytes, *, name: str = "photo.jpg", boundary: str = "limit") -> tuple[bytes, dict[str, str]]:
    """A form with one file, written by hand, and its Content-Type."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}

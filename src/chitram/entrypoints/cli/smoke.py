"""`chitram smoke`: a picture up, looked at in every way, and down again, against a server at its address."""

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import typer

from chitram.entrypoints.cli.loading import fail

#: Longest wait for one answer, and for thumbnails that are made in the background, in seconds.
TIMEOUT = 30.0
THUMBNAIL_PATIENCE = 60.0
IMAGES = "/api/v1/images"


class SmokeError(RuntimeError):
    """What did not go as it should."""


@dataclass
class Journey:
    """One picture's life at a server. The steps are taken in order, and share what the upload answered."""

    client: httpx.Client
    token: str | None
    data: bytes = field(default_factory=lambda: picture(width=320, height=200))
    image: dict[str, Any] = field(default_factory=dict)

    def health(self) -> str:
        """The server says that it is well."""
        answer = self._get("/health")
        status = answer.json()["status"]
        if status == "unhealthy":
            raise SmokeError(f"it is {status}: {answer.text}")
        return str(status)

    def upload(self) -> str:
        """A picture that nobody has uploaded before is taken."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        files = {"file": ("smoke.png", self.data, "image/png")}
        answer = self.client.post(f"{IMAGES}/upload", files=files, data={"visibility": "unlisted"}, headers=headers)
        self.image = _require(answer, 201).json()
        return str(self.image["id"])

    def metadata(self) -> str:
        """What it says of the picture is right."""
        found = self._get(f"{IMAGES}/{self.image['id']}").json()
        if (found["width"], found["height"], found["content_type"]) != (320, 200, "image/png"):
            raise SmokeError(f"the picture is not what was uploaded: {found}")
        return f"{found['width']} x {found['height']}"

    def original(self) -> str:
        """The bytes that come back have the hash that was told."""
        data = self._get(self.image["url"]).content
        told = self._get(f"{IMAGES}/{self.image['id']}").json()["sha256"]
        if hashlib.sha256(data).hexdigest() != told:
            raise SmokeError("the bytes do not have the hash that the server told")
        return f"{len(data)} bytes"

    def conditional(self) -> str:
        """Who has it already is told so, and who wants a part gets that part."""
        tag = self._get(self.image["url"]).headers["etag"]
        _require(self.client.get(self.image["url"], headers={"If-None-Match": tag}), 304)
        part = _require(self.client.get(self.image["url"], headers={"Range": "bytes=0-7"}), 206)
        if part.content != self.data[:8]:
            raise SmokeError("a part of the file is not the beginning that was asked for")
        return "304 and 206"

    def thumbnail(self) -> str:
        """There is a thumbnail, at once or soon."""
        deadline = time.monotonic() + THUMBNAIL_PATIENCE
        while True:
            answer = self.client.get(self.image["thumbnail_url"])
            if answer.status_code != 404 or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return str(_require(answer, 200).headers["content-type"])

    def delete(self) -> str:
        """It can be deleted."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        if self.image.get("delete_token"):
            headers["X-Delete-Token"] = self.image["delete_token"]
        _require(self.client.delete(f"{IMAGES}/{self.image['id']}", headers=headers), 204)
        return "gone"

    def gone(self) -> str:
        """And is then nowhere to be had."""
        for address in (f"{IMAGES}/{self.image['id']}", self.image["url"], self.image["thumbnail_url"]):
            _require(self.client.get(address), 404)
        return "404 everywhere"

    def steps(self) -> tuple[Callable[[], str], ...]:
        """In the order in which they are taken."""
        return (
            self.health,
            self.upload,
            self.metadata,
            self.original,
            self.conditional,
            self.thumbnail,
            self.delete,
            self.gone,
        )

    def _get(self, address: str) -> httpx.Response:
        return _require(self.client.get(address), 200)


def smoke(
    url: Annotated[str, typer.Argument(help="Where the server is, such as https://img.example.org.")],
    token: Annotated[
        str | None,
        typer.Option(envvar="CHITRAM_TOKEN", help="An API token with all scopes, where nobody may upload without."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Believe any certificate.")] = False,
) -> None:
    """Upload a picture to a running server, look at it in every way, delete it. Exit status: 0 all went well, 1 not."""
    with httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT, verify=not insecure, follow_redirects=True) as client:
        journey = Journey(client, token)
        for step in journey.steps():
            begun = time.monotonic()
            try:
                said = step()
            except (SmokeError, httpx.HTTPError, KeyError, ValueError) as error:
                with suppress(SmokeError, httpx.HTTPError, KeyError):
                    journey.delete()  # nothing is left behind, as far as it goes
                fail(f"failed  {step.__name__}: {error or type(error).__name__}", status=1)
            typer.echo(f"ok  {step.__name__:<12}{(time.monotonic() - begun) * 1000:7.0f} ms  {said}")


def picture(*, width: int, height: int) -> bytes:
    """A PNG that no server has seen: every line of it begins with noise."""
    line = b"\0" + bytes(range(0, 240, 2)) * (width * 3 // 120 + 1)
    lines = b"".join(b"\0" + os.urandom(24) + line[25 : width * 3 + 1] for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _require(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        raise SmokeError(f"expected {status}, got {answer.status_code}: {answer.text[:300]}")
    return answer

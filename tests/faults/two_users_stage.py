"""The people and things of the two-user matrix: an owner with everything there is to have, and those who want it."""

import io
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

from chitram.entrypoints.asgi import Server
from tests.factories import pictures
from tests.factories.accounts import AUTH, OWN_PAGE, api_token, bearer, browser_signed_in, signed_in, signed_up
from tests.factories.applications import House, served

IMAGES = "/api/v1/images"
UPLOAD = f"{IMAGES}/upload"
OWNERS_PASSWORD = "the owner's own secret"
OWNERS_ADDRESS = "198.51.100.77"
SCOPES = ("upload", "read", "delete")


def lookalike(number: int) -> bytes:
    """Pictures that look alike, of different colours: near-duplicates whose placeholders tell them apart."""
    bands = pictures.scene(64, 48, seed=1).convert("RGB").split()
    order = ((0, 1, 2), (2, 1, 0), (1, 1, 0), (0, 1, 1), (2, 1, 2))[number % 5]
    out = io.BytesIO()
    Image.merge("RGB", [bands[band] for band in order]).save(out, "PNG", compress_level=1 + number // 5)
    return out.getvalue()


@dataclass
class Stage:
    """An owner's things by name, and the texts that must stay with them.

    `secret`: never to be told anybody else. `linked`: only to those who ask for the unlisted image by its id.
    """

    owner: dict[str, str]
    email: str
    things: dict[str, str]
    secret: dict[str, str] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)


class Theatre:
    """One server over a house, and clients of it from as many addresses as are wanted."""

    def __init__(self, home: House, server: Server, stack: AsyncExitStack) -> None:
        self.home = home
        self._server = server
        self._stack = stack
        self._count = 0

    async def client(self, *, address: str = "192.0.2.7", **options: Any) -> httpx.AsyncClient:
        """A client from `address`, closed with the theatre; `options` are httpx's."""
        transport = httpx.ASGITransport(self._server, client=(address, 4711), raise_app_exceptions=False)
        return await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://testserver", **options)
        )

    def name(self, role: str) -> str:
        """A name that nobody has yet."""
        self._count += 1
        return f"{role}{self._count}"

    async def stage(self) -> Stage:
        """An owner with images of each visibility, sessions of both kinds and an API token; and a stranger's image."""
        agent = f"canary-agent/{secrets.token_hex(4)}"
        client = await self.client(address=OWNERS_ADDRESS, headers={"User-Agent": agent})
        account = await signed_up(client, self.name("canary-owner"), password=OWNERS_PASSWORD)
        client.headers.update(account.bearer)
        images = {
            name: await self._image(client, name, number)
            for number, name in enumerate(("public", "unlisted", "private"))
        }
        second = await signed_in(client, account)
        token_name = f"canary-token-{secrets.token_hex(4)}"
        await api_token(client, account, *SCOPES, name=token_name)
        await browser_signed_in(await self.client(address=OWNERS_ADDRESS, headers={"User-Agent": agent}), account)
        passer_by = await self.client(address="203.0.113.5")
        anonymous = await passer_by.post(UPLOAD, files={"file": ("a.png", lookalike(3), "image/png")})
        sessions = (await client.get(f"{AUTH}/sessions")).json()["items"]
        (token,) = (await client.get(f"{AUTH}/tokens")).json()["items"]
        current = next(session["id"] for session in sessions if session["current"])
        others = [session["id"] for session in sessions if not session["current"]]
        stage = Stage(
            owner=account.bearer,
            email=account.email,
            things={name: image["id"] for name, image in images.items()}
            | {"anonymous": anonymous.json()["id"], "session": others[0], "api token": token["id"]},
        )
        stage.secret = {
            "e-mail": account.email,
            "account": account.id,
            "address": OWNERS_ADDRESS,
            "user agent": agent,
            "token name": token_name,
            "token": token["id"],
            "session": current,
            "access token": account.token,
            "other access token": second.token,
            "anonymous delete token": anonymous.json()["delete_token"],
            **{f"session {place}": session for place, session in enumerate(others)},
            **_tellings("private", images["private"]),
        }
        stage.linked = _tellings("unlisted", images["unlisted"])
        return stage

    async def _image(self, client: httpx.AsyncClient, name: str, number: int) -> dict[str, Any]:
        """An image of this visibility, all of whose texts are unmistakable."""
        files = {"file": (f"canary-{name}-filename.png", lookalike(number), "image/png")}
        uploaded = await client.post(UPLOAD, files=files, data={"visibility": name})
        assert uploaded.status_code == 201, uploaded.text
        texts = {"title": f"canary-{name}-title", "description": f"canary-{name}-description"}
        changed = await client.patch(f"{IMAGES}/{uploaded.json()['id']}", json=texts)
        assert changed.status_code == 200, changed.text
        image: dict[str, Any] = changed.json()
        return image

    async def snapshot(self, stage: Stage) -> list[Any]:
        """Everything that the owner has, as told to the owner, and the stranger's image."""
        client = await self.client(address=OWNERS_ADDRESS, headers=stage.owner)
        paths = (
            f"{AUTH}/me", f"{AUTH}/sessions", f"{AUTH}/tokens", "/api/v1/users/me/images", "/api/v1/users/me/usage",
            f"{IMAGES}/{stage.things['anonymous']}",
        )  # fmt: skip
        return [(answer.status_code, answer.json()) for answer in [await client.get(path) for path in paths]]

    async def caller(self, role: str, stage: Stage) -> httpx.AsyncClient:
        """A client of somebody in this role, new every time, since what they do may end them."""
        if role == "owner":
            return await self.client(address=OWNERS_ADDRESS, headers=stage.owner)
        client = await self.client()
        if role == "guesser":
            own = await client.post(UPLOAD, files={"file": ("g.png", lookalike(4), "image/png")})
            client.headers["X-Delete-Token"] = own.json()["delete_token"]
        elif role == "admin":
            email = f"{self.name('admin')}@example.org"
            await self.home.application.administration.create(email, password="an admin's own secret")
            body = {"email": email, "password": "an admin's own secret"}
            answer = await client.post(f"{AUTH}/login", json=body)
            client.headers.update(bearer(answer.json()["access_token"]))
        elif role != "stranger":
            account = await signed_up(client, self.name(role))
            if role == "cookie":
                await browser_signed_in(client, account)
                client.headers.update(OWN_PAGE)
            else:
                secret = account.token if role == "other" else await api_token(client, account, *SCOPES, name="all")
                client.headers.update(bearer(secret))
        return client


def _tellings(name: str, image: dict[str, Any]) -> dict[str, str]:
    """What would tell somebody of the image."""
    told = {key: image[key] for key in ("id", "filename", "title", "description", "sha256", "placeholder")}
    return {f"{name} {key}": value for key, value in told.items()} | {f"{name} version": f"?v={image['sha256'][:8]}"}


@asynccontextmanager
async def theatre(home: House) -> AsyncIterator[Theatre]:
    """A theatre over `home`."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(served(home.application))
        yield Theatre(home, server, stack)

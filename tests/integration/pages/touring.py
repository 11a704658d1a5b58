"""Every page there is, as each kind of visitor sees it, with a text of one's own at every place that takes one."""

from dataclasses import dataclass

import httpx

from tests.factories.accounts import OWN_PAGE, PASSWORD
from tests.integration.pages.browsing import HTMX, Browser
from tests.integration.requests import UNKNOWN, uploaded


@dataclass
class Tour:
    """`text` stands wherever somebody may write one: in names, titles, addresses, and what forms send back."""

    stranger: Browser
    ada: Browser
    admin: Browser
    text: str

    async def pages(self) -> dict[str, httpx.Response]:
        """The pages by a name of our own."""
        image = await self._image()
        return await self._looked_at(image) | await self._refused(image) | await self._sent(image)

    async def _image(self) -> str:
        client, bearer = self.ada.client, self.ada.account.bearer
        image = await uploaded(client, name=self.text, headers=bearer, fields={"visibility": "public"})
        texts = {"title": self.text, "description": self.text}
        answer = await client.patch(f"/api/v1/images/{image['id']}", json=texts, headers=bearer)
        assert answer.status_code == 200, answer.text
        await uploaded(client, name=self.text, headers=bearer)
        # The list of sessions shows by what program somebody logged in.
        agent = self.text.encode("ascii", "replace").decode()
        body = {"email": self.ada.account.email, "password": PASSWORD}
        answer = await client.post("/api/v1/auth/login", json=body, headers={"User-Agent": agent})
        assert answer.status_code == 200
        return str(image["id"])

    async def _looked_at(self, image: str) -> dict[str, httpx.Response]:
        found = {}
        everybodys = ["/", f"/image/{image}", f"/i/{image}", f"/image/{image}/delete", "/upload"]
        for name, visitor in (("stranger", self.stranger), ("ada", self.ada), ("admin", self.admin)):
            for path in everybodys:
                found[f"{name} {path.replace(image, 'ID')}"] = await visitor.client.get(path)
        for path in ("/login", "/register"):
            query = {"next": f"/{self.text}", "invite": self.text}
            found[path] = await self.stranger.client.get(path, params=query)
        for key, query in (
            ("mine", {}),
            ("found", {"name": self.text[:100]}),
            ("nothing", {"name": f"zz{self.text}"[:100]}),
        ):
            found[key] = await self.ada.client.get("/my-images", params=query)
        found["tiles"] = await self.stranger.client.get("/", headers=HTMX)
        found["own tiles"] = await self.ada.client.get("/my-images", headers=HTMX)
        found["account"] = await self.ada.client.get("/account", params={"done": self.text})
        assert {answer.status_code for answer in found.values()} == {200}
        return found

    async def _refused(self, image: str) -> dict[str, httpx.Response]:
        get, post = self.stranger.client.get, self.stranger.client.post
        page = f"/image/{image}"
        form = (await self.ada.open(page)).form(page)
        wrong = {"title": self.text, "description": (self.text * 1000)[:6000], "visibility": self.text}
        credentials = {"email": self.text, "password": "x", "next": self.text, "invite": self.text}
        found = {
            "nowhere": await get(f"/{self.text}"),
            "no image": await get(f"/image/{UNKNOWN}"),
            "bad query": await get("/", params={"cursor": self.text}),
            "login": await post("/login", data=credentials, headers=OWN_PAGE),
            "register": await post("/register", data=credentials, headers=OWN_PAGE),
            "not yours": await post(page, data=wrong, headers=OWN_PAGE),
            "token": await post(f"{page}/delete", data={"delete_token": self.text}, headers=OWN_PAGE),
            "upload": await post("/upload", files={"file": (self.text, b"x", "image/jpeg")}, headers=OWN_PAGE),
            "edit": await self.ada.client.post(page, data=form.filled(wrong)),
            "edit part": await self.ada.client.post(page, data=form.filled(wrong), headers=HTMX),
        }
        assert all(400 <= answer.status_code < 500 for answer in found.values())
        return found

    async def _sent(self, image: str) -> dict[str, httpx.Response]:
        account = await self.ada.open("/account")
        tokens = account.form("/account/tokens")
        chosen = (await self.ada.open("/my-images")).form("/my-images")
        name = self.text[:100]
        upload = (await self.stranger.open("/upload")).form("/upload")
        files = {"file": (self.text, (await self.ada.client.get(f"/api/v1/images/{image}/file")).content, "image/jpeg")}
        return {
            "uploaded": await self.stranger.send(upload, status=201, files=files),
            "token made": await self.ada.send(tokens, status=200, name=name),
            "token refused": await self.ada.send(tokens, status=422, name=name, scopes=None, days=self.text),
            "account again": await self.ada.client.get("/account"),
            "delete chosen": await self.ada.send(chosen, status=200, image=[image], action="delete"),
            "wrong password": await self.ada.send(
                account.form("/account/password"), status=422, current_password=self.text, new_password="x" * 20
            ),
        }

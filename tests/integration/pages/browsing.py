"""A browser without JavaScript: it reads pages, and sends their forms as they stand."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.accounts import OWN_PAGE, Account
from tests.factories.applications import Arrange, House, house

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HTMX = {"HX-Request": "true"}

Attributes = dict[str, str | None]


@dataclass
class Form:
    """A form with what it would send: `fields` in their order, and the `buttons` that may be pressed."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def filled(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with `changes`; a list has a name sent several times, None not at all."""
        body: dict[str, Any] = {}
        for name, value in self.fields:
            body.setdefault(name, []).append(value)
        return {name: value for name, value in (body | dict(changes)).items() if value is not None}


class Page(HTMLParser):
    """A page as it was parsed. `elements`: tag and attributes, in their order; `text`: what stands between them."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.answer = answer
        self.elements: list[tuple[str, Attributes]] = []
        self.forms: list[Form] = []
        self.text = ""
        self._form: Form | None = None
        self._select: tuple[str, list[tuple[str, bool]]] | None = None
        self._textarea: str | None = None
        self._script = False
        self.feed(answer.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute twice: {self.get_starttag_text()}"
        self.elements.append((tag, found))
        self._script = tag in ("script", "style")
        if tag == "form":
            self._form = Form(found.get("action") or "", found.get("method") or "get")
            self.forms.append(self._form)
        elif self._form is not None:
            self._field(self._form, tag, found)

    def handle_endtag(self, tag: str) -> None:
        self._script = False
        if tag == "form":
            self._form = None
        elif tag == "select" and self._select is not None and self._form is not None:
            name, options = self._select
            self._form.fields.append((name, next((v for v, chosen in options if chosen), options[0][0])))
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if not self._script:
            self.text += data
        if self._textarea is not None and self._form is not None:
            name, value = self._form.fields.pop()
            self._form.fields.append((name, value + data))

    def _field(self, form: Form, tag: str, found: Attributes) -> None:
        name, value = found.get("name"), found.get("value") or ""
        kind = found.get("type")
        if tag == "option" and self._select is not None:
            self._select[1].append((value, "selected" in found))
        elif name is None:
            return
        elif tag == "button":
            form.buttons.append((name, value))
        elif tag == "select":
            self._select = (name, [])
        elif tag == "textarea":
            self._textarea = name
            form.fields.append((name, ""))
        elif tag == "input" and kind != "file" and (kind not in ("checkbox", "radio") or "checked" in found):
            form.fields.append((name, value))

    def form(self, action: str) -> Form:
        """The one form that goes to `action`; that of the narrow menu is the same as the wide one's."""
        found = [form for form in self.forms if form.action == action and form.method == "post"]
        assert found, [form.action for form in self.forms]
        assert all(form == found[0] for form in found)
        return found[0]

    def all(self, tag: str) -> list[Attributes]:
        """The attributes of every element `tag`."""
        return [found for name, found in self.elements if name == tag]

    def by_id(self, identity: str) -> Attributes:
        """The attributes of the one element with this id."""
        (found,) = [found for _, found in self.elements if found.get("id") == identity]
        return found

    def has(self, identity: str) -> bool:
        """Whether there is an element with this id."""
        return any(found.get("id") == identity for _, found in self.elements)

    def meta(self, name: str) -> str | None:
        """The content of `<meta name=...>` or `<meta property=...>`."""
        for found in self.all("meta"):
            if name in (found.get("name"), found.get("property")):
                return found.get("content")
        return None

    @property
    def links(self) -> list[str]:
        """Where the page's links lead."""
        return [found["href"] or "" for found in self.all("a") if "href" in found]

    @property
    def structure(self) -> list[tuple[str, tuple[str, ...]]]:
        """Its elements with the names of their attributes."""
        return [(tag, tuple(sorted(found))) for tag, found in self.elements]


class Browser:
    """One person's browser, with the cookies that it keeps; `account` is theirs, if they have one."""

    def __init__(self, client: httpx.AsyncClient, account: Account | None = None) -> None:
        self.client = client
        self.account = account

    async def open(self, path: str, *, status: int = 200, **options: Any) -> Page:
        """Look at a page."""
        answer = await self.client.get(path, **options)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
        return Page(answer)

    async def send(self, form: Form, /, *, status: int = 303, files: Any = None, **changes: Any) -> httpx.Response:
        """Send a form with `changes` to its fields."""
        answer = await self.client.post(form.action, data=form.filled(changes), files=files, headers=OWN_PAGE)
        assert answer.status_code == status, (form.action, answer.status_code, Page(answer).text)
        return answer

    async def fill_in(self, path: str, action: str, /, *, status: int = 303, **changes: Any) -> httpx.Response:
        """Open the page `path` and send its form for `action` with `changes`."""
        page = await self.open(path)
        return await self.send(page.form(action), status=status, **changes)


@asynccontextmanager
async def service(
    directory: Path, *, arrange: Arrange = lambda _: None, **groups: Any
) -> AsyncIterator[tuple[House, Browser]]:
    """A service with other settings than the usual ones (`groups` of `Settings`), and a stranger in front of it."""
    directory = directory / "service"
    directory.mkdir()
    app = AppSettings(env="test", data_dir=directory)
    settings = Settings(**({"app": app, "limits": LimitSettings(enabled=False)} | groups))
    async with house(directory, settings=settings, arrange=arrange) as home, home.client(headers=HTML) as client:
        yield home, Browser(client)

"""Pages out of templates, with what every page needs."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps

from chitram.domain.access import Viewer
from chitram.entrypoints.support.asgi import accepts_gzip, header_map
from chitram.entrypoints.support.conditions import none_match
from chitram.entrypoints.support.exchange import PAGE_REFERRER_POLICY
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.static_files import StaticFiles

_TEMPLATES = Path(__file__).parent / "templates"

#: What a page may do: load our own files, show our own pictures and those that the script made, talk to us.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


PAGE_FIELDS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # What a page shows depends on who asks; only they may keep it, and have to ask whether it is still right.
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": PAGE_REFERRER_POLICY,
    # Whoever opens a page of ours in another window has no hold on it.
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message above the page. `kind`: good, warning or danger."""

    kind: str
    text: str


class Pages:
    """Renders the pages of one server. `pictures_from`: another origin that originals may come from."""

    def __init__(self, *, static: StaticFiles, texts: Catalogue, pictures_from: str | None = None) -> None:
        self.texts = texts
        self._fields = PAGE_FIELDS
        if pictures_from:
            policy = CONTENT_SECURITY_POLICY.replace("img-src 'self'", f"img-src 'self' {pictures_from}")
            self._fields = PAGE_FIELDS | {"Content-Security-Policy": policy}
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            t=texts,
            static=static.url,
            imports=static.imports,
            # The same on every page, so it is made once.
            script_texts=htmlsafe_json_dumps(texts.for_scripts(), sort_keys=True),
        )

    def render(self, name: str, **values: Any) -> str:  # noqa: ANN401 - whatever the template names
        """The template `name` (below templates/, with its suffix) with `values`."""
        return self._environment.get_template(name).render(**values)

    def page(
        self,
        request: Request,
        name: str,
        /,
        *,
        viewer: Viewer,
        status: int = 200,
        current: str = "",
        notices: tuple[Notice, ...] = (),
        headers: dict[str, str] | None = None,
        **values: Any,  # noqa: ANN401 - whatever the template names
    ) -> Response:
        """An answer with the page `name` of templates/pages; 304 for a stranger who has it.

        `current`: the entry of the navigation that it is.
        """
        data = self.text(request, name, viewer=viewer, current=current, notices=notices, **values).encode()
        fields = self._fields | {"Vary": "HX-Request, Accept-Encoding"} | (headers or {})
        # Not the pages of a session: they hold a secret, and by the size of what is compressed beside what somebody
        # else wrote, secrets can be guessed.
        if viewer.session is not None:
            # Nor are they kept: browsers that go back after the logging out show what they have without asking.
            fields["Cache-Control"] = "private, no-store"
            return HTMLResponse(data, status_code=status, headers=fields)
        if status == 200 and request.method in ("GET", "HEAD"):
            etag = _entity_tag(data)
            fields["ETag"] = f"W/{etag}"
            if none_match(header_map(request.scope).get(b"if-none-match", b""), etag=etag.encode()):
                # With all fields: a browser takes them over, and would be left with a stricter policy than the page's.
                return Response(status_code=304, headers=fields)
        if accepts_gzip(request.scope):
            data = gzip.compress(data, 6, mtime=0)
            fields["Content-Encoding"] = "gzip"
        return HTMLResponse(data, status_code=status, headers=fields)

    def text(self, request: Request, name: str, /, *, viewer: Viewer, **values: Any) -> str:  # noqa: ANN401
        """The page `name` of templates/pages, as `viewer` sees it, for whoever makes the answer themselves."""
        application, session = wired(request), viewer.session
        shown = {
            "user": viewer.user,
            "registration": application.settings.accounts.registration,
            "read_only": application.settings.app.read_only,
            "csrf_token": application.authentication.csrf_token(session.id) if session else "",
            "current": "",
            "notices": (),
        }
        return self.render(f"pages/{name}.html", **(shown | values))

    def partial(
        self,
        name: str,
        /,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **values: Any,  # noqa: ANN401 - whatever the template names
    ) -> HTMLResponse:
        """An answer with the part `name` of templates/partials, for htmx."""
        fields = {"Cache-Control": "private, no-store", "Vary": "HX-Request"}
        body = self.render(f"partials/{name}.html", **values)
        return HTMLResponse(body, status_code=status, headers=fields | (headers or {}))


def _entity_tag(data: bytes) -> str:
    """A tag of a page before it is compressed."""
    return f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'

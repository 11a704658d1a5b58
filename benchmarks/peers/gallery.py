"""The gallery's page: what no design avoids, and what one writes first."""

import gzip
import os
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment
from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker
from starlette.middleware.gzip import GZipMiddleware

from benchmarks.peers.plain import App
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.gallery import EAGER, PAGE_SIZE
from chitram.entrypoints.web.rendering import Pages
from chitram.entrypoints.web.static_files import StaticFiles

#: Where the path of the database stands in the environment.
DATABASE = "BENCHMARK_DATABASE"
_TEMPLATE = """<!doctype html><html lang="en"><head><title>Recent pictures</title></head><body><ul>
{% for image in images %}<li><a href="/image/{{ image.id }}"><img src="/i/{{ image.id }}/300.jpg" loading="lazy"
width="{{ image.blob.width }}" height="{{ image.blob.height }}" alt="{{ image.filename }}, {{ image.created_at }}"></a>
</li>{% endfor %}</ul><a href="/?page={{ page + 1 }}">{{ page }} of {{ pages }}</a></body></html>"""


class Table(DeclarativeBase):
    """The two tables of the page, in the database of the service itself."""


class Blob(Table):
    """What a picture looks like."""

    __tablename__ = "blobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]


class Picture(Table):
    """One image."""

    __tablename__ = "images"
    id: Mapped[str] = mapped_column(primary_key=True)
    blob_id: Mapped[int] = mapped_column(ForeignKey("blobs.id"))
    filename: Mapped[str]
    visibility: Mapped[str]
    created_at: Mapped[datetime]
    blob: Mapped[Blob] = relationship(lazy="joined")


def offset_paging() -> FastAPI:
    """The peer: numbered pages by OFFSET out of an ORM, and how many there are; the plainest page, and no access."""
    engine = create_engine(f"sqlite:///{os.environ[DATABASE]}", pool_size=16)
    sessions = sessionmaker(engine, expire_on_commit=False)
    template = Environment(loader=DictLoader({"page": _TEMPLATE}), autoescape=True).get_template("page")
    app = FastAPI()
    app.add_middleware(GZipMiddleware)

    @app.get("/")
    def gallery(page: Annotated[int, Query(ge=1)] = 1) -> HTMLResponse:
        shown = select(Picture).where(Picture.visibility == "public")
        with sessions() as session:
            count = session.scalar(select(func.count()).select_from(shown.subquery())) or 0
            ordered = shown.order_by(Picture.created_at.desc()).offset((page - 1) * PAGE_SIZE).limit(PAGE_SIZE)
            images = session.scalars(ordered).all()
        return HTMLResponse(template.render(images=images, page=page, pages=-(-count // PAGE_SIZE)))

    return app


def constant_list() -> App:
    """The limit: our page, rendered and compressed anew for each request out of a list that is in memory."""
    with sqlite3.connect(Path(os.environ[DATABASE])) as connection:
        ids = connection.execute("SELECT id FROM images ORDER BY created_at DESC LIMIT ?", (PAGE_SIZE,)).fetchall()
    pages = Pages(static=StaticFiles(), texts=Catalogue())
    values = {
        "images": [_tile(image_id) for (image_id,) in ids],
        "next_page": "/?cursor=" + "x" * 40,
        "eager": EAGER,
        "user": None,
        "registration": "open",
        "read_only": False,
        "csrf_token": "",
        "current": "home",
        "notices": (),
    }

    async def app(scope: MutableMapping[str, Any], _receive: object, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            return
        body = gzip.compress(pages.render("pages/gallery.html", **values).encode(), 6, mtime=0)
        fields = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-encoding", b"gzip"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return app


def _tile(image_id: str) -> dict[str, Any]:
    paths = {size: f"/i/{image_id}/{size}.jpg?v=00000000" for size in (150, 300, 600)}
    return {
        "page": f"/image/{image_id}",
        "name": "IMG_000001.jpg",
        "alt": "IMG_000001.jpg, uploaded on 1 Jan 2026",
        "thumbnails": paths,
        "srcset": ", ".join(f"{path} {size}w" for size, path in paths.items()),
        "width": 4000,
        "height": 3000,
        "placeholder": "p" * 28,
        "span": 16,
    }

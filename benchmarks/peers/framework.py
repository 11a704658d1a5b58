"""The peer: an image host as one writes it first, with FastAPI, an ORM and Pillow, and whole files in memory.

One thumbnail of 300 px, made in a thread after a full read of the body; no fsync; SQLite by the ORM, a session a
request in the framework's thread pool. Nothing is done to slow it down: the form is parsed by the same library as ours.
"""

import asyncio
import hashlib
import io
import os
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from multipart import MultipartParser, parse_options_header  # type: ignore[import-untyped]
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

#: Where the directory for everything stands in the environment.
DIRECTORY = "BENCHMARK_DIRECTORY"
THUMBNAIL = 300


class Table(DeclarativeBase):
    """All tables."""


class Picture(Table):
    """One image."""

    __tablename__ = "pictures"
    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    content_type: Mapped[str]
    file_size: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str]
    created_at: Mapped[datetime]


class PictureOut(BaseModel):
    """An image as JSON."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    filename: str
    content_type: str
    file_size: int
    width: int
    height: int
    sha256: str
    created_at: datetime


def open_sessions(path: Path) -> sessionmaker[Session]:
    """Sessions over the database at `path`, in WAL as everybody runs it."""
    engine = create_engine(
        f"sqlite:///{path}", pool_size=16, max_overflow=32, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    Table.metadata.create_all(engine)
    return sessionmaker(engine, expire_on_commit=False)


def examine(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and the thumbnail of one picture."""
    image: Image.Image = Image.open(io.BytesIO(data), formats=["JPEG", "PNG"])
    image = ImageOps.exif_transpose(image)
    width, height = image.size
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=80)
    return width, height, out.getvalue()


def keep(directory: Path, sessions: sessionmaker[Session], data: bytes) -> Picture:
    """Write the file, its thumbnail and its row."""
    width, height, thumbnail = examine(data)
    image_id = secrets.token_hex(8)
    (directory / f"{image_id}.jpg").write_bytes(data)
    (directory / f"{image_id}.thumbnail.jpg").write_bytes(thumbnail)
    picture = Picture(
        id=image_id, filename="photo.jpg", content_type="image/jpeg", file_size=len(data), width=width, height=height,
        sha256=hashlib.sha256(data).hexdigest(), created_at=datetime.now(UTC),
    )  # fmt: skip
    with sessions() as session:
        session.add(picture)
        session.commit()
    return picture


def application() -> FastAPI:
    """The application."""
    directory = Path(os.environ[DIRECTORY])
    directory.mkdir(parents=True, exist_ok=True)
    sessions = open_sessions(directory / "pictures.db")
    app = FastAPI()

    def session_of_request() -> Iterator[Session]:
        with sessions() as session:
            yield session

    @app.post("/api/v1/images/upload", status_code=201)
    async def upload(request: Request) -> PictureOut:
        body = await request.body()
        _, options = parse_options_header(request.headers["content-type"])
        parts = MultipartParser(
            io.BytesIO(body), options["boundary"], memory_limit=1 << 30, spool_limit=1 << 30
        ).parts()
        picture = await asyncio.to_thread(keep, directory, sessions, parts[0].raw)
        return PictureOut.model_validate(picture)

    @app.get("/api/v1/images/{image_id}")
    def metadata(image_id: str, session: Annotated[Session, Depends(session_of_request)]) -> PictureOut:
        picture = session.get(Picture, image_id)
        if picture is None:
            raise HTTPException(404)
        return PictureOut.model_validate(picture)

    @app.get("/api/v1/images/{image_id}/file")
    async def original(image_id: str) -> FileResponse:
        return FileResponse(directory / f"{image_id}.jpg", media_type="image/jpeg")

    @app.get("/api/v1/images/{image_id}/thumbnail")
    async def thumbnail(image_id: str) -> FileResponse:
        return FileResponse(directory / f"{image_id}.thumbnail.jpg", media_type="image/jpeg")

    return app

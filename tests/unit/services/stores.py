"""What tests of services do to a store, and what they look at in it."""

from datetime import timedelta
from pathlib import Path

from chitram.domain.access import Viewer
from chitram.domain.blobs import Blob, BlobState
from chitram.domain.jobs import JobState
from chitram.domain.uploads import Uploaded
from tests.factories.applications import House

GRACE = timedelta(days=1)


def holder(uploaded: Uploaded) -> Viewer:
    """Whoever got the delete token."""
    return Viewer(delete_token=uploaded.delete_token)


async def delete(home: House, uploaded: Uploaded) -> None:
    await home.application.images.delete(uploaded.record.image.id, viewer=holder(uploaded))


async def collect(home: House) -> int:
    """Let the grace period pass and collect."""
    home.clock.advance(GRACE + timedelta(seconds=1))
    return await home.application.collector.collect()


async def served(home: House, uploaded: Uploaded) -> bytes:
    """The stored bytes, as somebody with the link gets them now."""
    found = await home.application.images.find(uploaded.record.image.id, viewer=holder(uploaded))
    opened = await home.application.images.open_original(found.record)
    try:
        return await opened.read(0, opened.size)
    finally:
        await opened.aclose()


async def rows(home: House) -> list[tuple[str, BlobState]]:
    """Key and state of every blob."""
    return [(blob.key, blob.state) for blob in await blobs(home)]


async def blobs(home: House) -> list[Blob]:
    async with home.foundation.database.read() as repositories:
        return list(await repositories.blobs.page(after_id=0, limit=100))


async def waiting(home: House) -> list[str]:
    """The kinds of the jobs that wait."""
    return sorted(job.kind for job in await home.application.jobs.list(state=JobState.READY, limit=100))


def originals(home: House) -> set[str]:
    return {key for key in home.objects() if key.startswith("blobs/")}


def original(home: House, uploaded: Uploaded) -> Path:
    """The file of an upload's original."""
    return home.root / uploaded.record.blob.key


def overwrite(path: Path, data: bytes) -> None:
    """Other bytes in the place of a stored file."""
    path.unlink()
    path.write_bytes(data)


def consistent(objects: set[str], named: list[tuple[str, BlobState]]) -> bool:
    """Whether exactly the originals that rows name are stored, and thumbnails of no others."""
    keys = {key for key, _ in named}
    thumbnails = {key.removeprefix("thumbs/").rpartition("/")[0].rpartition("/")[0] for key in objects if key[0] == "t"}
    return {key for key in objects if key[0] == "b"} == keys and thumbnails <= keys

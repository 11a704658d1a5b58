"""Strangers' images in the hands of a state machine: uploads, deletes, collections, damage and crashes in any order.

`AccountMachine` adds people with accounts to it.
"""

import os
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, invariant, precondition, rule

from chitram.domain.access import Viewer
from chitram.domain.errors import (
    DeleteTokenRequired,
    ImageNotFound,
    InvalidDeleteToken,
    StorageUnavailable,
    ThumbnailNotReady,
)
from chitram.domain.media import is_whole
from tests.properties.entries import Entry, content
from tests.properties.house_machine import HouseMachine

GRACE = timedelta(days=1)
#: What a blob's row may turn into between two looks. None: the row is gone.
LEGAL = {
    "live": {"live", "condemned"},
    "condemned": {"condemned", "live", "erasing", None},
    "erasing": {"erasing", None},
}


class StoreMachine(HouseMachine):
    """The application over SQLite and a directory, beside `model`, which has an entry for each image by its id.

    The bundle also holds images that are gone, when they went with their owner's account.
    """

    images = Bundle("images")
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Entry] = {}
        self.hashes: dict[int, str] = {}
        self.deleted: set[str] = set()
        #: Keys of objects that were spoilt, and whether a reader can tell by their length.
        self.damaged: dict[str, bool] = {}
        self.states: dict[int, str] = {}

    def teardown(self) -> None:
        try:
            self.check_that_everything_goes_away()
        finally:
            super().teardown()

    # ---------------------------------------------------------------------------------------------- what people do

    @initialize(target=images, number=st.integers(0, 3))
    def first_upload(self, number: int) -> str:
        return self.upload(number)

    @rule(target=images, number=st.integers(0, 3))
    def upload(self, number: int) -> str:
        before = self.census()
        uploaded = self.run(self.house.upload(content(number)))
        blob, image = uploaded.record.blob, uploaded.record.image
        assert self.hashes.setdefault(number, blob.sha256) == blob.sha256
        assert image.id not in self.model
        assert image.id not in self.deleted
        spoilt = [b for b in before.blobs if b.key in self.damaged and b.sha256 == blob.sha256 and b.state != "erasing"]
        if any(self.damaged[b.key] or b.corrupt for b in spoilt):
            assert blob.key not in self.damaged, "an upload did not heal what it could see to be damaged"
        assert blob.thumbnail_ready or self.mode == "background"
        self.model[image.id] = Entry(blob.sha256, uploaded.delete_token)
        return image.id

    def holder(self, image: str) -> Viewer:
        """Who may do everything to the image: by its delete token here."""
        return Viewer(delete_token=self.model[image].token)

    def shown(self, image: str) -> Any:
        """The record as its holder is shown it."""
        return self.run(self.house.application.images.find(image, viewer=self.holder(image))).record

    @rule(image=consumes(images))
    def delete(self, image: str) -> None:
        if image in self.model:
            viewer = self.holder(image)
            del self.model[image]
            self.deleted.add(image)
            self.run(self.house.application.images.delete(image, viewer=viewer))

    @rule(image=images, token=st.sampled_from([None, "", "x" * 43]))
    def fail_to_delete(self, image: str, token: str | None) -> None:
        with pytest.raises(self.refusal(image, token)):
            self.run(self.house.application.images.delete(image, viewer=Viewer(delete_token=token)))

    def refusal(self, image: str, token: str | None) -> type[Exception]:
        """What a stranger is told who wants to delete the image with a wrong token, or none."""
        if image not in self.model:
            return ImageNotFound
        return DeleteTokenRequired if token is None else InvalidDeleteToken

    @rule(image=images)
    def look(self, image: str) -> None:
        if image not in self.model:
            return
        record = self.shown(image)
        assert record.blob.sha256 == self.model[image].sha256
        if record.blob.key not in self.damaged:
            assert self.run(self.read(record)) == record.blob.size

    async def read(self, record: Any) -> int:
        blob = await self.house.application.images.open_original(record)
        await blob.aclose()
        return blob.size

    @rule(image=images, size=st.sampled_from([150, 300, 600]))
    def look_at_thumbnail(self, image: str, size: int) -> None:
        if image not in self.model:
            return
        record = self.shown(image)
        try:
            data = self.run(self.house.application.thumbnails.read(record, size=size))
        except ThumbnailNotReady:
            assert self.mode == "background" or record.blob.key in self.damaged
        else:
            assert is_whole(data, record.blob.thumbnail_type)

    # ---------------------------------------------------------------------------------------------- what time does

    @rule(hours=st.sampled_from([0.02, 0.3, 2, 25, 24 * 31]))
    def advance(self, hours: float) -> None:
        self.clock.advance(timedelta(hours=hours))

    @rule()
    def collect(self) -> None:
        self.run(self.house.application.collector.collect())
        if all(b.state != "condemned" for b in self.census().blobs):
            return
        assert all(b.state != "erasing" for b in self.census().blobs)

    @rule()
    def erase_orphans(self) -> None:
        oldest = self.clock.now() - GRACE
        before = self.census()
        young = {k for k, p in before.objects.items() if datetime.fromtimestamp(p.stat().st_mtime, UTC) > oldest}
        self.run(self.house.application.collector.erase_orphans())
        after = self.census()
        assert young <= set(after.objects), "an object was erased within its grace period"
        assert set(after.orphans()) <= young, "an orphan outlived its grace period"

    @rule()
    def run_jobs(self) -> None:
        self.run(self.house.application.runner.run_due())

    @rule()
    def sweep(self) -> None:
        self.run(self.house.application.runner.sweep_once())

    @rule()
    def restart_cleanly(self) -> None:
        self.restart()

    # ---------------------------------------------------------------------------------------------- what goes wrong

    @rule(image=images, how=st.sampled_from(["remove", "shorten", "flip"]))
    def damage(self, image: str, how: str) -> None:
        blob = self.census().images.get(image)
        if blob is None or blob.key in self.damaged:
            return
        path = self.house.root / blob.key
        data = path.read_bytes()
        times = path.stat()
        if how == "remove":
            path.unlink()
        else:
            path.write_bytes(data[:-1] if how == "shorten" else bytes([data[0] ^ 1]) + data[1:])
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.damaged[blob.key] = how != "flip"

    @rule(image=images)
    def verify(self, image: str) -> None:
        if image not in self.model:
            return
        found = self.run(self.house.application.integrity.verify(image, viewer=self.holder(image)))
        blob = self.census().images[image]
        assert found.match is (blob.key not in self.damaged)
        assert found.sha256 == self.model[image].sha256
        assert blob.corrupt is not found.match
        if blob.corrupt:
            record = self.shown(image)
            with pytest.raises(StorageUnavailable):
                self.run(self.read(record))

    @rule()
    def lose_thumbnails(self) -> None:
        shutil.rmtree(self.house.root / "thumbs", ignore_errors=True)

    @rule(number=st.integers(0, 3), at=st.integers(0, 14))
    def crash_in_upload(self, number: int, at: int) -> None:
        # When it goes well nobody hears of it: the same as an answer that is lost.
        self.crash_during(at, lambda: self.house.upload(content(number)))

    @rule(image=consumes(images), at=st.integers(0, 4))
    def crash_in_delete(self, image: str, at: int) -> None:
        if image not in self.model:
            return
        viewer, entry = self.holder(image), self.model.pop(image)
        self.crash_during(at, lambda: self.house.application.images.delete(image, viewer=viewer))
        # Nobody was told, so both are right; but one or the other it must be, from now on.
        if image in self.census().images:
            self.model[image] = entry
        else:
            self.deleted.add(image)

    @rule(at=st.integers(0, 12), what=st.sampled_from(["collect", "orphans", "jobs", "sweep"]))
    def crash_in_repair(self, at: int, what: str) -> None:
        application = self.house.application
        work: dict[str, Callable[[], Awaitable[Any]]] = {
            "collect": application.collector.collect,
            "orphans": application.collector.erase_orphans,
            "jobs": application.runner.run_due,
            "sweep": application.runner.sweep_once,
        }
        self.crash_during(at, work[what])

    @rule(number=st.integers(0, 3))
    def leave_litter(self, number: int) -> None:
        """What processes leave that were killed: received files, half-written ones, objects without a row."""
        for place in (self.directory / "staging", self.house.root / ".incoming"):
            dead = place / f"process-1-{len(self.known_objects)}{number}"
            dead.mkdir(parents=True, exist_ok=True)
            (dead / "received").write_bytes(content(number))
        sha256 = f"{number:064x}"
        orphan = self.house.root / f"blobs/{sha256[:2]}/{sha256}.{len(self.known_objects):012x}"
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"left behind")

    # ---------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def nothing_is_lost(self) -> None:
        type(self).steps += 1
        census = self.census()
        self.date_new_objects(census)
        assert census.violations(damaged=frozenset(self.damaged)) == []
        shown = {image: blob.sha256 for image, blob in census.images.items()}
        assert {image: shown.get(image) for image in self.model} == {
            image: entry.sha256 for image, entry in self.model.items()
        }
        assert not self.deleted & set(shown), "a deleted image is back"
        for image in self.deleted:
            with pytest.raises(ImageNotFound):
                self.run(self.house.application.images.find(image, viewer=Viewer()))

    @invariant()
    def states_change_legally(self) -> None:
        states = {blob.id: blob.state for blob in self.census().blobs}
        for row, state in self.states.items():
            assert states.get(row) in LEGAL[state], f"{state} became {states.get(row)}"
        assert all(row > max(self.states, default=0) for row in states.keys() - self.states.keys())
        self.states |= states
        self.states = {row: state for row, state in self.states.items() if row in states or row == max(self.states)}

    @precondition(lambda self: not self.damaged)
    @invariant()
    def doctor_agrees(self) -> None:
        assert not self.run(self.house.application.doctor.examine()).damaging

    def check_that_everything_goes_away(self) -> None:
        """Settle, delete everything, wait for the grace period: the store is empty, and so are the tables."""
        self.restart()
        application = self.house.application
        for image in self.model:
            self.run(application.images.delete(image, viewer=self.holder(image)))
        census = self.census()
        lost = set(census.images) - set(self.model)
        for _ in range(12):
            self.clock.advance(timedelta(hours=13))
            self.run(application.runner.sweep_once())
            self.run(application.runner.run_due())
        census = self.census()
        # Images whose upload was cut off have a row that nobody knows the token of: their bytes have to stay.
        assert set(census.images) == lost
        assert {b.key for b in census.blobs} == {b.key for b in census.images.values()}
        assert set(census.objects) <= {b.key for b in census.blobs}
        assert census.orphans() == []
        assert census.jobs["ready"] == census.jobs["running"] == 0
        ready = [b.thumbnails for b in census.blobs if b.key not in self.damaged]
        assert all(ready), "a promised thumbnail was never made"
        assert list((self.directory / "staging").glob("process-1-*")) == []

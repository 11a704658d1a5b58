"""Clients that upload, read and delete from threads, and a ledger of everything that they were answered."""

import hashlib
import random
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

import httpx

from tests.factories.pictures import png_of

UPLOAD = "/api/v1/images/upload"


def picture(dice: random.Random, *, side: int = 8) -> bytes:
    """A PNG of random pixels: small, whole, and never seen before."""
    rows = b"".join(b"\0" + dice.randbytes(3 * side) for _ in range(side))
    return png_of(side, side, rows=zlib.compress(rows, 1))


def heavy_picture(dice: random.Random, *, size: int) -> bytes:
    """A PNG of about `size` random bytes that is quick to decode."""
    width = 256
    height = max(1, size // (3 * width + 1))
    rows = b"".join(b"\0" + dice.randbytes(3 * width) for _ in range(height))
    return png_of(width, height, rows=zlib.compress(rows, 0))


def form(data: bytes, *, filename: str = "a.png") -> dict[str, tuple[str, bytes, str]]:
    """What httpx takes as `files`."""
    return {"file": (filename, data, "image/png")}


class Deletion(Enum):
    """ASKED: the answer was lost, so both outcomes are right."""

    NONE = "none"
    ASKED = "asked"
    ANSWERED = "answered"


@dataclass(slots=True)
class Entry:
    """An upload that was answered with 201."""

    id: str
    sha256: str
    token: str
    deletion: Deletion = Deletion.NONE


@dataclass
class Ledger:
    """What all clients were answered. `unexpected`: answers that nobody should ever get. `busy`: honest refusals."""

    entries: dict[str, Entry] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    deletions: int = 0
    busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Set for good measure before the power goes: an answer that comes later says nothing.
    dark: bool = False

    def add(self, answer: httpx.Response, *, sha256: str) -> Entry | None:
        """Record the answer to an upload; its entry when it was a 201."""
        with self.lock:
            if self.dark:
                return None
            if answer.status_code == 201:
                body = answer.json()
                entry = Entry(body["id"], sha256, body["delete_token"])
                if body["sha256"] != sha256:
                    self.unexpected.append(f"{body['id']}: another hash than that of the bytes sent")
                if entry.id in self.entries:
                    self.unexpected.append(f"{entry.id} was given twice")
                self.entries[entry.id] = entry
                return entry
            self._refused(answer)
            return None

    def _refused(self, answer: httpx.Response) -> None:
        if answer.status_code == 507 or (answer.status_code == 503 and "retry-after" in answer.headers):
            self.busy += 1
        else:
            self.unexpected.append(f"{answer.request.method} {answer.status_code}: {answer.text[:300]}")

    def delete(self, client: httpx.Client, entry: Entry) -> None:
        """Delete an image by its token, and record how far that got."""
        entry.deletion = Deletion.ASKED
        answer = client.delete(f"/api/v1/images/{entry.id}", headers={"X-Delete-Token": entry.token})
        with self.lock:
            if self.dark:
                return
            if answer.status_code == 204:
                entry.deletion = Deletion.ANSWERED
                self.deletions += 1
            else:
                self._refused(answer)

    def check(self, client: httpx.Client, entry: Entry) -> None:
        """Compare what the server shows now with what it promised."""
        answer = client.get(f"/api/v1/images/{entry.id}/file")
        found = answer.status_code
        right = found == 200 and hashlib.sha256(answer.content).hexdigest() == entry.sha256
        expected = {
            Deletion.NONE: right,
            Deletion.ASKED: right or found == 404,
            Deletion.ANSWERED: found == 404,
        }
        if not expected[entry.deletion]:
            with self.lock:
                self.unexpected.append(f"{entry.id}, deletion {entry.deletion.value}: {found} {answer.text[:200]!r}")

    def surviving(self) -> list[Entry]:
        """Images that nobody has asked to delete."""
        return [entry for entry in self.entries.values() if entry.deletion is Deletion.NONE]


Work = Callable[[httpx.Client, random.Random], None]


@contextmanager
def traffic(url: str, works: Sequence[Work], *, seed: int) -> Iterator[threading.Event]:
    """One thread for each of `works`, which is called over and over until the block ends or the server is gone.

    The event that is given stops them early; failures other than a lost connection come up when the block ends.
    """
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(work: Work, dice: random.Random) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            try:
                while not stop.is_set():
                    work(client, dice)
            except httpx.TransportError:
                return
            except BaseException as error:  # noqa: BLE001 - it is raised again in the thread of the test
                failures.append(error)

    threads = [threading.Thread(target=run, args=(work, random.Random(f"{seed}/{n}"))) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def come_and_go(ledger: Ledger, *, shared: Sequence[bytes], deleting: float = 0.4) -> Work:
    """Upload new and well-known pictures, and now and then delete one of those of this client."""
    own: list[Entry] = []

    def work(client: httpx.Client, dice: random.Random) -> None:
        data = dice.choice(shared) if dice.random() < 0.5 else picture(dice)
        entry = ledger.add(client.post(UPLOAD, files=form(data)), sha256=hashlib.sha256(data).hexdigest())
        if entry is not None:
            own.append(entry)
        if own and dice.random() < deleting:
            ledger.delete(client, own.pop(dice.randrange(len(own))))

    return work


def pictures_of(seed: int, *, count: int) -> list[bytes]:
    """Some pictures that all clients know."""
    dice = random.Random(struct.pack(">q", seed))
    return [picture(dice) for _ in range(count)]

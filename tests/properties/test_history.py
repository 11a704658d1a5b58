"""Once a delete was answered nobody sees the image again, by whatever way: histories of many clients, checked."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import UNLIMITED, running_server
from tests.faults.traffic import UPLOAD, Work, form, pictures_of, traffic
from tests.properties.linearizability import Operation, is_linearizable

CLIENTS = 6
#: Images that are alive at a time: so few that all clients are at the same ones.
ALIVE = 3
WAYS = ("", "/file", "/thumbnail?size=150", "/checksum", "list")


def image_step(state: Hashable, operation: Operation) -> Hashable | None:
    """An image is there or gone. A delete that finds nothing is told so; nothing that is gone comes back."""
    if operation.name == "delete":
        allowed = operation.result in (None, 204) if state == "there" else operation.result in (None, 404)
        return "gone" if allowed else None
    return state if operation.result is (state == "there") else None


def op(name: str, result: object, start: float, end: float) -> Operation:
    return Operation(name, result, start, end)


@pytest.mark.parametrize(
    ("history", "right"),
    [
        ([op("look", True, 0, 1), op("delete", 204, 2, 3), op("look", False, 4, 5)], True),
        ([op("delete", 204, 0, 1), op("look", True, 2, 3)], False),
        ([op("delete", 204, 0, 5), op("look", True, 1, 2), op("look", False, 3, 4)], True),
        ([op("delete", 204, 0, 5), op("look", False, 1, 2), op("look", True, 3, 4)], False),
        ([op("delete", 204, 0, 5), op("delete", 204, 1, 6)], False),
        ([op("delete", 204, 0, 5), op("delete", 404, 1, 6)], True),
        ([op("delete", None, 0, float("inf")), op("look", True, 1, 2), op("look", False, 3, 4)], True),
        ([op("delete", None, 0, float("inf")), op("look", True, 1, 2)], True),
        ([op("look", False, 0, 1)], False),
    ],
)
def test_the_checker_knows_right_from_wrong(history: list[Operation], right: bool):
    assert is_linearizable(history, initial="there", step=image_step) is right


class Recorder:
    """Images that are alive, and what was done to each that ever was."""

    def __init__(self, operations: int) -> None:
        self.histories: dict[str, list[Operation]] = defaultdict(list)
        self.alive: list[tuple[str, str]] = []
        self.enough = threading.Event()
        self._left = operations
        self._lock = threading.Lock()

    def record(self, image: str, name: str, result: object, *, start: float) -> None:
        # What was not answered may happen at any time after, or never.
        operation = Operation(name, result, start, float("inf") if result is None else time.monotonic())
        with self._lock:
            self.histories[image].append(operation)
            self._left -= 1
            if self._left <= 0:
                self.enough.set()

    def pick(self, dice: random.Random) -> tuple[str, str] | None:
        with self._lock:
            return dice.choice(self.alive) if len(self.alive) >= ALIVE else None

    def born(self, image: str, token: str) -> None:
        with self._lock:
            self.alive.append((image, token))

    def died(self, image: tuple[str, str]) -> None:
        with self._lock:
            if image in self.alive:
                self.alive.remove(image)


def is_busy(answer: httpx.Response) -> bool:
    """Whether an overloaded server asks to come back, which says nothing about any image."""
    return answer.status_code == 503 and "retry-after" in answer.headers


def look(client: httpx.Client, image: str, way: str) -> bool | None:
    """Whether the image was seen; None when the server was too busy to tell."""
    path = "/api/v1/images?limit=100" if way == "list" else f"/api/v1/images/{image}{way}"
    answer = client.get(path)
    if is_busy(answer):
        return None
    assert answer.status_code in ((200,) if way == "list" else (200, 404)), answer.text
    if way == "list":
        return any(item["id"] == image for item in answer.json()["items"])
    return answer.status_code == 200


def meddle(recorder: Recorder, contents: list[bytes]) -> Work:
    """Look at images in every way there is, and now and then delete one, which another client may be doing as well."""

    def work(client: httpx.Client, dice: random.Random) -> None:
        picked = recorder.pick(dice)
        if picked is None:
            answer = client.post(UPLOAD, files=form(dice.choice(contents)), data={"visibility": "public"})
            if is_busy(answer):
                return
            assert answer.status_code == 201, answer.text
            recorder.born(answer.json()["id"], answer.json()["delete_token"])
            return
        image, token = picked
        start = time.monotonic()
        if dice.random() < 0.1:
            answer = client.delete(f"/api/v1/images/{image}", headers={"X-Delete-Token": token})
            recorder.record(image, "delete", None if is_busy(answer) else answer.status_code, start=start)
            time.sleep(dice.uniform(0, 0.02))
            recorder.died(picked)
        else:
            way = dice.choice(WAYS)
            seen = look(client, image, way)
            if seen is not None:
                recorder.record(image, f"look {way}", seen, start=start)

    return work


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_what_was_deleted_is_never_seen_again(tmp_path: Path, proof):
    operations = count(1_500, 60_000)
    recorder = Recorder(operations)
    settings = {**UNLIMITED, "COLLECT_GRACE_SECONDS": "0", "SWEEP_INTERVAL_SECONDS": "0.05", "LOG_LEVEL": "warning"}
    with running_server(tmp_path, **settings) as server:
        works = [meddle(recorder, pictures_of(3, count=2)) for _ in range(CLIENTS)]
        with traffic(server.url, works, seed=4):
            assert recorder.enough.wait(timeout=operations)
    wrong = [h for h in recorder.histories.values() if not is_linearizable(h, initial="there", step=image_step)]
    assert wrong == []
    deleted = sum(any(o.result == 204 for o in h) for h in recorder.histories.values())
    assert deleted
    proof.record(
        "What was deleted is never seen again",
        f"{CLIENTS} clients, {len(WAYS)} ways to look: operations, images deleted; histories that are not linearizable",
        f"{operations}, {deleted}; 0",
    )

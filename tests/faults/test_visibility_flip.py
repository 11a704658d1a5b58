"""Once something was made private, or a session ended, and that was answered, nobody gets at it any more.

That it can fail was seen with the invalidation of the cache taken out of `Ownership`, with sessions that were looked up
once remembered by `Authentication`, and with bad credentials taken for none.
"""

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import ENDED, UNLIMITED, Server
from tests.faults.exposure import Change, Look, wrong_looks
from tests.faults.people import (
    AUTH,
    IMAGES,
    ME,
    PASSWORD,
    Person,
    bearer,
    create_token,
    register,
    sign_in,
    upload_as,
)
from tests.faults.stampede import persistent
from tests.faults.traffic import Work, pictures_of, traffic

SETTINGS = {**UNLIMITED, "BCRYPT_ROUNDS": "4", "LOG_LEVEL": "warning", "CACHE_ENABLED": "true"}
READERS = 6
IMAGE_COUNT = 2
#: Requests with a credential before it ends, and after; more than are under way at a time.
ASKED = 8
#: Readers that see nothing for so long are gone, in seconds.
PATIENCE = 60.0
WAYS = ("", "/file", "/thumbnail?size=150", "/thumbnail?size=600", "/checksum", "/similar", "list", "other's similar")


def shows_image(way: str, state: str) -> bool:
    """What a stranger is shown of an image: lists hold public ones alone."""
    return state == "public" if way in ("list", "other's similar") else state != "private"


def shows_session(way: str, state: str) -> bool:
    return state == "open"


BIRTH = Change("public", 0, 1)


@pytest.mark.parametrize(
    ("changes", "look", "right"),
    [
        ([BIRTH], Look("", True, 2, 3), True),
        ([BIRTH], Look("", False, 2, 3), False),
        ([BIRTH], Look("", False, 0, 3), True),  # asked before the upload was answered
        ([BIRTH, Change("private", 4, 5)], Look("", True, 6, 7), False),
        ([BIRTH, Change("private", 4, 5)], Look("", True, 4.5, 7), True),
        ([BIRTH, Change("private", 4, 5)], Look("", True, 2, 3), True),
        ([BIRTH, Change("private", 4, 5), Change("unlisted", 8, 9)], Look("", True, 6, 7), False),
        ([BIRTH, Change("private", 4, 5), Change("unlisted", 8, 9)], Look("", True, 6, 8.5), True),
        ([BIRTH, Change("private", 4, 5), Change("unlisted", 8, 9)], Look("list", True, 6, 8.5), False),
        ([BIRTH, Change("private", 4, 5), Change("unlisted", 8, 9)], Look("", False, 10, 11), False),
        ([BIRTH, Change("unlisted", 4, 5)], Look("list", True, 6, 7), False),
        ([BIRTH, Change("unlisted", 4, 5)], Look("", True, 6, 7), True),
    ],
)
def test_the_checker_knows_right_from_wrong(changes: list[Change], look: Look, right: bool):
    assert (wrong_looks(changes, [look], shows=shows_image) == []) is right


class History:
    """What was done to each thing, and what those saw who looked at it."""

    def __init__(self) -> None:
        self.changes: dict[str, list[Change]] = defaultdict(list)
        self.looks: dict[str, list[Look]] = defaultdict(list)

    @contextmanager
    def changing(self, thing: str, state: str) -> Iterator[None]:
        """Around the request that asks for a change and waits for the answer."""
        start = time.monotonic()
        yield
        self.changes[thing].append(Change(state, start, time.monotonic()))

    def look(self, thing: str, way: str, ask: Callable[[], int]) -> None:
        """Record whether the status that `ask` gives is 200. 503 says nothing: the server is asked too much."""
        start = time.monotonic()
        status = ask()
        if status != 503:
            # Appending to a list is one step: readers need no lock.
            self.looks[thing].append(Look(way, status == 200, start, time.monotonic()))

    def wrong(self, shows: Callable[[str, str], bool]) -> list[Look]:
        return [
            look for thing, looks in self.looks.items() for look in wrong_looks(self.changes[thing], looks, shows=shows)
        ]

    def await_looks(self, things: Iterable[str], *, number: int) -> None:
        """Until everyone of the things was looked at so many times more, which takes as long as the machine needs."""
        wanted = {thing: len(self.looks[thing]) + number for thing in things}
        deadline = time.monotonic() + PATIENCE
        while any(len(self.looks[thing]) < enough for thing, enough in wanted.items()):
            assert time.monotonic() < deadline, "nobody looks any more"
            time.sleep(0.002)

    @property
    def size(self) -> int:
        return sum(map(len, self.looks.values()))


@contextmanager
def running(directory: Path, *, processes: int) -> Iterator[list[str]]:
    """The addresses of so many processes on the same data, each with a cache of its own."""
    with ExitStack() as stack:
        servers = []
        for number in range(processes):
            place = directory / f"server{number}"
            place.mkdir()
            servers.append(Server(place, settings=SETTINGS, data=directory / "data"))
            stack.callback(servers[-1].kill)
            servers[-1].start()
        yield [server.url for server in servers]
        for server in servers:
            assert server.stop() in ENDED


def see(client: httpx.Client, image: str, way: str, *, other: str) -> int:
    """The status of a look at the image; 404 where a list lacks it. `other` is a public one that looks the same."""
    if way == "list":
        answer = client.get(IMAGES, params={"limit": 100})
    elif way == "other's similar":
        answer = client.get(f"{IMAGES}/{other}/similar", params={"distance": 16})
    else:
        status = client.get(f"{IMAGES}/{image}{way}").status_code
        assert status in (200, 404, 503), status
        return status
    assert answer.status_code in (200, 503), answer.text
    if answer.status_code == 200 and all(item["id"] != image for item in answer.json()["items"]):
        return 404
    return answer.status_code


def onlooking(history: History, images: list[str], *, other: str, base: str) -> Work:
    def work(client: httpx.Client, dice: random.Random) -> None:
        image, way = dice.choice(images), dice.choice(WAYS)
        client.base_url = httpx.URL(base)
        history.look(image, way, lambda: see(client, image, way, other=other))

    return work


def change(client: httpx.Client, *, owner: Person, image: str, state: str) -> httpx.Response:
    return client.patch(f"{IMAGES}/{image}", json={"visibility": state}, headers=owner.headers)


def flip(client: httpx.Client, history: History, owner: Person, images: list[str], *, flips: int) -> None:
    """Change visibilities up and down, with and without pauses in which the caches fill."""
    dice = random.Random(5)
    states = ("public", "private", "unlisted", "private")
    for number in range(flips):
        image, state = images[number % len(images)], states[number // len(images) % len(states)]
        with history.changing(image, state):
            changed = persistent(partial(change, owner=owner, image=image, state=state))(client)
            assert changed.status_code == 200, changed.text
            assert changed.json()["visibility"] == state
        if dice.random() < 0.5:
            history.await_looks([image], number=READERS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [1, 2])  # one keeps its cache by what it changes itself, two by what both do
def test_what_was_made_private_is_not_shown(tmp_path: Path, processes: int, proof):
    flips = count(40, 5000)
    history = History()
    with running(tmp_path, processes=processes) as urls, httpx.Client(base_url=urls[0], timeout=30) as client:
        owner = register(client, "owner@example.org")
        data, twin = pictures_of(9, count=1)[0], pictures_of(9, count=1)[0]
        other = upload_as(client, owner, twin, visibility="public")["id"]
        images = []
        for _ in range(IMAGE_COUNT):
            start = time.monotonic()
            images.append(upload_as(client, owner, data, visibility="public")["id"])
            history.changes[images[-1]].append(Change("public", start, time.monotonic()))
        works = [onlooking(history, images, other=other, base=urls[n % processes]) for n in range(READERS)]
        with traffic(urls[0], works, seed=3):
            flip(client, history, owner, images, flips=flips)
    assert history.wrong(shows_image) == []
    seen = {(look.way, look.shown) for looks in history.looks.values() for look in looks}
    assert seen == set(itertools.product(WAYS, (True, False)))
    proof.record(
        "What was made private is not shown any more",
        f"{processes} processes, caches on, {len(WAYS)} ways to look: changes, looks of strangers; wrong ones",
        f"{flips}, {history.size}; 0",
    )


# -------------------------------------------------------------------------------------------------- ended sessions

NEW_PASSWORD = "another good password"


def log_out(client: httpx.Client, person: Person) -> httpx.Response:
    return client.post(f"{AUTH}/logout", headers=person.headers)


def change_password(client: httpx.Client, person: Person) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return client.post(f"{AUTH}/password", json=body, headers=person.headers)


def delete_account(client: httpx.Client, person: Person) -> httpx.Response:
    body = {"password": PASSWORD, "images": "delete"}
    return client.request("DELETE", ME, json=body, headers=person.headers)


def end_others(client: httpx.Client, person: Person) -> httpx.Response:
    return client.delete(f"{AUTH}/sessions", headers=sign_in(client, person).headers)


def revoke_tokens(client: httpx.Client, person: Person) -> httpx.Response:
    return client.delete(f"{AUTH}/tokens", headers=person.headers)


#: How a credential ends, and which one: that of a session, or an API token.
ENDINGS: dict[str, tuple[Callable[[httpx.Client, Person], httpx.Response], tuple[str, ...]]] = {
    "logout": (log_out, ("session",)),
    "password": (change_password, ("session", "token")),
    "deletion": (delete_account, ("session", "token")),
    "other sessions": (end_others, ("session",)),
    "revocation": (revoke_tokens, ("token",)),
}


def asking(history: History, thing: str, *, headers: dict[str, str], image: str, base: str) -> Work:
    """Ask for what only the account is shown, with a credential that ends meanwhile."""
    paths = (f"{ME}/images", f"{ME}/usage", f"{IMAGES}/{image}", f"{IMAGES}/{image}/file")
    allowed = (200, 401, 404, 503) if thing.startswith("deletion") else (200, 401, 503)

    def work(client: httpx.Client, dice: random.Random) -> None:
        path = dice.choice(paths)
        client.base_url = httpx.URL(base)

        def ask() -> int:
            status = client.get(path, headers=headers).status_code
            # A refused credential is never taken for none: that would be a 404. One is right for what the account took
            # with it, when the credential was looked at just before.
            assert status in allowed, (thing, path, status)
            return status

        history.look(thing, path.rpartition("/")[2], ask)

    return work


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [1, 2])
def test_an_ended_credential_opens_nothing(tmp_path: Path, processes: int, proof):
    rounds = count(1, 40)
    history = History()
    with running(tmp_path, processes=processes) as urls, httpx.Client(base_url=urls[0], timeout=60) as client:
        for number, (name, (end, credentials)) in itertools.product(range(rounds), ENDINGS.items()):
            start = time.monotonic()
            person = register(client, f"{name.replace(' ', '-')}-{number}@example.org")
            headers = {"session": person.headers, "token": bearer(create_token(client, person))}
            image = upload_as(client, person, pictures_of(number, count=1)[0], visibility="private")["id"]
            birth = Change("open", start, time.monotonic())
            things = {kind: f"{name} {number} {kind}" for kind in credentials}
            for thing in things.values():
                history.changes[thing].append(birth)
            works = [
                asking(history, thing, headers=headers[kind], image=image, base=base)
                for kind, thing in things.items()
                for base in (urls * 2)[:2]
            ]
            with traffic(urls[0], works, seed=number):
                history.await_looks(things.values(), number=ASKED)
                asked = time.monotonic()
                assert persistent(partial(end, person=person))(client).status_code == 204
                ended = Change("ended", asked, time.monotonic())
                for thing in things.values():
                    history.changes[thing].append(ended)
                history.await_looks(things.values(), number=ASKED)
    assert history.wrong(shows_session) == []
    outcomes = {thing: {look.shown for look in looks} for thing, looks in history.looks.items()}
    assert all(shown == {True, False} for shown in outcomes.values()), outcomes
    proof.record(
        "An ended credential opens nothing",
        f"{processes} processes; {', '.join(ENDINGS)}: ends, requests around them; requests let in afterwards",
        f"{rounds * len(ENDINGS)}, {history.size}; 0",
    )

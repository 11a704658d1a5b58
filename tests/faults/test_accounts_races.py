"""Many who do the same at the same instant: one account an e-mail, no file over the quota, one delete, one image a key.

That it can fail was seen with the number of files taken out of the condition of the update that charges the quota, with
every idempotency key free to take, with a second delete answered like the first, and with e-mails compared as written.
"""

import hashlib
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import ENDED, UNLIMITED, Server, running_server
from tests.faults.census import take_census
from tests.faults.people import AUTH, IMAGES, Person, register, upload_as, usage
from tests.faults.recount import account_violations, recount
from tests.faults.stampede import at_once, persistent
from tests.faults.traffic import UPLOAD, Work, form, picture, traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CROWD = 50
#: Enough room for two files; the tests leave room for one.
QUOTA_FILES = 2
SETTINGS = {**UNLIMITED, "BCRYPT_ROUNDS": "4", "LOG_LEVEL": "warning", "UPLOAD_CONCURRENCY_TIMEOUT": "60"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    quotas = {"DEFAULT_QUOTA_FILES": str(QUOTA_FILES), "DEFAULT_QUOTA_MB": "1"}
    with running_server(tmp_path_factory.mktemp("races"), **SETTINGS, **quotas) as running:
        yield running
        assert account_violations(running.data) == []
        assert take_census(running.data).violations() == []
        assert running.stop() in ENDED


def outcomes(answers: list[httpx.Response]) -> Counter[tuple[int, str]]:
    """How many answers had which status and code."""
    return Counter((a.status_code, "" if a.is_success else a.json()["detail"]["code"]) for a in answers)


# ------------------------------------------------------------------------------------------------------ registration


def spellings(name: str, number: int) -> str:
    """One e-mail, written in one of many ways."""
    dice = random.Random(number)
    return "".join(dice.choice((letter.lower(), letter.upper())) for letter in f"{name}@example.org")


def test_one_email_makes_one_account(server: Server, proof):
    rounds = count(2, 40)
    for number in range(rounds):
        bodies = [
            {"email": spellings(f"somebody{number}", each), "password": f"good password {each}"}
            for each in range(CROWD)
        ]
        acts = [lambda client, body=body: client.post(f"{AUTH}/register", json=body) for body in bodies]
        answers = at_once(server.url, [persistent(act) for act in acts])
        assert outcomes(answers) == {(201, ""): 1, (409, "EMAIL_EXISTS"): CROWD - 1}
        # Who was told 201 is who can sign in, by every spelling, and nobody else.
        winner = next(place for place, answer in enumerate(answers) if answer.status_code == 201)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for place in (winner, (winner + 1) % CROWD):
                body = {"email": spellings(f"somebody{number}", 99), "password": bodies[place]["password"]}
                assert client.post(f"{AUTH}/login", json=body).status_code == (200 if place == winner else 401)
    made = [email for email in recount(server.data) if email.startswith("somebody")]
    assert len(made) == rounds
    proof.record(
        "One e-mail makes one account",
        f"{CROWD} registrations at once in different spellings: rounds; second accounts",
        f"{rounds}; 0",
    )


# ------------------------------------------------------------------------------------------------------------ quota


def upload_all(server: Server, person: Person, pictures: list[bytes]) -> list[httpx.Response]:
    acts = [
        lambda client, data=data: client.post(UPLOAD, files=form(data), headers=person.headers) for data in pictures
    ]
    return at_once(server.url, [persistent(act) for act in acts])


def test_a_quota_of_one_more_image_takes_one_more(server: Server, proof):
    rounds = count(2, 20)
    dice = random.Random(11)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for number in range(rounds):
            person = register(client, f"quota{number}@example.org")
            kept = [upload_as(client, person, picture(dice))["id"] for _ in range(QUOTA_FILES - 1)]
            # Half of them send the same picture: what is stored already counts as much.
            pictures = [picture(dice) if each % 2 else picture(random.Random(number)) for each in range(CROWD)]
            answers = upload_all(server, person, pictures)
            assert outcomes(answers) == {(201, ""): 1, (507, "QUOTA_EXCEEDED"): CROWD - 1}
            account = recount(server.data)[person.email]
            assert account.used == account.kept
            assert account.used[1] == QUOTA_FILES
            # What is given back can be used again, once.
            assert client.delete(f"{IMAGES}/{kept[0]}", headers=person.headers).status_code == 204
            assert outcomes(upload_all(server, person, pictures[:10])) == {(201, ""): 1, (507, "QUOTA_EXCEEDED"): 9}
            assert str(QUOTA_FILES) in str(usage(client, person))
    proof.record(
        "A quota is never exceeded",
        f"{CROWD} uploads at once with room for one, half of them the same bytes: rounds; uploads too many",
        f"{rounds}; 0",
    )


def test_claims_count_against_the_quota_as_well(server: Server):
    dice = random.Random(12)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        person = register(client, "claims@example.org")
        for _ in range(QUOTA_FILES - 1):
            upload_as(client, person, picture(dice))
        found = [client.post(UPLOAD, files=form(picture(dice))).json() for _ in range(10)]
    acts = [
        lambda client, image=image: client.post(
            f"{IMAGES}/{image['id']}/claim", headers={**person.headers, "X-Delete-Token": image["delete_token"]}
        )
        for image in found
    ]
    assert outcomes(at_once(server.url, [persistent(act) for act in acts])) == {
        (200, ""): 1,
        (507, "QUOTA_EXCEEDED"): 9,
    }


def test_an_image_is_claimed_by_one(server: Server):
    dice = random.Random(13)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        people = [register(client, f"claimant{number}@example.org") for number in range(8)]
        image = client.post(UPLOAD, files=form(picture(dice))).json()
    token = {"X-Delete-Token": image["delete_token"]}
    acts = [
        lambda client, person=person: client.post(f"{IMAGES}/{image['id']}/claim", headers={**person.headers, **token})
        for person in people
    ]
    statuses = [answer.status_code for answer in at_once(server.url, [persistent(act) for act in acts])]
    assert statuses.count(200) == 1
    assert set(statuses) == {200, 403}
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.delete(f"{IMAGES}/{image['id']}", headers=token).status_code == 403
        winner = people[statuses.index(200)]
        assert client.delete(f"{IMAGES}/{image['id']}", headers=winner.headers).status_code == 204


# ----------------------------------------------------------------------------------------------------------- deletion


def delete(client: httpx.Client, *, image: str, person: Person) -> httpx.Response:
    return client.delete(f"{IMAGES}/{image}", headers=person.headers)


def test_an_image_is_deleted_once(server: Server, proof):
    rounds = count(2, 40)
    dice = random.Random(14)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        person = register(client, "deletes@example.org")
        for _ in range(rounds):
            image = upload_as(client, person, picture(dice))["id"]
            acts = [partial(delete, image=image, person=person)] * CROWD
            assert outcomes(at_once(server.url, [persistent(act) for act in acts])) == {
                (204, ""): 1,
                (404, "IMAGE_NOT_FOUND"): CROWD - 1,
            }
            assert recount(server.data)[person.email].used == (0, 0)
    proof.record(
        "An image is deleted once, and given back to the quota once",
        f"{CROWD} deletes of one image at once: rounds; second deletes",
        f"{rounds}; 0",
    )


def test_a_password_is_changed_once(server: Server):
    """Of two who know the same old password and choose different new ones, one has it."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        person = register(client, "changes@example.org")
        bodies = [{"current_password": person.password, "new_password": f"new password {n}"} for n in range(8)]
        acts = [
            lambda each, body=body: each.post(f"{AUTH}/password", json=body, headers=person.headers) for body in bodies
        ]
        statuses = [answer.status_code for answer in at_once(server.url, [persistent(act) for act in acts])]
        assert statuses.count(204) == 1, statuses
        assert set(statuses) == {204, 401}
        works = [
            client.post(f"{AUTH}/login", json={"email": person.email, "password": body["new_password"]}).status_code
            for body in bodies
        ]
        assert works == [200 if status == 204 else 401 for status in statuses]


# ------------------------------------------------------------------------------------------------- keys and kill -9


@dataclass
class Repeated:
    """Uploads with keys: what was sent under each, and every answer to it."""

    sent: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, client: httpx.Client, key: str, *, headers: dict[str, str]) -> bool:
        """Upload what belongs to the key; whether that was answered with 201."""
        answer = client.post(UPLOAD, files=form(self.sent[key]), headers={**headers, "Idempotency-Key": key})
        with self.lock:
            if answer.status_code == 201:
                self.answers.setdefault(key, []).append(answer.json())
            elif answer.status_code != 409:
                self.unexpected.append(f"{answer.status_code} {answer.text[:200]}")
        return answer.status_code == 201


def uploading(repeated: Repeated, name: str, *, headers: dict[str, str]) -> Work:
    """Upload with a fresh key, and sometimes again with one that was used, as a client does whose answer was lost."""
    own: list[str] = []

    def work(client: httpx.Client, dice: random.Random) -> None:
        if not own or dice.random() < 0.7:
            key = f"key-of-{name}-{len(own):06d}"
            with repeated.lock:
                repeated.sent[key] = picture(dice)
            own.append(key)
        repeated.post(client, dice.choice(own[-3:]), headers=headers)

    return work


def repeat_all(server: Server, repeated: Repeated, headers: dict[str, dict[str, str]]) -> None:
    """Once more with every key."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for key in list(repeated.sent):
            assert repeated.post(client, key, headers=headers[key.split("-")[2]]), key


def test_a_repeated_upload_makes_one_image_also_over_kill_9(tmp_path: Path, proof):
    rounds = count(2, 40)
    server, repeated = Server(tmp_path, settings=SETTINGS), Repeated()
    headers: dict[str, dict[str, str]] = {"stranger": {}}
    try:
        server.start()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for name in ("ann", "bob"):
                headers[name] = register(client, f"{name}@example.org").headers
        for number in range(rounds):
            names = {f"{name}{number}": fields for name, fields in headers.items() if not name[-1].isdigit()}
            headers |= names
            works = [uploading(repeated, name, headers=fields) for name, fields in names.items()]
            with traffic(server.url, works, seed=number):
                time.sleep(random.Random(number).uniform(0.1, 0.6))
                server.kill()
            server.start()
            assert account_violations(server.data) == []
        let_holds_run_out(server)
        repeat_all(server, repeated, headers)
        assert repeated.unexpected == []
        census = take_census(server.data)
        assert census.violations() == []
        assert account_violations(server.data) == []
        assert set(repeated.answers) == set(repeated.sent)
        told = {key: {(a["id"], a["delete_token"]) for a in answers} for key, answers in repeated.answers.items()}
        assert {key: len(each) for key, each in told.items() if len(each) != 1} == {}
        assert set(census.images) == {image for ((image, _),) in told.values()}
        assert_tokens_work(server, repeated)
    finally:
        server.kill()
    proof.record(
        "A repeated upload makes one image, with one delete token",
        "keys, answers to them over kills; images too many",
        f"{len(repeated.sent)}, {sum(map(len, repeated.answers.values()))} over {rounds}; 0",
    )


def let_holds_run_out(server: Server) -> None:
    """Of what the killed processes were at: as if half a minute had passed."""
    with closing(sqlite3.connect(server.data / "chitram.db", timeout=30, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE idempotency_keys SET held_until = '2000-01-01 00:00:00.000000' WHERE image_id IS NULL"
        )


def assert_tokens_work(server: Server, repeated: Repeated) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for key, (answer, *_) in list(repeated.answers.items())[:20]:
            file = client.get(f"{IMAGES}/{answer['id']}/file")
            assert hashlib.sha256(file.content).hexdigest() == answer["sha256"]
            if answer["delete_token"] is not None:
                token = {"X-Delete-Token": answer["delete_token"]}
                assert client.delete(f"{IMAGES}/{answer['id']}", headers=token).status_code == 204, key

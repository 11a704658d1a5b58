"""Nobody can find out by signing in who has an account here: not by what is answered, not by the work that it takes.

That it can fail was seen with the hash of nobody's taken out of `BcryptPasswords`.
"""

import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from chitram.adapters.security.passwords import BcryptPasswords
from chitram.bootstrap import Foundation
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.counts import SOAK
from tests.factories.accounts import AUTH, OWN_PAGE, PASSWORD, signed_up
from tests.factories.applications import house
from tests.factories.servers import UNLIMITED, running_server
from tests.faults.people import register
from tests.faults.rank_test import separation
from tests.faults.two_users_stage import Theatre, theatre

#: Twice as much work a step: at this cost a hash takes more than everything else that a request does.
ROUNDS = 10
SAMPLES = 5
#: Of the work of one and the same request, measured again.
LEAST, MOST = 0.6, 1.7
PAIRS = 200
#: By chance alone one run in a thousand separates what is alike.
CHANCE = 0.001
WRONG = "not the password, but as long as many are"
UNTELLING = {"date", "x-request-id"}


@pytest.mark.parametrize(
    ("first", "second", "share", "least", "most"),
    [
        (range(20), range(20), 0.5, 0.9, 1.0),
        (range(20), range(20, 40), 0.0, 0.0, 1e-6),
        (range(20, 40), range(20), 1.0, 0.0, 1e-6),
        ([1.0] * 20, [1.0] * 20, 0.5, 1.0, 1.0),
        # From tables: with 8 values each, U = 13 is the last that is significant at 5 %, two-sided.
        ([1, 2, 3, 4, 5, 8, 12, 14], [6, 7, 9, 10, 11, 13, 15, 16], 13 / 64, 0.04, 0.06),
    ],
)
def test_the_rank_test_knows_apart_what_is_apart(first, second, share, least, most):
    found = separation(list(first), list(second))
    assert found.share == pytest.approx(share)
    assert least <= found.p <= most


def test_the_rank_test_separates_a_tenth_among_noise():
    dice = random.Random(1)
    first, second = ([dice.gauss(middle, 0.1) for _ in range(PAIRS)] for middle in (1.0, 1.1))
    assert separation(first, second).p < CHANCE
    assert separation(first, [dice.gauss(1.0, 0.1) for _ in range(PAIRS)]).p > CHANCE


# ------------------------------------------------------------------------------------------------------ in this process


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Theatre]:
    """A server whose passwords cost something."""
    passwords = BcryptPasswords(rounds=ROUNDS, threads=1, max_waiting=10)

    def arrange(foundation: Foundation) -> None:
        foundation.passwords = passwords

    settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=False))
    async with house(tmp_path, settings=settings, arrange=arrange) as home, theatre(home) as opened:
        yield opened
    passwords.close()


async def attempt(client: httpx.AsyncClient, way: str, email: str, password: str) -> httpx.Response:
    """Sign in by the API, by OAuth2's form, or as a browser does."""
    if way == "token":
        return await client.post(f"{AUTH}/token", data={"username": email, "password": password})
    body = {"email": email, "password": password}
    return await client.post(f"{AUTH}/{way}", json=body, headers=OWN_PAGE)


async def work_of(client: httpx.AsyncClient, email: str, password: str) -> float:
    """Seconds of CPU that a refused sign-in takes, in all threads: the middle one of some."""
    found = []
    for _ in range(SAMPLES):
        before = time.process_time()
        answer = await attempt(client, "login", email, password)
        found.append(time.process_time() - before)
        assert answer.status_code == 401
    return statistics.median(found)


@pytest.mark.slow
async def test_every_refused_sign_in_takes_the_work_of_a_hash(scene: Theatre):
    client = await scene.client()
    known, closed = await signed_up(client, "known"), await signed_up(client, "closed")
    await scene.home.application.administration.set_active(closed.email, active=False)
    old = await signed_up(client, "old")
    await store_hash_of_less_cost(scene, old.id)
    expected = await work_of(client, known.email, WRONG)
    cases = {
        "unknown": ("nobody@example.org", WRONG),
        "no e-mail at all": ("nobody", WRONG),
        "closed, right password": (closed.email, PASSWORD),
        "closed, wrong password": (closed.email, WRONG),
        "hash of less cost": (old.email, WRONG),
        "short password": (known.email, "x"),
        "long password": ("nobody@example.org", "long " * 25),
    }
    ratios = {name: await work_of(client, *case) / expected for name, case in cases.items()}
    assert {name: ratio for name, ratio in ratios.items() if not LEAST < ratio < MOST} == {}


async def store_hash_of_less_cost(scene: Theatre, user_id: str) -> None:
    """As it would be there after the cost was raised."""
    cheap = BcryptPasswords(rounds=ROUNDS - 3, threads=1, max_waiting=1)
    hashed = await cheap.hash(PASSWORD)
    cheap.close()
    async with scene.home.foundation.database.begin() as work:
        await work.users.set_password(user_id, password_hash=hashed)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["login", "token", "session"])
async def test_known_and_unknown_are_answered_alike(tmp_path: Path, way: str):
    """With the rate limits on: whoever tries often enough is refused for that, whether or not there is an account."""
    async with house(tmp_path) as home, theatre(home) as scene:
        await signed_up(await scene.client(), "known")
        home.clock.advance(timedelta(minutes=10))  # registering counted as an attempt
        answers = {}
        for place, email in enumerate(("known@example.org", "unknown@example.org")):
            # Now the budget of the address is used up first, then that of the account.
            one = await scene.client(address=f"198.51.100.{place + 1}")
            answers[email] = [told(await attempt(one, way, email, WRONG)) for _ in range(12)]
            for number in range(12):
                another = await scene.client(address=f"203.0.113.{100 * place + number}")
                answers[email].append(told(await attempt(another, way, email, WRONG)))
    known, unknown = answers.values()
    assert known == unknown
    assert {status for status, _, _ in known} == {401, 429}


def told(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    fields = [(name, value) for name, value in answer.headers.multi_items() if name not in UNTELLING]
    return answer.status_code, answer.content, fields


# -------------------------------------------------------------------------------------------------- against the clock


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_known_and_unknown_take_equally_long(tmp_path: Path, proof):
    assert SOAK
    known, unknown = "known@example.org", "unknown@example.org"
    times: dict[str, list[float]] = {known: [], unknown: []}
    dice = random.Random(3)
    with (
        running_server(tmp_path, **UNLIMITED, LOG_LEVEL="warning") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        register(client, known)
        for _ in range(PAIRS):
            for email in dice.sample(sorted(times), 2):
                started = time.perf_counter()
                answer = client.post(f"{AUTH}/login", json={"email": email, "password": WRONG})
                times[email].append(time.perf_counter() - started)
                assert answer.status_code == 401
    found = separation(times[known], times[unknown])
    middle = {email: statistics.median(each) * 1e3 for email, each in times.items()}
    proof.record(
        "Signing in does not tell who has an account",
        f"{PAIRS} pairs, interleaved, default cost: share in which the known one took longer, p, medians",
        f"{found.share:.2f}, {found.p:.2f}, {middle[known]:.0f} and {middle[unknown]:.0f} ms",
    )
    assert found.p > CHANCE

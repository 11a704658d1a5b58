"""The same thing by many at the same instant."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx

Result = TypeVar("Result")
Act = Callable[[httpx.Client], Result]


#: A server that is asked by many at once may ask some to come back; by then everybody has been answered.
PATIENCE = 60.0


def persistent(act: Act[httpx.Response]) -> Act[httpx.Response]:
    """The same act, done again while the answer is 503 with `Retry-After`, as clients do: nothing was done then."""

    def run(client: httpx.Client) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = act(client)
            if answer.status_code != 503 or "retry-after" not in answer.headers or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    return run


def at_once(url: str, acts: Sequence[Act[Result]]) -> list[Result]:
    """What each of `acts` gave, in their order; every one has a connection of its own, and all begin together."""
    gate = threading.Barrier(len(acts))
    limits = httpx.Limits(max_connections=len(acts), max_keepalive_connections=len(acts))

    with (
        httpx.Client(base_url=url, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(len(acts)) as pool,
    ):

        def run(act: Act[Result]) -> Result:
            gate.wait(timeout=60)
            return act(client)

        return list(pool.map(run, acts))

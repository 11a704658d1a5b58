"""The circuit before an S3 service: bounded, at once when it is gone, and closed again by itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError

from chitram.adapters.blobs.s3_circuit import Circuit, Patience
from chitram.domain.errors import StorageFull, StorageUnavailable

QUICK = Patience(operations=4, slot=0.05, stall=0.02, probe=0.05, pause=0.02, operation=3600)


class Service:
    """What is asked whether it is there. `there`: True, False, or None for one that does not answer."""

    def __init__(self) -> None:
        self.there: bool | None = True
        self.asked = 0

    async def probe(self) -> None:
        self.asked += 1
        if self.there is None:
            await asyncio.sleep(3600)
        if not self.there:
            raise GenericError("gone")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def circuit(service: Service) -> AsyncIterator[Circuit]:
    circuit = Circuit(service.probe, patience=QUICK)
    yield circuit
    await circuit.aclose()


async def done() -> str:
    return "done"


async def hang() -> None:
    await asyncio.sleep(3600)


async def fail() -> None:
    raise GenericError("500")


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_goes_well_is_not_asked_about(circuit: Circuit, service: Service):
    assert await circuit.run(done) == "done"
    assert service.asked == 0


@pytest.mark.parametrize("there", [False, None])
@pytest.mark.parametrize("operation", [hang, fail])
async def test_a_service_that_is_gone_is_left_alone_until_it_is_back(circuit, service, operation, there):
    service.there = there
    with pytest.raises(StorageUnavailable):
        await circuit.run(operation)
    assert circuit.is_open
    ran = []

    async def count() -> None:
        ran.append(1)

    for _ in range(50):
        with pytest.raises(StorageUnavailable):
            await circuit.run(count)
    assert not ran
    service.there = True
    await until(lambda: not circuit.is_open)
    await circuit.run(count)
    assert ran == [1]


async def test_one_operation_that_fails_or_takes_long_does_not_stop_the_others(circuit, service):
    with pytest.raises(StorageUnavailable):
        await circuit.run(fail)
    assert not circuit.is_open
    hasty = Circuit(service.probe, patience=replace(QUICK, stall=0.01, operation=0.5))
    with pytest.raises(StorageUnavailable):
        await hasty.run(hang)
    assert service.asked >= 2
    assert not hasty.is_open
    assert await hasty.run(done) == "done"


async def test_who_moves_much_gets_longer(service):
    async def move() -> str:
        await asyncio.sleep(0.2)
        return "moved"

    hasty = Circuit(service.probe, patience=replace(QUICK, operation=0.01, slowest=1000))
    assert await hasty.run(move, size=3_600_000) == "moved"
    with pytest.raises(StorageUnavailable):
        await hasty.run(move, size=10)


async def test_what_takes_long_while_the_service_is_there_is_waited_for(circuit):
    async def slow() -> str:
        await asyncio.sleep(0.3)
        return "late"

    assert await circuit.run(slow) == "late"


async def test_everything_under_way_is_given_up_together(circuit, service):
    service.there = None
    ends = await asyncio.gather(*(circuit.run(hang) for _ in range(4)), return_exceptions=True)
    assert [type(end) for end in ends] == [StorageUnavailable] * 4


async def test_no_more_than_so_many_operations_run_at_a_time(circuit):
    running, most = 0, 0
    gate = asyncio.Event()

    async def hold() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    tasks = [asyncio.create_task(circuit.run(hold)) for _ in range(10)]
    await until(lambda: sum(task.done() for task in tasks) == 6)
    gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 4
    assert sum(isinstance(end, StorageUnavailable) for end in ends) == 6
    assert await circuit.run(done) == "done"


async def test_a_cancelled_operation_is_ended_and_gives_its_place_back(circuit):
    ended = asyncio.Event()

    async def hold() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    tasks = [asyncio.create_task(circuit.run(hold)) for _ in range(4)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ended.is_set()
    assert await circuit.run(done) == "done"


async def test_an_answer_about_an_object_is_no_failure(circuit, service):
    async def taken() -> None:
        raise AlreadyExistsError("412")

    with pytest.raises(AlreadyExistsError):
        await circuit.run(taken)
    assert service.asked == 0


@pytest.mark.parametrize(
    "text", ["status code: 507 Insufficient Storage", "status code: 403: <Code>QuotaExceeded</Code>"]
)
async def test_a_full_service_is_not_gone(circuit, service, text):
    async def full() -> None:
        raise GenericError(text)

    with pytest.raises(StorageFull):
        await circuit.run(full)
    assert (service.asked, circuit.is_open) == (0, False)


async def test_what_clients_are_told_names_nothing(circuit, service):
    async def tell() -> None:
        raise GenericError("Error performing PUT http://10.0.0.7:9000/images/blobs/ab/secret")

    with pytest.raises(StorageUnavailable) as caught:
        await circuit.run(tell)
    assert caught.value.message == StorageUnavailable.default_message
    assert "10.0.0.7" in str(caught.value.__cause__)

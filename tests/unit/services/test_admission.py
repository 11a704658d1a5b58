"""Admission: who may begin an upload, decided before a byte of it is read."""

import asyncio

import pytest

from chitram.adapters.memory.clock import ManualClock
from chitram.adapters.memory.limiter import MemoryLimiter
from chitram.domain.errors import StorageFull, Unauthorized, UploadBusy
from chitram.ports.limiter import Rate
from chitram.services.admission import Admission, AdmissionPolicy


class Disk:
    """The staging area, as far as its room is concerned."""

    free = 10_000

    async def free_bytes(self) -> int:
        return self.free


def make(*, slots=2, per_address=2, patience=0.02, anonymous=True, reserve=1000, size=100) -> tuple[Admission, Disk]:
    policy = AdmissionPolicy(
        anonymous=anonymous,
        rate=Rate("upload", 2, 60),
        slots=slots,
        per_address=per_address,
        patience=patience,
        reserve=reserve,
        max_file_size=size,
    )
    disk = Disk()
    return Admission(policy, limiter=MemoryLimiter(clock=ManualClock()), staging=disk), disk


async def test_uploads_are_counted_by_address():
    admission, _ = make()
    verdicts = [await admission.count(address="192.0.2.1") for _ in range(3)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, False]
    assert (await admission.count(address="192.0.2.2")).allowed


async def test_without_anonymous_uploads_nobody_is_counted():
    admission, _ = make(anonymous=False)
    with pytest.raises(Unauthorized):
        await admission.count(address="192.0.2.1")


async def test_room_for_two_files_beside_the_reserve():
    admission, disk = make()
    disk.free = 1200
    await admission.require_room()
    disk.free = 1199
    with pytest.raises(StorageFull):
        await admission.require_room()


async def test_slots_are_held_and_given_back():
    admission, _ = make()
    async with admission.slot(address="a"), admission.slot(address="a"):
        assert admission.active == 2
        with pytest.raises(UploadBusy):
            async with admission.slot(address="b"):
                pytest.fail("there was no slot")
        assert admission.active == 2
    assert admission.active == 0
    async with admission.slot(address="b"):
        assert admission.active == 1


async def test_an_address_has_a_share():
    admission, _ = make(slots=3, per_address=1)
    async with admission.slot(address="a"):
        with pytest.raises(UploadBusy):
            async with admission.slot(address="a"):
                pytest.fail("there was no slot")
        async with admission.slot(address="b"):
            assert admission.active == 2


async def test_an_upload_that_fails_gives_its_slot_back():
    admission, _ = make(slots=1)
    with pytest.raises(LookupError):
        async with admission.slot(address="a"):
            raise LookupError
    async with admission.slot(address="a"):
        assert admission.active == 1


async def test_who_waits_is_served_in_turn_and_who_leaves_frees_its_place():
    admission, _ = make(slots=1, per_address=5, patience=30)
    order: list[int] = []

    async def upload(number: int) -> None:
        async with admission.slot(address="a"):
            order.append(number)

    async with admission.slot(address="a"):
        waiting = [asyncio.create_task(upload(number)) for number in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == [0, 2, 3]
    assert admission.active == 0


async def test_waiting_for_the_common_slots_does_not_cost_the_own_ones():
    admission, _ = make(slots=1, per_address=1)
    async with admission.slot(address="a"):
        for _ in range(3):
            with pytest.raises(UploadBusy):
                async with admission.slot(address="b"):
                    pytest.fail("there was no slot")
    async with admission.slot(address="b"):
        assert admission.active == 1


async def test_who_waited_in_vain_gets_its_own_share_back():
    admission, _ = make(slots=2, per_address=2)
    async with admission.slot(address="b"):
        async with admission.slot(address="a"):
            with pytest.raises(UploadBusy):
                async with admission.slot(address="b"):
                    pytest.fail("there was no slot")
        async with admission.slot(address="b"):
            assert admission.active == 2


async def test_addresses_are_forgotten():
    admission, _ = make(slots=3)
    for number in range(100):
        async with admission.slot(address=str(number)):
            assert len(admission._addresses) == 1
    assert admission._addresses == {}

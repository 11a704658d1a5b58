"""Admission: who may begin an upload, decided before a byte of it is read."""

import asyncio

import pytest

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import Forbidden, QuotaExceeded, StorageFull, Unauthorized, UploadBusy
from chitram.domain.users import Quota
from chitram.services.admission import Admission, AdmissionPolicy
from tests.unit.services.people import user_of


class Disk:
    """The staging area, as far as its room is concerned."""

    free = 10_000

    async def free_bytes(self) -> int:
        return self.free


UNLIMITED = Quota(0, 0)


def make(
    *, slots=2, per_address=2, patience=0.02, anonymous=True, reserve=1000, size=100, quota=UNLIMITED
) -> tuple[Admission, Disk]:
    policy = AdmissionPolicy(
        anonymous=anonymous,
        quota=quota,
        slots=slots,
        per_address=per_address,
        patience=patience,
        reserve=reserve,
        max_file_size=size,
    )
    disk = Disk()
    return Admission(policy, staging=disk), disk


def test_everybody_may_upload_unless_anonymous_uploads_are_off():
    open_to_all, by_account = make()[0], make(anonymous=False)[0]
    open_to_all.require_uploader(ANONYMOUS)
    with pytest.raises(Unauthorized):
        by_account.require_uploader(ANONYMOUS)
    for admission in (open_to_all, by_account):
        admission.require_uploader(Viewer(user=user_of("ada@example.org")))


def test_an_api_token_uploads_only_where_it_is_for_that():
    admission, _ = make()
    user = user_of("ada@example.org")
    admission.require_uploader(Viewer(user=user, scopes=frozenset({Scope.UPLOAD})))
    with pytest.raises(Forbidden) as caught:
        admission.require_uploader(Viewer(user=user, scopes=frozenset({Scope.READ, Scope.DELETE})))
    assert caught.value.details == {"required_scope": "upload"}


@pytest.mark.parametrize(
    ("own", "used", "full"),
    [
        ((None, None), (99, 1), False),
        ((None, None), (100, 1), True),
        ((None, None), (0, 2), True),
        ((0, 0), (10_000, 10_000), False),
        ((200, None), (199, 1), False),
        ((200, None), (200, 1), True),
        ((None, 1), (0, 1), True),
        ((None, 0), (99, 10_000), False),
    ],
)
def test_a_full_account_is_refused_before_anything_is_received(own, used, full):
    admission, _ = make(quota=Quota(100, 2))
    user = user_of("ada@example.org", quota_bytes=own[0], quota_files=own[1], used_bytes=used[0], used_files=used[1])
    if full:
        with pytest.raises(QuotaExceeded):
            admission.require_quota(Viewer(user=user))
    else:
        admission.require_quota(Viewer(user=user))


def test_strangers_have_no_quota():
    make(quota=Quota(1, 1))[0].require_quota(ANONYMOUS)


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

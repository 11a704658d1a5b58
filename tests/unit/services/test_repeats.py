"""Uploads with an `Idempotency-Key`: sent again they give the same image, never two, and never somebody else's."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import pytest

from chitram.adapters.memory.clock import SystemClock
from chitram.domain.access import Viewer
from chitram.domain.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ImageNotFound,
    InvalidFileFormat,
    InvalidRequest,
    QuotaExceeded,
    ServiceUnavailable,
)
from chitram.domain.idempotency import KEPT_FOR, IdempotencyKey
from chitram.domain.images import Edit, Visibility
from chitram.domain.uploads import UploadDetails
from chitram.domain.users import Quota
from chitram.services.uploads.repeats import Repeats
from tests.factories import pictures
from tests.factories.interleaving import failing
from tests.unit.services.databases import Mute
from tests.unit.services.people import ADA, BOB, SECOND, at_once, member, recount, upload, used
from tests.unit.services.stores import blobs, delete, originals

PHOTO, OTHER_PHOTO = pictures.jpeg(48, 32), pictures.jpeg(48, 32, seed=1)
KEY = IdempotencyKey("address:192.0.2.7", "0123456789abcdef")


def key_of(viewer: Viewer) -> IdempotencyKey:
    return IdempotencyKey(f"user:{viewer.user_id}", KEY.key)


async def count(home) -> int:
    async with home.foundation.database.read() as repositories:
        return await repositories.images.count()


async def hold_time(home) -> timedelta:
    return home.application.uploads._policy.hold_for


class TestRepetition:
    async def test_is_answered_as_the_upload_was(self, home):
        first = await upload(home, PHOTO, key=KEY, filename="a.jpg")
        home.clock.advance(KEPT_FOR - SECOND)
        assert await upload(home, PHOTO, key=KEY, filename="a.jpg") == first
        assert (await count(home), len(originals(home))) == (1, 1)
        await delete(home, first)

    async def test_gives_a_delete_token_like_any_other(self, home):
        keyed, plain = await upload(home, PHOTO, key=KEY), await upload(home, PHOTO)
        assert len(keyed.delete_token) == len(plain.delete_token) == 43
        image_id = keyed.record.image.id
        with pytest.raises(Exception, match="does not belong"):
            await home.application.images.delete(image_id, viewer=Viewer(delete_token=plain.delete_token))
        await delete(home, keyed)

    async def test_into_an_account_is_charged_once(self, home):
        ada = await member(home)
        first = await upload(home, PHOTO, viewer=ada, key=key_of(ada), visibility=Visibility.PRIVATE)
        again = await upload(home, PHOTO, viewer=ada, key=key_of(ada), visibility=Visibility.PRIVATE)
        assert again == first
        assert first.delete_token is None
        assert await used(home, ada) == await recount(home, ada) == Quota(len(PHOTO), 1)

    async def test_tells_of_the_same_duplicate(self, home):
        ada = await member(home)
        older = await upload(home, PHOTO, viewer=ada)
        home.clock.advance(SECOND)
        first = await upload(home, PHOTO, viewer=ada, key=key_of(ada))
        home.clock.advance(SECOND)
        await upload(home, PHOTO, viewer=ada)
        assert first.duplicate_of == older.record.image.id
        assert await upload(home, PHOTO, viewer=ada, key=key_of(ada)) == first
        other = IdempotencyKey(key_of(ada).scope, "another key of hers")
        alone = await upload(home, OTHER_PHOTO, viewer=ada, key=other)
        assert (await upload(home, OTHER_PHOTO, viewer=ada, key=other)).duplicate_of is alone.duplicate_of is None

    async def test_works_when_the_account_is_full_meanwhile(self, home):
        ada = await member(home)
        first = await upload(home, PHOTO, viewer=ada, key=key_of(ada))
        await home.application.administration.set_quota(ADA, quota_bytes=1, quota_files=1)
        assert await upload(home, PHOTO, viewer=ada, key=key_of(ada)) == first
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)

    async def test_after_the_answer_was_lost_at_the_commit(self, home):
        database = home.foundation.database

        async def lose_the_answer():
            database.real = Mute(database.real, ServiceUnavailable())

        async def begin_is_near():
            database.before["begin"].append(lose_the_answer)

        # The first transaction takes the key, the second one keeps the image.
        home.foundation.blobs.before["put"].append(begin_is_near)
        with pytest.raises(ServiceUnavailable):
            await upload(home, PHOTO, key=KEY)
        database.real = database.real.real
        assert await count(home) == 1
        again = await upload(home, PHOTO, key=KEY)
        assert await count(home) == 1
        await delete(home, again)

    async def test_shows_the_image_as_it_is_now(self, home):
        ada = await member(home)
        first = await upload(home, PHOTO, viewer=ada, key=key_of(ada))
        named = Edit(frozenset({"title"}), title="A title")
        await home.application.ownership.edit(first.record.image.id, edit=named, viewer=ada)
        assert (await upload(home, PHOTO, viewer=ada, key=key_of(ada))).record.image.title == "A title"

    async def test_of_what_has_been_deleted_since_does_not_bring_it_back(self, home):
        first = await upload(home, PHOTO, key=KEY)
        await delete(home, first)
        with pytest.raises(ImageNotFound):
            await upload(home, PHOTO, key=KEY)
        assert await count(home) == 0

    @pytest.mark.parametrize("visibility", [Visibility.PRIVATE, Visibility.UNLISTED])
    async def test_of_what_has_been_claimed_since_shows_its_owners_image_to_nobody(self, home, visibility):
        ada = await member(home)
        first = await upload(home, PHOTO, key=KEY)
        image_id = first.record.image.id
        holder = Viewer(user=ada.user, session=ada.session, delete_token=first.delete_token)
        await home.application.ownership.claim(image_id, viewer=holder)
        change = Edit(frozenset({"visibility", "title"}), visibility=visibility, title="hers")
        await home.application.ownership.edit(image_id, edit=change, viewer=ada)
        with pytest.raises(ImageNotFound):
            await upload(home, PHOTO, key=KEY)

    async def test_is_forgotten_after_a_day(self, home):
        first = await upload(home, PHOTO, key=KEY)
        home.clock.advance(KEPT_FOR)
        second = await upload(home, PHOTO, key=KEY)
        assert second.record.image.id != first.record.image.id
        assert second.delete_token != first.delete_token


class TestOtherPayloads:
    @pytest.mark.parametrize(
        ("data", "changes"),
        [
            (OTHER_PHOTO, {}),
            (PHOTO + b"\0", {}),
            (PHOTO, {"filename": "b.jpg"}),
            (PHOTO, {"filename": None}),
            (PHOTO, {"visibility": Visibility.PUBLIC}),
        ],
    )
    async def test_are_refused_and_keep_nothing(self, home, data, changes):
        first = await upload(home, PHOTO, key=KEY, filename="a.jpg")
        with pytest.raises(IdempotencyKeyReused):
            await upload(home, data, key=KEY, **{"filename": "a.jpg"} | changes)
        assert await count(home) == 1
        assert await upload(home, PHOTO, key=KEY, filename="a.jpg") == first

    async def test_are_no_payload_at_all(self, home):
        await upload(home, PHOTO, key=KEY)
        with pytest.raises(InvalidRequest):
            await upload(home, b"", key=KEY)

    async def test_differ_in_what_was_sent_not_in_what_is_kept(self, home):
        """The same picture with other metadata is another upload, although the same bytes are stored."""
        await upload(home, pictures.jpeg(48, 32, secrets=True), key=KEY)
        with pytest.raises(IdempotencyKeyReused):
            await upload(home, PHOTO, key=KEY)


class TestScopes:
    async def test_keep_the_keys_of_different_clients_apart(self, home):
        ada, bob = await member(home), await member(home, BOB)
        keys = [KEY, IdempotencyKey("address:192.0.2.8", KEY.key), key_of(ada), key_of(bob)]
        viewers = [None, None, ada, bob]
        kept = [await upload(home, PHOTO, viewer=v, key=key) for key, v in zip(keys, viewers, strict=True)]
        assert len({each.record.image.id for each in kept}) == 4
        assert kept[0].delete_token != kept[1].delete_token

    async def test_and_what_is_stored_does_not_tell_the_key(self, home):
        key = IdempotencyKey("address:192.0.2.7", "a rather telling key")
        await upload(home, PHOTO, key=key)
        stored = b"".join(path.read_bytes() for path in home.root.parent.glob("chitram.db*"))
        assert key.key_hash.encode() in stored
        assert key.key.encode() not in stored


class TestInFlight:
    async def test_a_key_works_for_one_at_a_time(self, home):
        uploads = home.application.uploads
        async with uploads.hold(KEY):
            with pytest.raises(IdempotencyKeyInUse):
                await upload(home, PHOTO, key=KEY)
            await upload(home, PHOTO, key=IdempotencyKey(KEY.scope, "another key of theirs"))
        await upload(home, PHOTO, key=KEY)

    async def test_of_many_at_once_one_is_kept_and_the_others_are_told(self, home):
        outcomes = await at_once(*[partial(upload, home, PHOTO, key=KEY)] * 10)
        kept = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert {each.record.image.id for each in kept} == {kept[0].record.image.id}
        refused = {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)}
        assert refused <= {IdempotencyKeyInUse}
        assert await count(home) == 1

    @pytest.mark.parametrize("data", [b"", b"no picture"])
    async def test_a_failed_upload_gives_its_key_back(self, home, data):
        with pytest.raises((InvalidRequest, InvalidFileFormat)):
            await upload(home, data, key=KEY)
        await upload(home, PHOTO, key=KEY)

    async def test_a_client_that_goes_away_gives_its_key_back(self, home):
        uploads = home.application.uploads

        async def receive_for_ever():
            async with uploads.hold(KEY):
                started.set()
                await asyncio.Event().wait()

        started = asyncio.Event()
        task = asyncio.create_task(receive_for_ever())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upload(home, PHOTO, key=KEY)

    async def test_a_key_that_cannot_be_given_back_is_free_after_a_while(self, home):
        database = home.foundation.database

        async def take_and_fail():
            async with home.application.uploads.hold(KEY):
                database.before["begin"].append(failing(ServiceUnavailable()))
                raise LookupError

        with pytest.raises(LookupError):
            await take_and_fail()
        with pytest.raises(IdempotencyKeyInUse):
            await upload(home, PHOTO, key=KEY)
        home.clock.advance(await hold_time(home))
        await upload(home, PHOTO, key=KEY)

    async def test_a_key_that_cannot_be_taken_is_not_worked_under(self, home):
        home.foundation.database.before["begin"].append(failing(ServiceUnavailable()))
        with pytest.raises(ServiceUnavailable):
            await upload(home, PHOTO, key=KEY)
        assert await count(home) == 0


class TestHoldsThatRanOut:
    async def slow_upload(self, home, stack: AsyncExitStack):
        """An upload that has received its body and is about to be kept."""
        hold = await stack.enter_async_context(home.application.uploads.hold(KEY))
        staged = await stack.enter_async_context(home.application.uploads.stage())
        await staged.write(PHOTO)
        return staged, hold

    async def test_who_took_over_wins_and_the_slow_one_leaves_nothing(self, home):
        async with AsyncExitStack() as stack:
            staged, hold = await self.slow_upload(home, stack)
            home.clock.advance(await hold_time(home))
            second = await upload(home, PHOTO, key=KEY)
            with pytest.raises(IdempotencyKeyInUse):
                await home.application.uploads.keep(staged, details=UploadDetails(), hold=hold)
        assert await count(home) == 1
        assert originals(home) == {blob.key for blob in await blobs(home)}
        assert await upload(home, PHOTO, key=KEY) == second

    async def test_the_slow_one_does_not_take_the_key_from_who_works_under_it_now(self, home):
        async with AsyncExitStack() as stack:
            await self.slow_upload(home, stack)
            home.clock.advance(await hold_time(home))
            await stack.enter_async_context(home.application.uploads.hold(KEY))
            async with AsyncExitStack() as late:
                with pytest.raises(IdempotencyKeyInUse):
                    await self.slow_upload(home, late)

    async def test_a_slow_one_that_nobody_overtook_is_kept(self, home):
        async with AsyncExitStack() as stack:
            staged, hold = await self.slow_upload(home, stack)
            home.clock.advance(await hold_time(home))
            kept = await home.application.uploads.keep(staged, details=UploadDetails(), hold=hold)
        assert await upload(home, PHOTO, key=KEY) == kept


async def test_a_hold_lasts_as_long_as_its_upload_is_worked_on(home):
    """It is short, for the sake of clients whose server died, and renewed meanwhile."""
    found = home.foundation
    repeats = Repeats(
        secrets=[b"secret"],
        hold_for=timedelta(milliseconds=150),
        database=found.database,
        clock=SystemClock(),
        identifiers=found.identifiers,
    )
    async with repeats.hold(KEY):
        await asyncio.sleep(0.5)
        with pytest.raises(IdempotencyKeyInUse):
            await repeats.hold(KEY).__aenter__()
    async with repeats.hold(KEY) as hold:
        assert hold.finished is None

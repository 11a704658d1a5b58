"""Giving an account up: what was its own goes or is nobody's, and nothing of anybody else's is touched."""

from functools import partial

import pytest

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.api_tokens import Scope
from chitram.domain.audit import AuditAction
from chitram.domain.blobs import BlobState
from chitram.domain.errors import (
    Forbidden,
    ImageNotFound,
    InvalidCredentials,
    InvalidDeleteToken,
    ServiceUnavailable,
    Unauthorized,
)
from chitram.domain.images import Visibility
from chitram.domain.jobs import JobState
from chitram.domain.sessions import SessionKind
from chitram.domain.users import Role
from chitram.services import accounts
from chitram.services.authentication import Credentials
from tests.factories import pictures
from tests.factories.interleaving import failing
from tests.unit.services.people import (
    ADA,
    BOB,
    PASSWORD,
    again,
    at_once,
    events,
    member,
    on_record,
    recount,
    register,
    seen,
    sign_in,
    upload,
    used,
    with_api_token,
)
from tests.unit.services.stores import blobs, collect, consistent, originals, rows, served

PHOTO, OTHER_PHOTO = pictures.jpeg(48, 32), pictures.jpeg(48, 32, seed=1)
PUBLIC, UNLISTED, PRIVATE = Visibility.PUBLIC, Visibility.UNLISTED, Visibility.PRIVATE


async def give_up(home, viewer, *, images="delete", password=PASSWORD):
    await home.application.accounts.delete(viewer, password=password, images=images)


async def find(home, uploaded, viewer=ANONYMOUS):
    return (await home.application.images.find(uploaded.record.image.id, viewer=viewer)).record


async def is_there(home, uploaded) -> bool:
    async with home.foundation.database.read() as repositories:
        return await repositories.images.get(uploaded.record.image.id) is not None


class TestImages:
    @pytest.mark.parametrize("images", ["delete", "keep"])
    async def test_go_or_stay_as_the_owner_chooses_and_private_ones_go(self, home, images):
        ada = await member(home)
        kept = {v: await upload(home, PHOTO, viewer=ada, visibility=v) for v in (PUBLIC, UNLISTED, PRIVATE)}
        await give_up(home, ada, images=images)
        stay = images == "keep"
        assert [await is_there(home, kept[v]) for v in (PUBLIC, UNLISTED, PRIVATE)] == [stay, stay, False]
        for visibility in (PUBLIC, UNLISTED) if stay else ():
            image = (await find(home, kept[visibility])).image
            assert (image.owner_id, image.delete_token_hash, image.visibility) == (None, None, visibility)
            assert await served(home, kept[visibility]) == PHOTO
        state = BlobState.LIVE if stay else BlobState.CONDEMNED
        assert [blob.state for blob in await blobs(home)] == [state]

    @pytest.mark.parametrize("images", ["delete", "keep"])
    async def test_of_others_with_the_same_bytes_are_not_touched(self, home, images):
        ada, bob = await member(home, ADA), await member(home, BOB)
        await upload(home, PHOTO, viewer=ada, visibility=PRIVATE)
        theirs = [await upload(home, PHOTO, viewer=bob, visibility=PRIVATE), await upload(home, PHOTO)]
        alone = await upload(home, OTHER_PHOTO, viewer=ada, visibility=PRIVATE)
        await give_up(home, ada, images=images)
        assert await collect(home) == 1
        bob = await seen(home, await sign_in(home, BOB))
        for uploaded, viewer in zip(theirs, (bob, Viewer(delete_token=theirs[1].delete_token)), strict=True):
            record = await find(home, uploaded, viewer)
            opened = await home.application.images.open_original(record)
            assert await opened.read(0, opened.size) == PHOTO
            await opened.aclose()
        assert not await is_there(home, alone)
        assert originals(home) == {theirs[0].record.blob.key}
        assert consistent(home.objects(), await rows(home))
        assert await used(home, bob) == await recount(home, bob)
        assert (await recount(home, bob)).files == 1

    async def test_are_shown_to_nobody_from_that_moment_not_even_from_the_cache(self, home):
        ada = await member(home)
        gone = [await upload(home, PHOTO, viewer=ada) for _ in range(3)]
        for uploaded in gone:
            await find(home, uploaded)
            assert (await home.application.images.find(uploaded.record.image.id, viewer=ANONYMOUS)).cache == "HIT"
        await give_up(home, ada)
        for uploaded in gone:
            with pytest.raises(ImageNotFound):
                await find(home, uploaded)

    async def test_are_promised_to_be_forgotten_by_every_cache_in_jobs_of_bounded_size(self, home, monkeypatch):
        monkeypatch.setattr(accounts, "BATCH", 2)
        ada = await member(home)
        visibilities = (PUBLIC, PRIVATE, UNLISTED, PRIVATE, PUBLIC)
        kept = [await upload(home, PHOTO, viewer=ada, visibility=visibility) for visibility in visibilities]
        await give_up(home, ada, images="keep")
        jobs = await home.application.jobs.list(state=JobState.READY, limit=10)
        assert [len(job.payload["image_ids"]) for job in jobs] == [2, 2, 1]
        named = {image_id for job in jobs for image_id in job.payload["image_ids"]}
        assert named == {uploaded.record.image.id for uploaded in kept}

    async def test_that_were_kept_are_in_the_hands_of_admins_alone(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada)
        await give_up(home, ada, images="keep")
        image_id = kept.record.image.id
        guess = "x" * 43
        for viewer, error in (
            (ANONYMOUS, Forbidden),
            (ada, Forbidden),
            (bob, Forbidden),
            (Viewer(delete_token=guess), InvalidDeleteToken),
        ):
            with pytest.raises(error):
                await home.application.images.delete(image_id, viewer=viewer)
        with pytest.raises(Forbidden):
            await home.application.ownership.claim(image_id, viewer=Viewer(user=bob.user, delete_token=guess))
        await home.application.administration.set_role(BOB, role=Role.ADMIN)
        await home.application.images.delete(image_id, viewer=await again(home, bob))
        assert not await is_there(home, kept)

    async def test_that_are_on_their_way_do_not_arrive(self, home):
        ada = await member(home)

        async def overtake():
            await give_up(home, ada)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(Unauthorized):
            await upload(home, PHOTO, viewer=ada)
        assert (home.objects(), await rows(home)) == (set(), [])

    async def test_of_a_moment_ago_go_with_the_rest(self, home):
        ada = await member(home)

        async def overtake():
            await upload(home, PHOTO, viewer=ada)

        home.foundation.database.before["begin"].append(overtake)
        await give_up(home, ada)
        assert [blob.state for blob in await blobs(home)] == [BlobState.CONDEMNED]


class TestCredentials:
    async def test_are_worthless_afterwards(self, home):
        bearer = await register(home)
        browser = await sign_in(home, kind=SessionKind.BROWSER)
        ada = await seen(home, bearer)
        _, secret = await home.application.api_tokens.create(
            ada, name="script", scopes=frozenset({Scope.READ}), expires_at=None
        )
        await give_up(home, ada)
        for credentials in (
            Credentials(bearer=bearer.token),
            Credentials(cookie=browser.token),
            Credentials(bearer=secret),
        ):
            with pytest.raises(Unauthorized):
                await home.application.authentication.viewer(credentials)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)

    async def test_of_the_next_account_with_this_email_are_its_own(self, home):
        first = await register(home)
        await give_up(home, await seen(home, first))
        second = await register(home)
        assert second.user.id != first.user.id
        with pytest.raises(Unauthorized):
            await seen(home, first)


class TestRefusals:
    async def test_a_wrong_password_changes_nothing(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        with pytest.raises(InvalidCredentials):
            await give_up(home, ada, password="not the password")
        assert await is_there(home, kept)
        await sign_in(home)
        assert on_record(home, AuditAction.ACCOUNT_DELETE) == [(ada.user_id, ada.user_id, "INVALID_CREDENTIALS")]

    async def test_only_who_signed_in_may(self, home):
        script = await with_api_token(home, await member(home))
        for viewer, error in ((ANONYMOUS, Unauthorized), (script, Forbidden)):
            with pytest.raises(error):
                await give_up(home, viewer)
        await sign_in(home)

    async def test_of_two_at_once_one_does_it(self, home):
        first, second = await member(home), await seen(home, await sign_in(home))
        outcomes = await at_once(*(partial(give_up, home, viewer) for viewer in (first, second)))
        assert sorted(isinstance(outcome, Unauthorized) for outcome in outcomes) == [False, True]

    async def test_the_old_password_does_not_do_once_there_is_another(self, home):
        ada = await member(home)

        async def reset():
            await home.application.administration.reset_password(ADA, password="what the operator chose")

        home.foundation.database.before["begin"].append(reset)
        with pytest.raises(InvalidCredentials):
            await give_up(home, ada)
        await sign_in(home, password="what the operator chose")

    async def test_a_database_that_fails_deletes_nothing(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        home.foundation.database.before["begin"].append(failing(ServiceUnavailable()))
        with pytest.raises(ServiceUnavailable):
            await give_up(home, ada)
        assert await is_there(home, kept)


async def test_is_on_record_with_the_choice(home):
    ada = await member(home)
    await give_up(home, ada, images="keep")
    (event,) = events(home, AuditAction.ACCOUNT_DELETE)
    assert (event.actor, event.subject, event.refusal, dict(event.details)) == (
        ada.user_id, ada.user_id, None, {"images": "keep"},
    )  # fmt: skip

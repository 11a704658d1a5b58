"""Edits, by the owner alone, and seen by everybody at once; what an account's tokens may do with its images."""

from dataclasses import replace

import pytest

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.api_tokens import Scope
from chitram.domain.audit import AuditAction
from chitram.domain.errors import (
    DeleteTokenRequired,
    Forbidden,
    ImageNotFound,
    InvalidDeleteToken,
    PreconditionFailed,
    Unauthorized,
)
from chitram.domain.images import Edit, Visibility
from chitram.domain.users import Role
from tests.factories import pictures
from tests.unit.services.people import ADDRESS, BOB, PASSWORD, events, member, upload, used, with_api_token
from tests.unit.services.stores import waiting

PHOTO = pictures.jpeg(48, 32)
PUBLIC, UNLISTED, PRIVATE = Visibility.PUBLIC, Visibility.UNLISTED, Visibility.PRIVATE
NAMED = Edit(frozenset({"title"}), title="A title")
HIDDEN = Edit(frozenset({"visibility"}), visibility=PRIVATE)
SHOWN = Edit(frozenset({"visibility"}), visibility=UNLISTED)


async def edit(home, uploaded, change, viewer):
    return await home.application.ownership.edit(uploaded.record.image.id, edit=change, viewer=viewer)


async def find(home, uploaded, viewer=ANONYMOUS):
    return (await home.application.images.find(uploaded.record.image.id, viewer=viewer)).record


async def admin_of(home, viewer):
    await home.application.administration.set_role(viewer.user.email, role=Role.ADMIN)
    return replace(viewer, user=replace(viewer.user, role=Role.ADMIN))


class TestEditing:
    async def test_changes_what_is_named_and_nothing_else(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada, visibility=PUBLIC)
        changed = await edit(home, kept, NAMED, ada)
        assert changed.image == replace(kept.record.image, title="A title")
        full = Edit(frozenset({"title", "description", "visibility"}), PRIVATE, None, "Two\nlines")
        changed = await edit(home, kept, full, ada)
        assert changed.image == replace(kept.record.image, visibility=PRIVATE, title=None, description="Two\nlines")
        assert changed == await find(home, kept, ada)
        assert (await edit(home, kept, Edit(frozenset()), ada)).image == changed.image

    async def test_is_seen_by_everybody_when_it_is_answered(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        await find(home, kept)
        assert (await home.application.images.find(kept.record.image.id, viewer=ANONYMOUS)).cache == "HIT"
        await edit(home, kept, HIDDEN, ada)
        with pytest.raises(ImageNotFound):
            await find(home, kept)
        assert (await find(home, kept, ada)).image.visibility is PRIVATE
        await edit(home, kept, SHOWN, ada)
        assert (await find(home, kept)).image.visibility is UNLISTED
        assert await waiting(home) == ["invalidate", "invalidate"]

    async def test_what_was_read_before_is_not_cached_after_it(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        miss = await home.application.cache.get(kept.record.image.id)
        await edit(home, kept, HIDDEN, ada)
        await home.application.cache.fill(kept.record.image.id, kept.record, ticket=miss.ticket)
        with pytest.raises(ImageNotFound):
            await find(home, kept)

    async def test_is_for_the_owner_alone(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept, anonymous = await upload(home, PHOTO, viewer=ada), await upload(home, PHOTO)
        holder = Viewer(delete_token=anonymous.delete_token)
        for viewer in (ANONYMOUS, bob, await admin_of(home, bob), holder):
            for image in (kept, anonymous):
                with pytest.raises(Forbidden):
                    await edit(home, image, NAMED, viewer)
        assert (await find(home, kept)).image.title is None

    async def test_a_private_image_is_not_there_for_anybody_else(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada, visibility=PRIVATE)
        for viewer in (ANONYMOUS, bob, await admin_of(home, bob), Viewer(delete_token="x" * 43)):
            with pytest.raises(ImageNotFound) as caught:
                await edit(home, kept, NAMED, viewer)
            with pytest.raises(ImageNotFound) as unknown:
                await home.application.ownership.edit("AAAAAAAAAAA", edit=NAMED, viewer=viewer)
            assert (caught.value.message, caught.value.details) == (unknown.value.message, unknown.value.details)

    @pytest.mark.parametrize("image_id", ["", "short", "AAAAAAAAAAA", "AAAAAAAAAA\n"])
    async def test_unknown_ids(self, home, image_id):
        ada = await member(home)
        for attempt in (
            home.application.ownership.require_editor(image_id, viewer=ada),
            home.application.ownership.edit(image_id, edit=NAMED, viewer=ada),
            home.application.ownership.claim(image_id, viewer=replace(ada, delete_token="x")),
        ):
            with pytest.raises(ImageNotFound):
                await attempt

    async def test_may_be_asked_for_before_what_was_sent_is_read(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada)
        require = home.application.ownership.require_editor
        assert (await require(kept.record.image.id, viewer=ada)).image == kept.record.image
        with pytest.raises(Forbidden):
            await require(kept.record.image.id, viewer=bob)

    async def test_of_what_it_is_no_more(self, home):
        """`expect` sees the image under its lock, as somebody else has just left it."""
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        image_id, seen = kept.record.image.id, []

        def refuse(record):
            seen.append(record.image.title)
            raise PreconditionFailed

        async def overtake():
            await edit(home, kept, NAMED, ada)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(PreconditionFailed):
            await home.application.ownership.edit(image_id, edit=HIDDEN, viewer=ada, expect=refuse)
        assert seen == ["A title"]
        assert (await find(home, kept)).image.visibility is UNLISTED
        await home.application.ownership.edit(image_id, edit=HIDDEN, viewer=ada, expect=seen.append)
        assert seen[1].image.title == "A title"
        assert (await find(home, kept, ada)).image.visibility is PRIVATE

    async def test_is_not_compared_for_others(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada)
        image_id, seen = kept.record.image.id, []
        with pytest.raises(Forbidden):
            await home.application.ownership.edit(image_id, edit=NAMED, viewer=bob, expect=seen.append)
        with pytest.raises(Forbidden):
            await home.application.images.delete(image_id, viewer=bob, expect=seen.append)
        assert seen == []

    async def test_while_the_image_is_deleted(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)

        async def delete():
            await home.application.images.delete(kept.record.image.id, viewer=ada)

        home.foundation.database.before["begin"].append(delete)
        with pytest.raises(ImageNotFound):
            await edit(home, kept, NAMED, ada)

    @pytest.mark.parametrize("images", ["delete", "keep"])
    async def test_while_the_account_is_given_up(self, home, images):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)

        async def give_up():
            await home.application.accounts.delete(ada, password=PASSWORD, images=images)

        home.foundation.database.before["begin"].append(give_up)
        with pytest.raises(Unauthorized):
            await edit(home, kept, NAMED, ada)
        if images == "keep":
            assert (await find(home, kept)).image.title is None

    async def test_is_on_record(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        await edit(home, kept, NAMED, ada)
        await edit(home, kept, HIDDEN, ada)
        named, hidden = events(home, AuditAction.IMAGE_CHANGE)
        for event in (named, hidden):
            assert (event.actor, event.subject, event.address) == (ada.user_id, kept.record.image.id, ADDRESS)
        assert dict(named.details) == {"fields": ["title"]}
        assert dict(hidden.details) == {"fields": ["visibility"], "visibility": "private"}


class TestDeleting:
    async def test_is_for_the_owner_and_admins(self, home):
        ada, bob = await member(home), await member(home, BOB)
        first, second = [await upload(home, PHOTO, viewer=ada) for _ in range(2)]
        delete = home.application.images.delete
        for viewer, error in (
            (ANONYMOUS, Forbidden),
            (bob, Forbidden),
            (Viewer(delete_token="x" * 43), InvalidDeleteToken),
        ):
            with pytest.raises(error):
                await delete(first.record.image.id, viewer=viewer)
        await delete(first.record.image.id, viewer=ada)
        await delete(second.record.image.id, viewer=await admin_of(home, bob))
        assert (await used(home, ada)).files == 0
        assert [event.actor for event in events(home, AuditAction.IMAGE_DELETE)] == [ada.user_id, bob.user_id]

    async def test_of_a_private_image_is_for_its_owner_and_admins_to_whom_it_is_not_shown(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada, visibility=PRIVATE)
        for viewer in (ANONYMOUS, bob, Viewer(delete_token="x" * 43)):
            for attempt in (home.application.images.delete, home.application.integrity.verify):
                with pytest.raises(ImageNotFound):
                    await attempt(kept.record.image.id, viewer=viewer)
        admin = await admin_of(home, bob)
        with pytest.raises(ImageNotFound):
            await find(home, kept, admin)
        assert (await home.application.integrity.verify(kept.record.image.id, viewer=admin)).match
        await home.application.images.delete(kept.record.image.id, viewer=admin)
        with pytest.raises(ImageNotFound):
            await find(home, kept, ada)

    async def test_by_its_token_is_on_record_without_it(self, home):
        kept = await upload(home, PHOTO)
        await home.application.images.delete(
            kept.record.image.id, viewer=Viewer(delete_token=kept.delete_token, address=ADDRESS)
        )
        (event,) = events(home, AuditAction.IMAGE_DELETE)
        assert (event.actor, event.subject, event.address) == ("delete-token", kept.record.image.id, ADDRESS)
        assert kept.delete_token not in repr(event)

    async def test_while_the_account_is_given_up_and_the_image_kept(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)

        async def give_up():
            await home.application.accounts.delete(ada, password=PASSWORD, images="keep")

        home.foundation.database.before["begin"].append(give_up)
        with pytest.raises(Unauthorized):
            await home.application.images.delete(kept.record.image.id, viewer=ada)
        await find(home, kept)


class TestScopes:
    """What each scope opens, and that it opens nothing else."""

    @pytest.mark.parametrize("scope", list(Scope))
    async def test_of_a_token(self, home, scope):
        ada = await member(home)
        script = await with_api_token(home, ada, scope)
        kept = await upload(home, PHOTO, viewer=ada, visibility=PRIVATE)
        shown = await upload(home, PHOTO, viewer=ada)
        anonymous = await upload(home, PHOTO)
        image_id, app = kept.record.image.id, home.application
        holder = replace(script, delete_token=anonymous.delete_token)

        async def may_upload():
            app.admission.require_uploader(script)

        needs = [
            (Scope.UPLOAD, may_upload, Forbidden),
            (Scope.UPLOAD, lambda: edit(home, shown, NAMED, script), Forbidden),
            (Scope.UPLOAD, lambda: app.ownership.claim(anonymous.record.image.id, viewer=holder), Forbidden),
            (Scope.READ, lambda: find(home, kept, script), ImageNotFound),
            (Scope.READ, lambda: app.images.list_owned(viewer=script, after=None, limit=9), Forbidden),
            (Scope.READ, lambda: app.images.similar(image_id, distance=8, viewer=script), ImageNotFound),
            (Scope.READ, lambda: app.integrity.verify(image_id, viewer=script), Forbidden),
            (Scope.READ, lambda: app.accounts.usage(script), Forbidden),
            (Scope.DELETE, lambda: app.images.delete(image_id, viewer=script), Forbidden),
        ]
        for needed, operation, refusal in needs:
            if needed is scope:
                await operation()
            else:
                with pytest.raises(refusal):
                    await operation()

    async def test_what_is_private_is_not_shown_by_changing_nothing(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada, visibility=PRIVATE)
        with pytest.raises(ImageNotFound):
            await edit(home, kept, NAMED, await with_api_token(home, ada, Scope.UPLOAD))
        await edit(home, kept, NAMED, await with_api_token(home, ada, Scope.UPLOAD, Scope.READ))

    async def test_an_admins_token_is_no_more_than_a_token(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept, anonymous = await upload(home, PHOTO, viewer=ada), await upload(home, PHOTO)
        await home.application.administration.set_role(BOB, role=Role.ADMIN)
        reader = await with_api_token(home, bob, Scope.READ)
        eraser = await with_api_token(home, bob, Scope.DELETE)
        with pytest.raises(Forbidden):
            await home.application.images.delete(kept.record.image.id, viewer=reader)
        with pytest.raises(DeleteTokenRequired):
            await home.application.images.delete(anonymous.record.image.id, viewer=reader)
        for uploaded in (kept, anonymous):
            await home.application.images.delete(uploaded.record.image.id, viewer=eraser)

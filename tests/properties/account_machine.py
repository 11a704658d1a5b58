"""People with accounts join the state machine: signing in and out, owning, hiding, claiming, giving the account up."""

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import consumes, initialize, rule

from chitram.domain.access import Credential, Viewer
from chitram.domain.errors import (
    ChitramError,
    EmailExists,
    Forbidden,
    ImageNotFound,
    InvalidCredentials,
    InvalidDeleteToken,
    QuotaExceeded,
)
from chitram.domain.images import Edit, Visibility
from chitram.domain.sessions import SessionKind
from chitram.domain.uploads import UploadDetails
from tests.faults.recount import recount
from tests.properties.account_model import MOST_ENDED, ORIGIN, QUOTA_FILES, AccountModel, Person, email
from tests.properties.entries import Entry, content

NAMES = st.sampled_from(["ann", "bob"])
VISIBILITIES = st.sampled_from(Visibility)


class AccountMachine(AccountModel):
    """What people with accounts do, and what goes wrong meanwhile."""

    images = AccountModel.images

    # -------------------------------------------------------------------------------------------------- what people do

    @initialize(target=images, number=st.integers(0, 3), name=NAMES)
    def first_private_upload(self, number: int, name: str) -> str:
        self.register(name)
        return self.upload_owned(name, number, Visibility.PRIVATE)

    @rule(name=NAMES)
    def register(self, name: str) -> None:
        password = self.new_password()
        if name in self.people:
            with self.refused(EmailExists):
                self.run(self.registration(name, password))
            return
        signed_in = self.run(self.registration(name, password))
        person = Person(signed_in.user.id, password, {signed_in.token: signed_in.session.expires_at})
        self.people[name] = person

    def registration(self, name: str, password: str) -> Awaitable[Any]:
        spelling = email(name) if self.passwords % 2 else email(name).title()
        return self.house.application.accounts.register(
            spelling, password=password, invite=None, origin=ORIGIN, kind=SessionKind.BEARER
        )

    @rule(name=NAMES)
    def sign_in(self, name: str) -> None:
        if name in self.people:
            self.open_session(name)

    @rule(name=NAMES)
    def fail_to_sign_in(self, name: str) -> None:
        accounts = self.house.application.accounts
        with self.refused(InvalidCredentials):
            self.run(accounts.sign_in(email(name), password="a guess", origin=ORIGIN, kind=SessionKind.BEARER))

    @rule(name=NAMES)
    def sign_out(self, name: str) -> None:
        if name in self.people:
            viewer = self.viewer(name)
            token = list(self.people[name].sessions)[-1]
            self.run(self.house.application.accounts.sign_out(viewer))
            del self.people[name].sessions[token]
            self.ended = [*self.ended, token][-MOST_ENDED:]

    @rule(name=NAMES)
    def change_password(self, name: str) -> None:
        if name in self.people:
            new, viewer = self.new_password(), self.viewer(name)
            change = self.house.application.accounts.change_password
            self.run(change(viewer, current=self.people[name].password, new=new))
            self.people[name].password = new
            self.end_sessions(name)

    @rule(target=images, name=NAMES, number=st.integers(0, 3), visibility=VISIBILITIES)
    def upload_owned(self, name: str, number: int, visibility: Visibility) -> str:
        if name not in self.people:
            return self.upload(number)
        if len(self.owned(name)) >= QUOTA_FILES:
            with self.refused(QuotaExceeded):
                self.run(self.owned_upload(name, number, visibility))
            return next(iter(self.owned(name)))
        uploaded = self.run(self.owned_upload(name, number, visibility))
        sha256 = uploaded.record.blob.sha256
        assert uploaded.delete_token is None
        twins = [image for image, entry in self.owned(name).items() if entry.sha256 == sha256]
        assert (uploaded.duplicate_of in twins) if twins else uploaded.duplicate_of is None
        self.model[uploaded.record.image.id] = Entry(sha256, owner=name, visibility=visibility)
        return str(uploaded.record.image.id)

    def owned_upload(self, name: str, number: int, visibility: Visibility) -> Awaitable[Any]:
        details = UploadDetails(visibility=visibility, owner=Credential(self.people[name].id))
        return self.house.upload(content(number), details=details)

    @rule(image=images, name=NAMES)
    def claim(self, image: str, name: str) -> None:
        if image not in self.model or name not in self.people:
            return
        entry = self.model[image]
        work = self.claiming(image, name)
        if entry.owner == name:
            self.run(work())
        elif entry.owner is not None or entry.token is None:
            with self.refused(ImageNotFound if entry.visibility is Visibility.PRIVATE else ChitramError):
                self.run(work())
        elif len(self.owned(name)) >= QUOTA_FILES:
            with self.refused(QuotaExceeded):
                self.run(work())
        else:
            token = entry.token
            self.run(work())
            entry.owner, entry.token = name, None
            with self.refused(InvalidDeleteToken):
                self.run(self.house.application.images.delete(image, viewer=Viewer(delete_token=token)))

    def claiming(self, image: str, name: str) -> Callable[[], Awaitable[Any]]:
        viewer = Viewer(user=self.user(name), delete_token=self.model[image].token)
        return lambda: self.house.application.ownership.claim(image, viewer=viewer)

    @rule(image=images, name=NAMES, visibility=VISIBILITIES)
    def change_visibility(self, image: str, name: str, visibility: Visibility) -> None:
        if image not in self.model or name not in self.people:
            return
        entry, work = self.model[image], self.changing(image, name, visibility)
        if entry.owner == name:
            self.run(work())
            entry.visibility = visibility
        else:
            with self.refused(ImageNotFound if entry.visibility is Visibility.PRIVATE else Forbidden):
                self.run(work())

    def changing(self, image: str, name: str, visibility: Visibility) -> Callable[[], Awaitable[Any]]:
        edit, viewer = Edit(frozenset({"visibility"}), visibility=visibility), Viewer(user=self.user(name))
        return lambda: self.house.application.ownership.edit(image, edit=edit, viewer=viewer)

    @rule(image=images, name=NAMES)
    def fail_to_delete_anothers(self, image: str, name: str) -> None:
        if image in self.model and name in self.people and self.model[image].owner != name:
            with self.refused(ImageNotFound if self.model[image].visibility is Visibility.PRIVATE else ChitramError):
                self.run(self.house.application.images.delete(image, viewer=Viewer(user=self.user(name))))

    @rule(name=NAMES, images=st.sampled_from(["delete", "keep"]))
    def give_up(self, name: str, images: str) -> None:
        if name in self.people:
            self.run(self.giving_up(name, images)())
            self.gone(name, images)

    def giving_up(self, name: str, images: str) -> Callable[[], Awaitable[Any]]:
        viewer, password = self.viewer(name), self.people[name].password
        return lambda: self.house.application.accounts.delete(viewer, password=password, images=images)

    def gone(self, name: str, images: str) -> None:
        self.end_sessions(name)
        for image, entry in self.owned(name).items():
            if images == "delete" or entry.visibility is Visibility.PRIVATE:
                del self.model[image]
                self.deleted.add(image)
            else:
                entry.owner = None
        del self.people[name]

    # ----------------------------------------------------------------------------------------------- what goes wrong

    @rule(name=NAMES, number=st.integers(0, 3), visibility=VISIBILITIES, at=st.integers(0, 14))
    def crash_in_owned_upload(self, name: str, number: int, visibility: Visibility, at: int) -> None:
        if name not in self.people or len(self.owned(name)) >= QUOTA_FILES:
            return
        self.crash_during(at, lambda: self.owned_upload(name, number, visibility))
        new = {image: facts for image, facts in self.facts().items() if facts[0] == name and image not in self.model}
        assert len(new) <= 1
        for image, (_, found, sha256) in new.items():
            assert found == visibility
            self.model[image] = Entry(sha256, owner=name, visibility=visibility)

    @rule(image=consumes(images), name=NAMES, at=st.integers(0, 4), visibility=VISIBILITIES)
    def crash_in_change(self, image: str, name: str, at: int, visibility: Visibility) -> None:
        """A claim or an edit: it was done or it was not."""
        entry = self.model.get(image)
        if entry is None or name not in self.people:
            return
        if entry.owner == name:
            self.crash_during(at, self.changing(image, name, visibility))
            _, found, _ = self.facts()[image]
            assert found in (entry.visibility, visibility)
            entry.visibility = Visibility(found)
        elif entry.token is not None and len(self.owned(name)) < QUOTA_FILES:
            self.crash_during(at, self.claiming(image, name))
            if self.facts()[image][0] == name:
                entry.owner, entry.token = name, None

    @rule(name=NAMES, at=st.integers(0, 5), images=st.sampled_from(["delete", "keep"]))
    def crash_in_giving_up(self, name: str, at: int, images: str) -> None:
        if name in self.people:
            self.crash_during(at, self.giving_up(name, images))
            if email(name) not in recount(self.directory):
                self.gone(name, images)

    @rule(name=NAMES, at=st.integers(0, 5))
    def crash_in_registration(self, name: str, at: int) -> None:
        if name not in self.people:
            password = self.new_password()
            self.crash_during(at, lambda: self.registration(name, password))
            if email(name) in recount(self.directory):
                self.people[name] = Person(recount(self.directory)[email(name)].id, password)

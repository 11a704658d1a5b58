"""What the state machine knows of people with accounts, and what must hold of them after every step.

That it can fail was seen with deleted images not given back to the quota, and with private images left when an account
was given up.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis.stateful import invariant

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import (
    ChitramError,
    Forbidden,
    ImageNotFound,
    InvalidDeleteToken,
    TokenExpired,
    Unauthorized,
)
from chitram.domain.images import Visibility
from chitram.domain.sessions import SessionKind
from chitram.domain.users import User
from chitram.services.accounts import Origin
from chitram.services.authentication import Credentials
from chitram.settings import AccountSettings
from tests.faults.recount import account_violations, recount
from tests.properties.entries import Entry
from tests.properties.store_machine import StoreMachine

#: So few that the machine comes to it.
QUOTA_FILES = 3
ORIGIN = Origin("192.0.2.1", "a program")
#: Ended tokens that are tried again and again.
MOST_ENDED = 12
#: Who deletes in the end what nobody owns any more.
ADMIN = "admin@example.org"


def email(name: str) -> str:
    return f"{name}@example.org"


@dataclass
class Person:
    """What is known of an account. `sessions`: token → when it expires."""

    id: str
    password: str
    sessions: dict[str, datetime] = field(default_factory=dict)


class AccountModel(StoreMachine):
    """The store machine with people beside it; `refusals` counts over all runs what they were refused."""

    accounts = AccountSettings(quota_files=QUOTA_FILES)
    refusals = 0

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.ended: list[str] = []
        self.passwords = 0
        super().__init__()

    @contextmanager
    def refused(self, refusal: type[ChitramError]) -> Iterator[None]:
        with pytest.raises(refusal):
            yield
        type(self).refusals += 1

    def new_password(self) -> str:
        self.passwords += 1
        return f"password number {self.passwords}"

    def owned(self, name: str) -> dict[str, Entry]:
        return {image: entry for image, entry in self.model.items() if entry.owner == name}

    def user(self, name: str) -> User:
        async def read() -> User | None:
            async with self.house.foundation.database.read() as repositories:
                return await repositories.users.get(self.people[name].id)

        user: User | None = self.run(read())
        assert user is not None
        return user

    def viewer(self, name: str) -> Viewer:
        """The person, signed in with their password now."""
        return self.run(self.house.application.authentication.viewer(Credentials(bearer=self.open_session(name))))

    def open_session(self, name: str) -> str:
        person = self.people[name]
        accounts = self.house.application.accounts
        signed_in = self.run(
            accounts.sign_in(email(name).upper(), password=person.password, origin=ORIGIN, kind=SessionKind.BEARER)
        )
        person.sessions[signed_in.token] = signed_in.session.expires_at
        return signed_in.token

    def end_sessions(self, name: str) -> None:
        self.ended = [*self.ended, *self.people[name].sessions][-MOST_ENDED:]
        self.people[name].sessions = {}

    def holder(self, image: str) -> Viewer:
        """Its owner, who holds its token, or an admin for what nobody owns any more."""
        entry = self.model[image]
        if entry.owner is not None:
            return Viewer(user=self.user(entry.owner))
        return super().holder(image) if entry.token is not None else Viewer(user=self.run(self._admin()))

    async def _admin(self) -> User:
        async with self.house.foundation.database.read() as repositories:
            found = await repositories.users.find(ADMIN)
        return found or await self.house.application.administration.create(ADMIN, password="long enough")

    def refusal(self, image: str, token: str | None) -> type[Exception]:
        entry = self.model.get(image)
        if entry is None or entry.visibility is Visibility.PRIVATE:
            return ImageNotFound
        if entry.token is not None:
            return super().refusal(image, token)
        return Forbidden if token is None else InvalidDeleteToken

    # ----------------------------------------------------------------------------------------------- what must hold

    def facts(self) -> dict[str, tuple[str | None, str, str]]:
        """Of every image the owner's name, the visibility and the hash, as the rows have it."""
        query = (
            "SELECT i.id, u.email, i.visibility, b.sha256 FROM images i JOIN blobs b ON b.id = i.blob_id"
            " LEFT JOIN users u ON u.id = i.owner_id"
        )
        with closing(sqlite3.connect(self.directory / "chitram.db", timeout=30)) as connection:
            rows = connection.execute(query).fetchall()
        return {
            image: (owner and owner.lower().partition("@")[0], visibility, sha256)
            for image, owner, visibility, sha256 in rows
        }

    @invariant()
    def everybody_has_what_is_theirs(self) -> None:
        assert account_violations(self.directory) == []
        accounts = recount(self.directory)
        # The admin is there as soon as somebody has verified what is nobody's.
        assert set(accounts) - {ADMIN} == {email(name) for name in self.people}
        assert all(account.used[1] <= QUOTA_FILES for account in accounts.values())
        facts = self.facts()
        expected = {image: (e.owner, e.visibility.value, e.sha256) for image, e in self.model.items()}
        assert {image: facts.get(image) for image in self.model} == expected
        # Images that nobody heard of are strangers'.
        assert all(facts[image][0] is None for image in facts.keys() - self.model.keys())

    @invariant()
    def nobody_is_shown_more(self) -> None:
        public = {image for image, entry in self.model.items() if entry.visibility is Visibility.PUBLIC}
        page = self.run(self.house.application.images.list_public(after=None, limit=100))
        assert {record.image.id for record in page.records} == public
        for name in self.people:
            owned = self.run(
                self.house.application.images.list_owned(viewer=Viewer(user=self.user(name)), after=None, limit=100)
            )
            assert {record.image.id for record in owned.records} == set(self.owned(name))
        viewers = {None: ANONYMOUS} | {name: Viewer(user=self.user(name)) for name in self.people}
        for image, entry in self.model.items():
            for name, viewer in viewers.items():
                hidden = entry.visibility is Visibility.PRIVATE and entry.owner != name
                assert self.is_shown(image, viewer) is not hidden

    def is_shown(self, image: str, viewer: Viewer) -> bool:
        try:
            self.run(self.house.application.images.find(image, viewer=viewer))
        except ImageNotFound:
            return False
        return True

    @invariant()
    def tokens_open_what_is_open(self) -> None:
        authentication = self.house.application.authentication
        for person in self.people.values():
            for token, expires_at in person.sessions.items():
                if expires_at <= self.clock.now():
                    with pytest.raises(TokenExpired):
                        self.run(authentication.viewer(Credentials(bearer=token)))
                else:
                    assert self.run(authentication.viewer(Credentials(bearer=token))).user_id == person.id
        for token in self.ended:
            with pytest.raises(Unauthorized):
                self.run(authentication.viewer(Credentials(bearer=token)))

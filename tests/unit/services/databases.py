"""Databases that behave as a real one rarely does: blind to what others have just done, silent, or talkative."""

from contextlib import asynccontextmanager


class Mute:
    """A database that fails where it should say that it has committed."""

    def __init__(self, real, error, *, commits=True):
        self.real = real
        self.read = real.read
        self._error = error
        self._commits = commits

    @asynccontextmanager
    async def begin(self):
        async with self.real.begin() as work:
            yield work
            if not self._commits:
                raise self._error
        raise self._error


class Unsighted:
    """A database whose first `views` and `transactions` do not see the blobs that others have just recorded."""

    def __init__(self, real, *, views, transactions):
        self._real = real
        self._views = views
        self._transactions = transactions

    @asynccontextmanager
    async def begin(self):
        async with self._real.begin() as work:
            self._transactions -= 1
            yield Overlay(work, blobs=Overlay(work.blobs, take=nothing)) if self._transactions >= 0 else work

    @asynccontextmanager
    async def read(self):
        async with self._real.read() as view:
            self._views -= 1
            yield Overlay(view, blobs=Overlay(view.blobs, find=nothing)) if self._views >= 0 else view


class Watched:
    """A database that tells in `calls` what is asked of accounts and sessions in its views."""

    def __init__(self, real):
        self._real = real
        self.calls = []
        self.begin = real.begin

    @asynccontextmanager
    async def read(self):
        async with self._real.read() as view:
            told = {name: Told(getattr(view, name), self.calls) for name in ("users", "sessions")}
            yield Overlay(view, **told)


class Told:
    """`real`, each call of which is added to `calls`."""

    def __init__(self, real, calls):
        self._real = real
        self._calls = calls

    def __getattr__(self, name):
        self._calls.append(name)
        return getattr(self._real, name)


class Overlay:
    """`real` with some of its attributes in front of it."""

    def __init__(self, real, **attributes):
        self._real = real
        vars(self).update(attributes)

    def __getattr__(self, name):
        return getattr(self._real, name)


async def nothing(_sha256):
    return None

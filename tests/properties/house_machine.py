"""The application in the hands of a state machine: it is opened, asked, killed at a chosen call and opened again."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from chitram.adapters.memory.clock import ManualClock
from chitram.settings import AccountSettings, AppSettings, Settings, UploadSettings
from tests.factories.applications import House, house
from tests.faults.census import Census, take_census
from tests.properties.crashing import Crash, Fuse, explosive


class HouseMachine(RuleBasedStateMachine):
    """A house over a directory of its own, with a clock that the machine moves. `crashes` counts over all runs."""

    mode = "inline"
    accounts = AccountSettings()
    crashes = 0

    def __init__(self) -> None:
        super().__init__()
        # What outlives a process need not outlive the machine: memory does, and is quicker.
        memory = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="chitram-machine-", dir=memory if memory.is_dir() else None))
        self.runner = asyncio.Runner()
        self.clock = ManualClock(datetime.now(UTC))
        self.fuse = Fuse()
        self.known_objects: set[str] = set()
        self.open()

    def open(self) -> None:
        self.stack = AsyncExitStack()
        context = house(self.directory, settings=self.settings(), clock=self.clock, arrange=explosive(self.fuse))
        self.house: House = self.run(self.stack.enter_async_context(context))

    def settings(self) -> Settings:
        app = AppSettings(env="test", data_dir=self.directory)
        return Settings(app=app, uploads=UploadSettings(thumbnail_mode=self.mode), accounts=self.accounts)

    def run(self, work: Coroutine[Any, Any, Any] | Awaitable[Any]) -> Any:
        async def main() -> Any:
            return await work

        return self.runner.run(main())

    def restart(self) -> None:
        self.fuse.left = None
        self.run(self.stack.aclose())
        self.open()

    def crash_during(self, at: int, work: Callable[[], Awaitable[Any]]) -> bool:
        """Run `work` and die at its `at`-th call; whether it got as far as that."""
        self.fuse.left = at
        try:
            self.run(work())
        except Crash:
            type(self).crashes += 1
            return True
        finally:
            self.restart()
        return False

    def teardown(self) -> None:
        self.fuse.left = None
        try:
            self.run(self.stack.aclose())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    def census(self) -> Census:
        return take_census(self.directory)

    def date_new_objects(self, census: Census) -> None:
        """Files carry the time of the machine; the application lives in the time of its own clock."""
        now = self.clock.now().timestamp()
        for key, path in census.objects.items():
            if key not in self.known_objects and path.exists():
                os.utime(path, (now, now))
        self.known_objects |= set(census.objects)

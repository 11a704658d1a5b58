"""The jobs of the codec, which tell what modules they tried to load on the way."""

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from chitram.adapters.codec import jobs
from chitram.adapters.codec.wire import Reply
from chitram.domain.errors import InvalidFileFormat


class _Watch:
    """Sees every module that is asked for and not there, finds none."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        self.asked.append(name)
        return None


def ingest(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """`chitram.adapters.codec.jobs.ingest`, of which only what was loaded is told, and what was said."""
    watch = _Watch()
    sys.meta_path.insert(0, watch)
    try:
        jobs.ingest(fd, arguments)
        said = "taken"
    except InvalidFileFormat as refusal:
        said = refusal.reason.value
    finally:
        sys.meta_path.remove(watch)
    return Reply({"loaded": watch.asked, "said": said})


preload = jobs.preload
JOBS = {"ingest": ingest}

"""The work that a decoding process does, by name."""

import mmap
import os
from collections.abc import Callable, Mapping
from typing import Any

from chitram.adapters.codec import decoding, pipeline
from chitram.adapters.codec.formats.structure import Buffer
from chitram.adapters.codec.wire import Reply, budget_from_json, ingested_reply, inspected_reply


def mapped(fd: int) -> Buffer:
    """The file behind `fd`, which stays open, mapped for reading. Closed when nothing refers to it any more."""
    if os.fstat(fd).st_size == 0:
        return b""
    return mmap.mmap(fd, 0, prot=mmap.PROT_READ)


def inspect(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """`Codec.inspect`."""
    return inspected_reply(pipeline.inspect(mapped(fd), **_settings(arguments)))


def ingest(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """`Codec.ingest`."""
    return ingested_reply(pipeline.ingest(mapped(fd), **_settings(arguments)))


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {**arguments, "budget": budget_from_json(arguments["budget"])}


def preload() -> None:
    """Load what the jobs need, once, before processes are forked."""
    decoding.preload()


JOBS: Mapping[str, Callable[[int, Mapping[str, Any]], Reply]] = {"inspect": inspect, "ingest": ingest}

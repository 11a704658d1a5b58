"""Pictures to try things out with."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from typing import NamedTuple


class DemoPicture(NamedTuple):
    """A drawn landscape: its name, and a JPEG."""

    name: str
    data: bytes


def demo_pictures(count: int) -> Iterator[DemoPicture]:
    """The first `count` landscapes, each another one, and the same ones each time."""
    # What draws them is of no use to a server.
    from chitram.adapters.codec.landscapes import SCENES, drawn  # noqa: PLC0415

    for number, scene in enumerate(islice(cycle(SCENES), count)):
        again = number // len(SCENES)
        yield DemoPicture(scene.name, drawn(replace(scene, name=f"{scene.name} {again}") if again else scene))

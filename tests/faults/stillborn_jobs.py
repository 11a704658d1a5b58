"""Jobs for processes that end as soon as they are forked."""

import os

JOBS: dict[str, object] = {}


def preload() -> None:
    os.register_at_fork(after_in_child=lambda: os._exit(3))

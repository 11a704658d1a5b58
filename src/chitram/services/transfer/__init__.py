"""Copies of everything: into another database, into another store, into a backup, and out of one.

Each may be interrupted at any instant and begun again: what has arrived is recognised, not taken on trust.
"""

from chitram.services.transfer.backup import Backup, Copy, Restore, take_over
from chitram.services.transfer.objects import Expected, ObjectMover, Transfer, objects_of
from chitram.services.transfer.rows import NotEmptyError, Progress, RowMover

__all__ = [
    "Backup",
    "Copy",
    "Expected",
    "NotEmptyError",
    "ObjectMover",
    "Progress",
    "Restore",
    "RowMover",
    "Transfer",
    "objects_of",
    "take_over",
]

"""How long PostgreSQL may take, and how many connections it has to serve."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Patience:
    """Longest times in seconds.

    wait: for a connection, opening one included. connect: opening one. statement, lock: one statement of a transaction,
    and what it may wait for locks. idle: a transaction that sends nothing; then PostgreSQL ends it.
    """

    wait: float = 0.5
    connect: float = 0.5
    statement: float = 0.8
    lock: float = 0.5
    idle: float = 10.0

    @property
    def answer(self) -> float:
        """When a server that should have given up by itself is given up."""
        return self.statement + 0.1

    def in_background(self) -> Self:
        """For work that nobody waits for. Locks are not waited for so long: whoever holds one has the same patience."""
        return replace(self, wait=30.0, connect=5.0, statement=300.0, lock=30.0, idle=60.0)


@dataclass(frozen=True, slots=True)
class PoolSize:
    """Connections for one purpose. kept: open also when idle. beyond: more of them under load. recycle: in seconds."""

    kept: int = 5
    beyond: int = 10
    recycle: int = 3600

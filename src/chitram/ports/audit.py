"""The audit log."""

from typing import Protocol

from chitram.domain.audit import AuditEvent


class Audit(Protocol):
    def record(self, event: AuditEvent) -> None:
        """Put `event` on record, with the time and the request that it belongs to. Never raises."""
        ...

"""The audit log in this process's memory: the twin of the real one."""

from chitram.domain.audit import AuditEvent


class MemoryAudit:
    """Keeps every event, oldest first."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)

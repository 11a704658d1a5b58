"""The audit log's twin."""

from chitram.adapters.memory.audit import MemoryAudit
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.ports.audit import Audit


def test_events_are_kept_in_order():
    audit = MemoryAudit()
    port: Audit = audit
    events = [AuditEvent(action, actor=None, subject=None) for action in (AuditAction.LOGIN, AuditAction.LOGOUT)]
    for event in events:
        port.record(event)
    assert audit.events == events

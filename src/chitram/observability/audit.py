"""The audit log: lines of a logger of its own, which are there whatever the level of the others."""

import structlog

from chitram.domain.audit import AuditEvent
from chitram.observability.logs import AUDIT_LOGGER
from chitram.observability.metrics import Metrics


class LogAudit:
    """One line an event, with the id of the request that it belongs to, and a count of it in `metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._logger: structlog.stdlib.BoundLogger = structlog.get_logger(AUDIT_LOGGER)

    def record(self, event: AuditEvent) -> None:
        outcome = "done" if event.refusal is None else "refused"
        log = self._logger.info if event.refusal is None else self._logger.warning
        try:
            log(
                "audit",
                action=event.action.value,
                outcome=outcome,
                actor=event.actor,
                subject=event.subject,
                address=event.address,
                refusal=event.refusal,
                details=dict(event.details),
            )
        except Exception:  # noqa: BLE001  what was done is done, and must be answered; an alert watches the count
            outcome = "lost"
        self._metrics.audit_recorded(event.action.value, outcome)

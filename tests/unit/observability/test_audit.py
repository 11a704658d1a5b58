"""The audit log."""

from collections.abc import Mapping

import pytest

from chitram.domain.audit import AuditAction, AuditEvent
from chitram.observability import LogAudit, Metrics, current_request_id
from tests.unit.observability.captured import NASTY, configured, lines

AUDIT_EVENT = AuditEvent(
    action=AuditAction.TOKEN_CREATE,
    actor="AAAAAAAAAAA",
    subject="BBBBBBBBBBB",
    address="192.0.2.1",
    details={"scopes": ["read"], "secret": "hunter2"},
)


def test_the_audit_log_is_one_line_an_event():
    stream = configured()
    metrics = Metrics()
    audit = LogAudit(metrics)
    identity = current_request_id.set("req-12345")
    audit.record(AUDIT_EVENT)
    current_request_id.reset(identity)
    audit.record(AuditEvent(AuditAction.LOGIN, actor=None, subject=None, refusal="INVALID_CREDENTIALS"))
    created, refused = lines(stream)
    assert created.pop("timestamp").endswith("Z")
    assert created == {
        "event": "audit",
        "logger": "chitram.audit",
        "level": "info",
        "request_id": "req-12345",
        "action": "token_create",
        "outcome": "done",
        "actor": "AAAAAAAAAAA",
        "subject": "BBBBBBBBBBB",
        "address": "192.0.2.1",
        "refusal": None,
        "details": {"scopes": ["read"], "secret": "[redacted]"},
    }
    assert (refused["action"], refused["outcome"], refused["level"]) == ("login", "refused", "warning")
    assert (refused["refusal"], refused["actor"]) == ("INVALID_CREDENTIALS", None)
    assert "request_id" not in refused
    counted = metrics.registry.get_sample_value
    assert counted("chitram_audit_events_total", {"action": "token_create", "outcome": "done"}) == 1
    assert counted("chitram_audit_events_total", {"action": "login", "outcome": "refused"}) == 1


@pytest.mark.parametrize("action", AuditAction)
def test_every_event_can_be_recorded(action):
    stream = configured()
    LogAudit(Metrics()).record(AuditEvent(action, actor="AAAAAAAAAAA", subject=None))
    assert [line["action"] for line in lines(stream)] == [action.value]


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_no_level_silences_the_audit_log(level):
    stream = configured(level=level)
    LogAudit(Metrics()).record(AUDIT_EVENT)
    assert [line["action"] for line in lines(stream)] == ["token_create"]


@pytest.mark.parametrize("odd", [NASTY, "\ud800", object(), {1: NASTY}, b"\xff"])
def test_odd_details_stay_in_their_line(odd):
    stream = configured()
    LogAudit(Metrics()).record(AuditEvent(AuditAction.LOGIN, actor=NASTY, subject=NASTY, details={"odd": odd}))
    assert len(stream.getvalue().splitlines()) == 1
    assert lines(stream)[0]["actor"] == NASTY


def test_an_event_that_cannot_be_logged_is_counted_and_stops_nobody():
    class BrokenDetails(Mapping):
        def __getitem__(self, key):
            raise KeyError(key)

        def __iter__(self):
            raise ZeroDivisionError

        def __len__(self):
            return 1

    configured()
    metrics = Metrics()
    LogAudit(metrics).record(AuditEvent(AuditAction.LOGIN, actor=None, subject=None, details=BrokenDetails()))
    lost = metrics.registry.get_sample_value("chitram_audit_events_total", {"action": "login", "outcome": "lost"})
    assert lost == 1

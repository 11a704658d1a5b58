"""Logs and metrics: set up here, passed to whoever reports something."""

from chitram.observability.access_log import AccessLog
from chitram.observability.audit import LogAudit
from chitram.observability.descriptions import MetricDescription
from chitram.observability.logs import configure_logging, current_request_id
from chitram.observability.metrics import Metrics

__all__ = ["AccessLog", "LogAudit", "MetricDescription", "Metrics", "configure_logging", "current_request_id"]

"""What is counted."""

from dataclasses import dataclass

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from chitram import __version__
from chitram.observability import Metrics


def exported(metrics):
    content_type, body = metrics.render(None)
    assert content_type.startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


@dataclass(frozen=True)
class Sandbox:
    workers: int
    busy: int
    waiting: int
    jobs: int
    crashes: int
    timeouts: int
    restarts: int


def exercised():
    metrics = Metrics(now=lambda: 1000.0)
    metrics.request_answered(route="/a", method="GET", status=200, seconds=0.01)
    metrics.request_answered(route="/a", method="GET", status=200, seconds=0.01)
    metrics.upload_finished(100)
    metrics.upload_refused("FILE_TOO_LARGE")
    metrics.watch_codec(lambda: Sandbox(workers=2, busy=1, waiting=3, jobs=10, crashes=1, timeouts=2, restarts=4))
    metrics.thumbnail_cache_asked(hit=True)
    metrics.thumbnail_cache_asked(hit=False)
    metrics.record_cache_asked(hit=True)
    metrics.record_cache_asked(hit=False)
    metrics.set_jobs({"ready": 3, "dead": 1})
    metrics.job_finished("render", "done")
    metrics.set_blobs({"live": 2}, live_bytes=300)
    metrics.sweep_finished("collector", 4)
    metrics.sweep_finished("collector", None)
    metrics.effect_failed(ValueError())
    metrics.storage_operated("put", seconds=0.1, failed=False)
    metrics.storage_operated("put", seconds=0.1, failed=True)
    metrics.audit_recorded("login", "refused")
    metrics.requests_in_flight = 7
    return metrics


def test_every_described_metric_is_exported_and_the_other_way_round():
    families = exported(exercised())
    described = {d.name.removesuffix("_total"): d for d in Metrics.describe()}
    ours = {name for name in families if name.startswith("chitram_")}
    assert ours == set(described)
    for name, description in described.items():
        assert families[name].documentation == description.help
        assert description.help.endswith(".")
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == set(description.labels)


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("chitram_http_requests_total", {"route": "/a", "method": "GET", "status": "200"}, 2),
        ("chitram_http_request_duration_seconds_count", {"route": "/a"}, 2),
        ("chitram_http_requests_in_flight", {}, 7),
        ("chitram_uploads_total", {"result": "created"}, 1),
        ("chitram_uploads_total", {"result": "FILE_TOO_LARGE"}, 1),
        ("chitram_upload_bytes_total", {}, 100),
        ("chitram_decodes_total", {"outcome": "crash"}, 1),
        ("chitram_decodes_total", {"outcome": "timeout"}, 2),
        ("chitram_decodes_total", {"outcome": "done"}, 7),
        ("chitram_decoder_processes", {}, 2),
        ("chitram_decoder_requests", {"state": "waiting"}, 3),
        ("chitram_decoder_restarts_total", {}, 4),
        ("chitram_thumbnail_cache_requests_total", {"result": "hit"}, 1),
        ("chitram_record_cache_requests_total", {"result": "miss"}, 1),
        ("chitram_audit_events_total", {"action": "login", "outcome": "refused"}, 1),
        ("chitram_jobs", {"state": "ready"}, 3),
        ("chitram_blobs", {"state": "live"}, 2),
        ("chitram_blob_bytes", {}, 300),
        ("chitram_sweep_runs_total", {"sweep": "collector", "result": "failed"}, 1),
        ("chitram_sweep_repaired_total", {"sweep": "collector"}, 4),
        ("chitram_sweep_last_success_timestamp_seconds", {"sweep": "collector"}, 1000),
        ("chitram_after_commit_failures_total", {}, 1),
        ("chitram_storage_operation_duration_seconds_count", {"operation": "put"}, 2),
        ("chitram_storage_operation_errors_total", {"operation": "put"}, 1),
        ("chitram_build_info", {"version": __version__}, 1),
    ],
)
def test_what_is_counted(name, labels, value):
    assert exercised().registry.get_sample_value(name, labels) == value


def test_metrics_have_a_registry_of_their_own():
    first, second = Metrics(), Metrics()
    first.upload_finished(1)
    assert second.registry.get_sample_value("chitram_upload_bytes_total") == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("chitram")]
    assert first.registry.get_sample_value("process_open_fds") > 0


def test_openmetrics_on_request():
    content_type, body = Metrics().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")

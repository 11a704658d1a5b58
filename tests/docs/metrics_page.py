"""docs/reference/metrics.md: every metric, from the registry itself."""

from chitram.observability import Metrics
from tests.docs.tables import code, table

INTRODUCTION = """# Metrics

`GET /metrics` answers in the Prometheus text format, or in OpenMetrics when asked for. `METRICS_BIND` moves it to an
address of its own, where a stranger cannot read it. Routes are labelled by their template and never by what was
asked, so the number of series is bounded.
"""


def render() -> str:
    rows = [[code(m.name), m.type, ", ".join(map(code, m.labels)), m.help] for m in Metrics().describe()]
    return "\n".join([INTRODUCTION, table(["Metric", "Type", "Labels", "Meaning"], rows), ""])

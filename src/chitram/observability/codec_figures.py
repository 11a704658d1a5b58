"""What the decode sandbox counts itself, exported when somebody asks."""

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chitram.observability.descriptions import DECODER_QUEUE, DECODER_RESTARTS, DECODERS, DECODES


class CodecStats(Protocol):
    """What the decode sandbox knows of itself; all but the first three count since its start."""

    @property
    def workers(self) -> int: ...

    @property
    def busy(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def jobs(self) -> int: ...

    @property
    def crashes(self) -> int: ...

    @property
    def timeouts(self) -> int: ...

    @property
    def restarts(self) -> int: ...


class CodecCollector(Collector):
    """Exports them. `stats` is called at each scrape."""

    def __init__(self, stats: Callable[[], CodecStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """The figures of this moment."""
        stats = self._stats()
        done = max(stats.jobs - stats.crashes - stats.timeouts, 0)
        decodes = CounterMetricFamily(DECODES.name, DECODES.help, labels=DECODES.labels)
        for outcome, count in (("done", done), ("crash", stats.crashes), ("timeout", stats.timeouts)):
            decodes.add_metric([outcome], count)
        queue = GaugeMetricFamily(DECODER_QUEUE.name, DECODER_QUEUE.help, labels=DECODER_QUEUE.labels)
        for state, count in (("busy", stats.busy), ("waiting", stats.waiting)):
            queue.add_metric([state], count)
        processes = GaugeMetricFamily(DECODERS.name, DECODERS.help, value=stats.workers)
        restarts = CounterMetricFamily(DECODER_RESTARTS.name, DECODER_RESTARTS.help, value=stats.restarts)
        return decodes, queue, processes, restarts

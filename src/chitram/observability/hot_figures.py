"""What is counted for every single request: plain numbers, because the client library's locks cost more than the rest.

They are changed on the event loop alone. A scrape in another thread may see a request half counted, which evens out.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

#: Seconds. The low end is where thumbnails from memory are, the high end where uploads over slow lines are.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BOUNDS = (*map(floatToGoString, _BUCKETS), "+Inf")


class Described(Protocol):
    """Name, sentence and labels of one metric."""

    @property
    def name(self) -> str: ...

    @property
    def help(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...


class HotFigures(Collector):
    """Requests and look-ups in caches. The caches' figures are by result: index 0 misses, index 1 hits."""

    def __init__(
        self, *, requests: Described, seconds: Described, thumbnail_cache: Described, record_cache: Described
    ) -> None:
        self._requests = requests
        self._seconds = seconds
        self._caches = (thumbnail_cache, record_cache)
        self.thumbnail_cache = [0, 0]
        self.record_cache = [0, 0]
        self._answered: dict[tuple[str, str, int], int] = {}
        self._durations: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def request_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (route, method, status)
        self._answered[key] = self._answered.get(key, 0) + 1
        durations = self._durations.get(route)
        if durations is None:
            durations = self._durations[route] = [0] * len(_BOUNDS)
            self._sums[route] = 0.0
        durations[bisect_left(_BUCKETS, seconds)] += 1
        self._sums[route] += seconds

    def collect(self) -> Iterable[Metric]:
        """Everything, for a scrape."""
        yield self._counted_requests()
        yield self._measured_seconds()
        for described, (misses, hits) in zip(self._caches, (self.thumbnail_cache, self.record_cache), strict=True):
            family = CounterMetricFamily(described.name, described.help, labels=described.labels)
            family.add_metric(["hit"], hits)
            family.add_metric(["miss"], misses)
            yield family

    def _counted_requests(self) -> Metric:
        family = CounterMetricFamily(self._requests.name, self._requests.help, labels=self._requests.labels)
        for (route, method, status), number in list(self._answered.items()):
            family.add_metric([route, method, str(status)], number)
        return family

    def _measured_seconds(self) -> Metric:
        family = HistogramMetricFamily(self._seconds.name, self._seconds.help, labels=self._seconds.labels)
        for route, durations in list(self._durations.items()):
            total, cumulative = 0, []
            for bound, number in zip(_BOUNDS, durations, strict=True):
                total += number
                cumulative.append((bound, total))
            family.add_metric([route], cumulative, self._sums[route])
        return family

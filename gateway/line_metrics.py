"""What ``/metrics`` shows of the connections that channels keep open.

Rule: the counts are the channel's own, read when somebody looks; accounts and lines are
closed lists, so the number of series is bounded.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.routes import Routes

_NOW: Final = {
    "connections": "posgate_line_connections",
    "in_use": "posgate_line_in_use",
    "in_flight": "posgate_line_in_flight",
}
"""What stands now; every other name counts since the start."""
_LABELS: Final = ("account", "line")


class LineMetrics(Collector):
    """Every account's lines, numbered from 1."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def collect(self) -> Iterator[Metric]:
        """The families, as they are now."""
        now = {
            name: GaugeMetricFamily(shown, f"Lines of channels: {name} now", labels=_LABELS)
            for name, shown in _NOW.items()
        }
        counted = CounterMetricFamily(
            "posgate_line_events_total",
            "What happened on lines of channels since the start",
            labels=(*_LABELS, "event"),
        )
        for route, own_line in self._routes.own_lines():
            for number, counts in enumerate(own_line.line_statistics(), 1):
                line = (route.account_id, str(number))
                for name, value in counts.items():
                    if name in now:
                        now[name].add_metric(line, value)
                    else:
                        counted.add_metric((*line, name), value)
        yield from (*now.values(), counted)

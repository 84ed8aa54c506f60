"""Everything ``/metrics`` shows, made once by the composition root.

Rules: label values come from closed lists (door, channel, status, verdict), never
from input, so the number of series is bounded. The hot path uses children looked
up once.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The product's counters, gauges and histograms in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._payments = Counter(
            "posgate_payments_total",
            "Payments by the state they reached",
            ["door", "channel", "status"],
            registry=self.registry,
        )
        self._calls = Histogram(
            "posgate_channel_call_seconds",
            "Calls to channels by verdict",
            ["channel", "operation", "verdict"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            "posgate_requests_total",
            "Requests by door and answer code",
            ["door", "code"],
            registry=self.registry,
        )
        self._payment_children: dict[tuple[str, str, str], Counter] = {}
        self._call_children: dict[tuple[str, str, str], Histogram] = {}
        self._request_children: dict[tuple[str, str], Counter] = {}
        self.recovered = Counter(
            "posgate_recovered_total", "Payments that recovery took over", registry=self.registry
        )
        self.parked = Counter(
            "posgate_parked_total", "Payments parked for a human", registry=self.registry
        )
        self.refused_connections = Counter(
            "posgate_refused_connections_total",
            "POS connections over the bound",
            registry=self.registry,
        )
        self.bad_frames = Counter(
            "posgate_bad_frames_total", "POS connections closed for a frame", registry=self.registry
        )

    def payment(self, door: str, channel: str, status: str) -> None:
        """Count a payment that reached ``status``."""
        key = (door, channel, status)
        child = self._payment_children.get(key)
        if child is None:
            child = self._payment_children[key] = self._payments.labels(*key)
        child.inc()

    def call(self, channel: str, operation: str, verdict: str, seconds: float) -> None:
        """Time a call to a channel."""
        key = (channel, operation, verdict)
        child = self._call_children.get(key)
        if child is None:
            child = self._call_children[key] = self._calls.labels(*key)
        child.observe(seconds)

    def request(self, door: str, code: str) -> None:
        """Count an answer; ``code`` is an F39 or an HTTP status."""
        key = (door, code)
        child = self._request_children.get(key)
        if child is None:
            child = self._request_children[key] = self._requests.labels(*key)
        child.inc()

    def watch(self, name: str, text: str, read: Callable[[], int]) -> None:
        """A gauge that is read when somebody looks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

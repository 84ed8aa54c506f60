"""Everything ``/metrics`` shows, made once by the composition root.

Rules: label values come from closed lists (door, channel, account, status, verdict), so the
number of series is bounded. The one value from outside is an answer code at the POS door,
which may be a card host's own: beyond ``_MOST_CODES`` a new one counts as ``other``. What the hot
path counts are plain integers in a dictionary, read only when somebody looks: a locked counter
costs ten times as much, and one event loop needs no lock.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BREAKER_STATES: Final = ("closed", "half_open", "open")
_MOST_CODES: Final = 256
"""Pairs of door and code; the real ones are fewer than half of that."""
_OTHER: Final = "other"
_BOUNDS: Final = (*(str(bound) for bound in _SECONDS), "+Inf")


class _Times:
    """How often and how long: one series of a histogram."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.sum_s = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound."""
        total, buckets = 0, []
        for bound, count in zip(_BOUNDS, self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class _HotPath(Collector):
    """What every payment counts."""

    def __init__(self) -> None:
        self.payments: dict[tuple[str, str, str], int] = {}
        self.requests: dict[tuple[str, str], int] = {}
        self.calls: dict[tuple[str, str, str], _Times] = {}

    def collect(self) -> Iterator[Metric]:
        """The families, as they are now."""
        payments = CounterMetricFamily(
            "posgate_payments_total",
            "Moves of payments by the state they reached",
            labels=("door", "channel", "status"),
        )
        for names, count in self.payments.items():
            payments.add_metric(names, count)
        requests = CounterMetricFamily(
            "posgate_requests_total", "Requests by door and answer code", labels=("door", "code")
        )
        for pair, count in self.requests.items():
            requests.add_metric(pair, count)
        calls = HistogramMetricFamily(
            "posgate_channel_call_seconds",
            "Calls to channels by verdict",
            labels=("channel", "operation", "verdict"),
        )
        for names, times in self.calls.items():
            calls.add_metric(names, buckets=times.buckets(), sum_value=times.sum_s)
        yield from (payments, requests, calls)


class Metrics:
    """The product's counters, gauges and histograms in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._hot = _HotPath()
        self.registry.register(self._hot)
        self.recovered = Counter(
            "posgate_recovered_total", "Payments that recovery took over", registry=self.registry
        )
        self.parked = Counter(
            "posgate_parked_total", "Payments parked for a human", registry=self.registry
        )
        self.notices = Counter(
            "posgate_notices_total",
            "Attempts to notify merchants, by what became of them",
            ("result",),
            registry=self.registry,
        )
        self._over_limit = Counter(
            "posgate_over_limit_total",
            "Payments that a merchant's limits stopped, by rule",
            ("rule",),
            registry=self.registry,
        )
        self._late = Counter(
            "posgate_late_answers_total",
            "Answers that nobody waited for any more, by what became of them",
            ("account", "result"),
            registry=self.registry,
        )
        self._inbound = Counter(
            "posgate_inbound_total",
            "Notifications from channels, by what became of them",
            ("channel", "result"),
            registry=self.registry,
        )
        self._unlisted = Counter(
            "posgate_unlisted_codes_total",
            "Answers whose code no table knows, by account",
            ("account",),
            registry=self.registry,
        )
        self._breaker = Gauge(
            "posgate_breaker_state",
            "Breakers by account: 0 closed, 1 half open, 2 open",
            ("account",),
            registry=self.registry,
        )
        self._breaker_turns = Counter(
            "posgate_breaker_turns_total",
            "Turns of breakers by account and the state they came to",
            ("account", "state"),
            registry=self.registry,
        )
        self.refused_connections = Counter(
            "posgate_refused_connections_total",
            "POS connections over the bound",
            registry=self.registry,
        )
        self.failed_handshakes = Counter(
            "posgate_failed_handshakes_total",
            "TLS handshakes at the POS ports that came to nothing",
            registry=self.registry,
        )
        self.bad_frames = Counter(
            "posgate_bad_frames_total", "POS connections closed for a frame", registry=self.registry
        )

    def breaker_turned(self, account_id: str, state: str) -> None:
        """Show where an account's breaker stands, and count that it came there."""
        self._breaker.labels(account_id).set(_BREAKER_STATES.index(state))
        self._breaker_turns.labels(account_id, state).inc()

    def over_limit(self, rule: str) -> None:
        """Count a payment that a merchant's limits stopped."""
        self._over_limit.labels(rule).inc()

    def late_answer(self, account_id: str, result: str) -> None:
        """Count an answer that nobody waited for, by what became of it."""
        self._late.labels(account_id, result).inc()

    def inbound(self, channel: str, result: str) -> None:
        """Count a notification from a channel."""
        self._inbound.labels(channel, result).inc()

    def unlisted(self, account_id: str) -> None:
        """Count an answer whose code no table knows."""
        self._unlisted.labels(account_id).inc()

    def payment(self, door: str, channel: str, status: str) -> None:
        """Count a payment that reached ``status``."""
        payments, key = self._hot.payments, (door, channel, status)
        payments[key] = payments.get(key, 0) + 1

    def call(self, channel: str, operation: str, verdict: str, seconds: float) -> None:
        """Time a call to a channel."""
        key = (channel, operation, verdict)
        times = self._hot.calls.get(key)
        if times is None:
            times = self._hot.calls[key] = _Times()
        times.counts[bisect_left(_SECONDS, seconds)] += 1
        times.sum_s += seconds

    def request(self, door: str, code: str) -> None:
        """Count an answer; ``code`` is an F39 or an HTTP status."""
        requests, key = self._hot.requests, (door, code)
        count = requests.get(key)
        if count is None:
            key = key if len(requests) < _MOST_CODES else (door, _OTHER)
            count = requests.get(key, 0)
        requests[key] = count + 1

    def watch(self, name: str, text: str, read: Callable[[], int]) -> None:
        """A gauge that is read when somebody looks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

"""What ``/metrics`` shows stays bounded, whoever answers."""

from gateway.metrics import Metrics

_SIGNS = [chr(sign) for sign in range(33, 127) if chr(sign) not in '\\"']


def _requests(metrics: Metrics) -> dict[str, float]:
    """The series of requests, each with its count."""
    lines = metrics.exposition().decode().splitlines()
    series = [line for line in lines if line.startswith("posgate_requests_total{")]
    return {name: float(count) for name, _, count in (line.rpartition(" ") for line in series)}


def test_a_card_host_that_invents_codes_makes_no_series_without_end() -> None:
    """Its own F39 goes through to the terminal, and into a label: what is too many is ``other``."""
    metrics = Metrics()
    metrics.request("pos", "00")
    invented = [first + second for first in _SIGNS for second in _SIGNS]
    for code in invented:
        metrics.request("pos", code)
    metrics.request("api", "201")
    metrics.request("pos", "00")
    series = _requests(metrics)
    assert len(series) <= 258
    assert sum(series.values()) == len(invented) + 3
    assert series['posgate_requests_total{code="00",door="pos"}'] == 3
    assert series['posgate_requests_total{code="other",door="pos"}'] > 8000
    assert series['posgate_requests_total{code="other",door="api"}'] == 1

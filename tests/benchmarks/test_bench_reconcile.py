"""The metric ``reconcile`` on a small day: what its night finds is what was planted."""

from pathlib import Path

from benchmarks.reconcile import _night


def test_a_small_night_of_the_metric_finds_what_was_planted(tmp_path: Path) -> None:
    notes: list[str] = []
    found = _night(tmp_path / "day", 6_000, notes)
    assert notes == []
    assert found["kinds"] == dict.fromkeys(
        ("amount", "fee", "status", "duplicate", "missing_here", "missing_there"), 1
    )
    assert min(found["seconds"], found["cpu_s"], found["peak_mb"]) > 0

"""The benchmarks run from end to end; what they measure is not judged here."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The benchmarks' program, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def measured(folder: Path, metric: str, *options: str) -> Any:
    """What a tiny run of one metric writes."""
    output = folder / "bench.json"
    run = bench("--only", metric, "--seconds", "0.5", *options, "--output", str(output))
    assert run.returncode == 0, run.stdout + run.stderr
    return orjson.loads(output.read_bytes())


@pytest.mark.slow
def test_card_sale_writes_every_figure_and_no_error(tmp_path: Path) -> None:
    """A tiny run gives the contract's figures, and callers, books and channels agree."""
    options = ("--warm", "0.3", "--windows", "1", "--callers", "8")
    results = measured(tmp_path, "card_sale", *options)
    figures = results["metrics"]["card_sale"]
    assert figures["errors"] == 0
    for name in (
        "payments_per_s",
        "p50_ms",
        "p99_ms",
        "gateway_cpu_us_per_payment",
        "floor_payments_per_s",
        "ratio_to_floor",
    ):
        assert figures[name] > 0, name
    assert results["machine"]["fsync"] == "on"
    assert results["machine"]["synchronous_commit"] == "on"


@pytest.mark.slow
def test_mixed_has_both_floors_beside_it_and_no_error(tmp_path: Path) -> None:
    """Both doors and both floors at once; each floor's charges are compared with its own table."""
    options = ("--warm", "0.3", "--windows", "1", "--callers", "8")
    figures = measured(tmp_path, "mixed", *options)["metrics"]["mixed"]
    assert figures["errors"] == 0
    for name in ("card", "barcode", "floor_card", "floor_barcode"):
        assert figures[f"{name}_per_s"] > 0, name
        assert figures[f"{name}_p99_ms"] > 0, name


@pytest.mark.slow
def test_repeats_writes_every_figure_and_no_error(tmp_path: Path) -> None:
    """Every repeat is answered as its payment was, and none is charged again."""
    options = ("--warm", "0.3", "--windows", "1", "--callers", "8")
    figures = measured(tmp_path, "repeats", *options)["metrics"]["repeats"]
    assert figures["errors"] == 0
    for name in ("repeats_per_s", "p50_ratio", "alone_p50_ms", "beside_p50_ms"):
        assert figures[name] > 0, name


@pytest.mark.slow
def test_terminals_writes_every_figure_and_no_error(tmp_path: Path) -> None:
    """A hundred of them come twice; each has sound keys, and the neighbour sells."""
    options = ("--warm", "0.3", "--windows", "2", "--terminals", "100")
    figures = measured(tmp_path, "terminals", *options)["metrics"]["terminals"]
    assert (figures["connected"], figures["errors"]) == (100, 0)
    assert figures["rss_added_mb"] < 50
    for name in ("sign_in_all_s", "p99_ratio", "alone_p99_ms"):
        assert figures[name] > 0, name


@pytest.mark.slow
def test_checkout_writes_every_figure_and_no_error(tmp_path: Path) -> None:
    """Pages are rendered and payers walk to their orders; every one is judged."""
    options = ("--warm", "0.2", "--windows", "1")
    figures = measured(tmp_path, "checkout", *options)["metrics"]["checkout"]
    assert figures["errors"] == 0
    for name in ("renders_per_s", "p99_ms", "p99_at_300_ms", "scan_to_order_p99_ms"):
        assert figures[name] > 0, name


def test_an_unknown_metric_is_named(tmp_path: Path) -> None:
    """A misspelt ``--only`` measures nothing and says what there is."""
    run = bench("--only", "card_sail")
    assert run.returncode == 2
    assert "card_sail" in run.stderr
    assert "barcode_payment" in run.stderr


def test_a_result_file_becomes_a_markdown_table(tmp_path: Path) -> None:
    """``--table`` prints a row per figure and measures nothing."""
    results = {"machine": {"cores": 2}, "metrics": {"mixed": {"card_per_s": 2315.0, "errors": 0}}}
    file = tmp_path / "bench.json"
    file.write_bytes(orjson.dumps(results))
    run = bench("--table", str(file))
    assert run.returncode == 0
    assert "| mixed | card_per_s | 2,315 |" in run.stdout
    assert "cores 2" in run.stdout

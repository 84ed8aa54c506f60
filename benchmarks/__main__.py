"""``python -m benchmarks``: run metrics, write ``bench.json``, show a table.

Exit status 0 only if every metric ran without an error.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.machine import describe
from benchmarks.payment_metrics import METRICS, ON_REQUEST, Figures
from benchmarks.postgres import PostgresServer
from benchmarks.processes import BenchmarkError
from benchmarks.report import markdown, show
from benchmarks.windows import Plan
from domain.errors import PosgateError

_DEFAULT: Final = Plan()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the gateway; example: python -m benchmarks --only card_sale",
    )
    parser.add_argument("--only", default="", help=f"some of {','.join(METRICS)}")
    parser.add_argument("--seconds", type=float, default=_DEFAULT.seconds, help="of each window")
    parser.add_argument("--windows", type=int, default=_DEFAULT.windows, help="of each load")
    parser.add_argument("--warm", type=float, default=_DEFAULT.warm_s, help="seconds before each")
    parser.add_argument("--callers", type=int, default=_DEFAULT.callers, help="at each door")
    parser.add_argument(
        "--outage-payments", type=int, default=_DEFAULT.outage_payments, help="in flight then"
    )
    parser.add_argument(
        "--outage-seconds", type=float, default=_DEFAULT.outage_s, help="how long it stands"
    )
    parser.add_argument(
        "--terminals", type=int, default=_DEFAULT.terminals, help="connected in that metric"
    )
    parser.add_argument(
        "--streams", type=int, default=_DEFAULT.streams, help="open in the metric events"
    )
    parser.add_argument(
        "--reconcile-lines", type=int, default=_DEFAULT.reconcile_lines, help="in that metric"
    )
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="where to write")
    parser.add_argument(
        "--table", type=Path, help="print a result file as a Markdown table, measure nothing"
    )
    arguments = parser.parse_args()
    always = [name for name in METRICS if name not in ON_REQUEST]
    arguments.names = [name for name in arguments.only.split(",") if name] or always
    unknown = set(arguments.names) - METRICS.keys()
    if unknown:
        parser.error(
            f"no such metric: {', '.join(sorted(unknown))}; there are {', '.join(METRICS)}"
        )
    return arguments


async def _measure(names: list[str], plan: Plan) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    metrics: dict[str, Figures] = {}
    with PostgresServer() as postgres:
        machine = await describe(postgres)
        for name in names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            metrics[name] = await METRICS[name](postgres, plan, notes)
    return {"machine": machine, "metrics": metrics}, notes


def main() -> int:
    """Run; the exit status."""
    arguments = _arguments()
    if arguments.table is not None:
        print(markdown(orjson.loads(arguments.table.read_bytes())))
        return 0
    plan = Plan(
        seconds=arguments.seconds,
        windows=arguments.windows,
        warm_s=arguments.warm,
        callers=arguments.callers,
        reconcile_lines=arguments.reconcile_lines,
        outage_payments=arguments.outage_payments,
        outage_s=arguments.outage_seconds,
        terminals=arguments.terminals,
        streams=arguments.streams,
    )
    try:
        results, notes = asyncio.run(_measure(arguments.names, plan))
    except (BenchmarkError, PosgateError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    arguments.output.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    show(results)
    for note in notes:
        print(f"! {note}")
    print(f"written to {arguments.output}")
    failed = notes or any(figures["errors"] for figures in results["metrics"].values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

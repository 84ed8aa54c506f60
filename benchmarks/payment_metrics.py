"""The metrics of taking payments: each one a scene, its loads, and what is told.

Names and figures are those of the outer contract; figures beyond it say where the CPU
of a payment goes, and how far the windows lay apart.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from benchmarks.bills import bills
from benchmarks.card_link import card_link
from benchmarks.checkout import checkout
from benchmarks.codec import codec
from benchmarks.events import events
from benchmarks.outage import outage
from benchmarks.postgres import PostgresServer
from benchmarks.reconcile import reconcile
from benchmarks.repeats import repeats
from benchmarks.scene import Door, Scene
from benchmarks.signing import signing
from benchmarks.terminals import terminals
from benchmarks.windows import Load, Plan, Series, run_window

CARD_RATE: Final = 2_315.0
"""20 million payments a day with a tenfold peak, per second."""
BARCODE_RATE: Final = 1_000.0

Figures = dict[str, float]
Notes = list[str]
Metric = Callable[[PostgresServer, Plan, Notes], Awaitable[Figures]]


async def card_sale(postgres: PostgresServer, plan: Plan, notes: Notes) -> Figures:
    """Card sales over TCP at saturation, the floor beside them."""
    return await _saturated(postgres, plan, notes, "card")


async def barcode_payment(postgres: PostgresServer, plan: Plan, notes: Notes) -> Figures:
    """Payments by scanned code over HTTPS at saturation, the floor beside them."""
    return await _saturated(postgres, plan, notes, "barcode")


async def _beside_floor(
    postgres: PostgresServer, plan: Plan, notes: Notes, door: Door, rate: float = 0.0
) -> tuple[Series, Series, int]:
    """The windows of a door, those of its floor between them, and the errors of both.

    ``rate`` is payments per second, 0 for saturation.
    """
    ours, floors = Series(), Series()
    name = f"{door}_{'fixed' if rate else 'saturated'}"
    async with Scene(postgres, name, plan.callers) as scene:
        gateway = Load(await scene.gateway_side(door), rate)
        floor = Load(await scene.floor_side(door), rate)
        for _ in range(plan.windows):
            await run_window(scene, [(floor, floors)], plan)
            await run_window(scene, [(gateway, ours)], plan)
        errors = ours.errors + floors.errors + await _books(scene, notes)
    _note(notes, ours, floors)
    return ours, floors, errors


async def _saturated(postgres: PostgresServer, plan: Plan, notes: Notes, door: Door) -> Figures:
    ours, floors, errors = await _beside_floor(postgres, plan, notes, door)
    low, high = ours.span("payments_per_s")
    floor_per_s = floors.median("payments_per_s")
    return {
        "payments_per_s": ours.median("payments_per_s"),
        "p50_ms": ours.median("p50_ms"),
        "p99_ms": ours.median("p99_ms"),
        "gateway_cpu_us_per_payment": ours.median("cpu_us"),
        "floor_payments_per_s": floor_per_s,
        "ratio_to_floor": round(ours.median("payments_per_s") / max(1.0, floor_per_s), 3),
        "errors": errors,
        "payments_per_s_lowest": low,
        "payments_per_s_highest": high,
        "floor_p50_ms": floors.median("p50_ms"),
        "floor_p99_ms": floors.median("p99_ms"),
        "floor_cpu_us_per_payment": floors.median("cpu_us"),
        "sandbox_cpu_us_per_payment": ours.median("sandbox_cpu_us"),
        "postgres_cpu_us_per_payment": ours.median("postgres_cpu_us"),
        "floor_postgres_cpu_us_per_payment": floors.median("postgres_cpu_us"),
        "load_cpu_us_per_payment": ours.median("load_cpu_us"),
        "foreign_cpu_percent": ours.median("foreign_cpu_percent"),
        "floor_foreign_cpu_percent": floors.median("foreign_cpu_percent"),
    }


async def card_sale_fixed(postgres: PostgresServer, plan: Plan, notes: Notes) -> Figures:
    """Card sales at the rate of the target, open loop; the floor at the same rate beside them."""
    ours, floors, errors = await _beside_floor(postgres, plan, notes, "card", CARD_RATE)
    return {
        "payments_per_s": ours.median("payments_per_s"),
        "p50_ms": ours.median("p50_ms"),
        "p99_ms": ours.median("p99_ms"),
        "errors": errors,
        "p99_ms_highest": ours.span("p99_ms")[1],
        "gateway_cpu_us_per_payment": ours.median("cpu_us"),
        "floor_p50_ms": floors.median("p50_ms"),
        "floor_p99_ms": floors.median("p99_ms"),
        "floor_p99_ms_highest": floors.span("p99_ms")[1],
        "floor_cpu_us_per_payment": floors.median("cpu_us"),
        "foreign_cpu_percent": ours.median("foreign_cpu_percent"),
    }


async def mixed(postgres: PostgresServer, plan: Plan, notes: Notes) -> Figures:
    """Card sales and payments by scanned code at once, each at its target's rate.

    Both floors at once, at the same rates, stand beside them: two processes where the gateway
    is one.
    """
    cards, barcodes, floor_cards, floor_barcodes = Series(), Series(), Series(), Series()
    async with Scene(postgres, "mixed", plan.callers) as scene:
        card = Load(await scene.gateway_side("card"), CARD_RATE)
        barcode = Load(await scene.gateway_side("barcode"), BARCODE_RATE)
        floor_card = Load(await scene.floor_side("card"), CARD_RATE)
        floor_barcode = Load(await scene.floor_side("barcode"), BARCODE_RATE)
        floors = [(floor_card, floor_cards), (floor_barcode, floor_barcodes)]
        for _ in range(plan.windows):
            await run_window(scene, floors, plan)
            await run_window(scene, [(card, cards), (barcode, barcodes)], plan)
        all_series = (cards, barcodes, floor_cards, floor_barcodes)
        errors = sum(series.errors for series in all_series) + await _books(scene, notes)
    _note(notes, *all_series)
    return {
        "card_per_s": cards.median("payments_per_s"),
        "barcode_per_s": barcodes.median("payments_per_s"),
        "card_p99_ms": cards.median("p99_ms"),
        "barcode_p99_ms": barcodes.median("p99_ms"),
        "errors": errors,
        "card_p50_ms": cards.median("p50_ms"),
        "barcode_p50_ms": barcodes.median("p50_ms"),
        "floor_card_per_s": floor_cards.median("payments_per_s"),
        "floor_barcode_per_s": floor_barcodes.median("payments_per_s"),
        "floor_card_p99_ms": floor_cards.median("p99_ms"),
        "floor_barcode_p99_ms": floor_barcodes.median("p99_ms"),
        "foreign_cpu_percent": cards.median("foreign_cpu_percent"),
    }


async def _books(scene: Scene, notes: Notes) -> int:
    found = await scene.disagreements()
    notes += [f"{what}: {count}" for what, count in found.items()]
    return sum(found.values())


def _note(notes: Notes, *all_series: Series) -> None:
    for series in all_series:
        notes += [f"answer refused: {why} ({count} ×)" for why, count in series.reasons.items()]


ON_REQUEST: Final = frozenset({"outage"})
"""Takes a quarter of an hour: measured only where it is named."""
METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "card_sale": card_sale,
        "codec": codec,
        "barcode_payment": barcode_payment,
        "card_sale_fixed": card_sale_fixed,
        "mixed": mixed,
        "repeats": repeats,
        "terminals": terminals,
        "signing": signing,
        "bills": bills,
        "card_link": card_link,
        "events": events,
        "checkout": checkout,
        "reconcile": reconcile,
        "outage": outage,
    }
)

"""Late answers and silent hosts on real sockets; every point of a sale on virtual time is in
``test_card_line_points.py``."""

import asyncio
from types import SimpleNamespace

import orjson
import pytest
from typer.testing import CliRunner, Result

from domain.clock import beijing
from domain.payment import Status
from gateway.cli.main import application
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.house import Plan, until

CARD = CARDS[Scenario.APPROVED]
Rule = dict[str, object]
SHORT_S = "0.4"
"""What the gateway waits for the host."""


def once(kind: str, match: str, stage: str = "after", **more: object) -> Rule:
    return {"kind": kind, "match": match, "stage": stage, "limit": 1, **more}


async def test_an_approval_after_its_reversal_was_answered_changes_nothing(
    open_shop: OpenHouse,
) -> None:
    """The reversal gave the money back; then the approval comes: counted, told, not booked."""
    async with open_shop(Plan(card_timeout_s=SHORT_S)) as house:
        till = await house.signed_in()
        await house.faults("unionpay_card", once("delay", "0200", delay_ms=1500))
        sale = till.card_sale(CARD.pan, CARD.pin)
        assert (await till.ask("0200", sale))["39"] == "98"
        assert await house.ended(till, sale["11"]) == "reversed"
        await until(lambda: bool(house.events("late answer")))
        [line] = house.events("late answer")
        assert (line["outcome"], line["verdict"]) == ("known", "succeeded")
        assert await house.ended(till, sale["11"]) == "reversed"
        assert await house.charged_and_returned() == ([1990], [1990])
        shown = house.gateway.metrics.exposition().decode()
        assert 'posgate_late_answers_total{account="card-1",result="known"} 1.0' in shown
        assert 'event="late",line="1"} 1.0' in shown


async def test_an_approval_between_two_reversals_is_kept_as_proof(open_shop: OpenHouse) -> None:
    """The first reversal is lost, the approval comes late, the second one gives it back."""
    async with open_shop(Plan(card_timeout_s=SHORT_S)) as house:
        till = await house.signed_in()
        await house.faults(
            "unionpay_card",
            once("delay", "0200", delay_ms=600),
            {"kind": "drop", "match": "0400", "stage": "before", "limit": 2},
        )
        sale = till.card_sale(CARD.pan, CARD.pin)
        assert (await till.ask("0200", sale))["39"] == "98"
        await until(lambda: bool(house.events("late answer")))
        payment = await house.payment(till, sale["11"])
        assert payment is not None
        assert payment.standing.status is Status.REVERSING
        assert payment.standing.paid_at_ms > 0
        assert house.events("late answer")[0]["outcome"] == "booked"
        assert await house.ended(till, sale["11"]) == "reversed"
        assert await house.charged_and_returned() == ([1990], [1990])


async def test_no_line_is_91_at_once_and_within_five_seconds_for_a_silent_one(
    open_shop: OpenHouse,
) -> None:
    """A host that answers nothing any more, not even an echo; then it is back."""
    async with open_shop(Plan(card_timeout_s="8", till_wait_s=30.0)) as house:
        till = await house.signed_in()
        other = await house.signed_in("99100002")
        await house.faults("unionpay_card", {"kind": "drop", "stage": "before"})
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        lost = till.card_sale(CARD.pan, CARD.pin)
        asking = asyncio.create_task(till.ask("0200", lost))
        await until(lambda: not house.card_link_is_up(), within_s=5)
        assert loop.time() - began_s < 5
        asked_s = loop.time()
        assert (await other.ask("0200", other.card_sale(CARD.pan, CARD.pin)))["39"] == "91"
        assert loop.time() - asked_s < 0.5
        assert (await asking)["39"] == "98"
        await house.faults("unionpay_card")
        assert await house.ended(till, lost["11"]) == "closed"
        await until(house.card_link_is_up)
        assert (await other.ask("0200", other.card_sale(CARD.pan, CARD.pin)))["39"] == "00"


async def test_a_day_is_settled_from_the_command_line(
    open_shop: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a gateway that goes on selling: no sign-on takes its keys."""
    async with open_shop(Plan(card_timeout_s="5")) as house:
        till = await house.signed_in()
        assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
        day = f"{beijing(house.clock.now_ms()):%Y-%m-%d}"
        config = str(house.folder / "config.yaml")
        a_day_later = SimpleNamespace(now_ms=lambda: house.clock.now_ms() + 86_400_000)
        monkeypatch.setattr("gateway.cli.days.SystemClock", lambda: a_day_later)

        def settle() -> Result:
            line = ["account", "settle", "card-1", "--day", day, "--json", "-c", config]
            return CliRunner().invoke(application(), line, catch_exceptions=False)

        result = await asyncio.to_thread(settle)
        [row] = orjson.loads(result.stdout)
        assert (result.exit_code, row["outcome"]) == (0, "equal")
        assert (row["debit_fen"], row["host_debit_fen"], row["host_debit_count"]) == (1990, 1990, 1)
        assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
        [line] = house.gateway.core.payments._routes.own_lines()
        assert line[1].line_statistics()[0]["sign_ons"] == 1

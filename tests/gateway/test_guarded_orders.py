"""What the breaker and the count of unlisted codes hear of orders that payers complete."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from channels.payer_orders import OrderAnswer, OrderRequest, PayerAnswer
from channels.port import Verdict
from gateway import breaker as breaker_module
from gateway.guard import Guard, Protection
from gateway.guarded_orders import GuardedCodes, GuardedPages
from gateway.metrics import Metrics
from gateway.sources import SystemClock
from tests.channels.test_alipay_orders import ORDER

STANDS = OrderAnswer(verdict=Verdict.SUCCEEDED, code="wallet://code")
UNWRITABLE = OrderAnswer(verdict=Verdict.NOT_SENT, unwritable=True)
UNSENT = OrderAnswer(verdict=Verdict.NOT_SENT)
UNLISTED = OrderAnswer(
    verdict=Verdict.UNKNOWN, channel_code="ACQ.NEW", answered=True, unlisted=True
)


class Wallet:
    """A channel's further abilities that say what they are told."""

    def __init__(self, order: OrderAnswer, payer: PayerAnswer | None = None) -> None:
        self.order = order
        self.payer = payer or PayerAnswer(verdict=Verdict.SUCCEEDED, payer_id="ann")

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        return self.order

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        return self.order

    def authorise_url(self, return_url: str, state: str) -> str:
        return return_url

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        return self.payer


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Failures in a row need not take a second before a breaker opens."""
    monkeypatch.setattr(breaker_module, "_ROW_S", 0.0)
    yield


@pytest.fixture
def guard() -> Guard:
    """Two failures open it, for ever."""
    protection = Protection(
        failures=2, open_s=1e9, clock=SystemClock(), metrics=Metrics(), log=structlog.get_logger()
    )
    return protection.guard("a1", None)


def counted(guard: Guard) -> str:
    """The figure of ``/metrics`` for codes that no table knows."""
    shown = guard._metrics.exposition().decode()
    named = 'posgate_unlisted_codes_total{account="a1"} '
    return next(line.removeprefix(named) for line in shown.splitlines() if line.startswith(named))


async def test_orders_that_could_not_be_written_say_nothing_of_the_channel(guard: Guard) -> None:
    """One till that asks for nonsense must not close the wallet to all others."""
    wallet = Wallet(UNWRITABLE)
    codes, pages = GuardedCodes(wallet, guard), GuardedPages(wallet, guard)
    for _ in range(9):
        assert (await codes.create_code(ORDER)).unwritable
        assert (await pages.create_page_order(ORDER)).unwritable
    assert not guard.is_down()
    wallet.order = UNSENT
    for _ in range(2):
        await codes.create_code(ORDER)
    assert guard.is_down()


async def test_nor_do_they_say_that_a_channel_which_was_away_is_back(guard: Guard) -> None:
    """They are no answer: a wallet that is away stays closed, its failures in a row count on."""
    wallet = Wallet(UNSENT)
    codes = GuardedCodes(wallet, guard)
    for order in (UNSENT, UNWRITABLE, UNSENT):
        wallet.order = order
        await codes.create_code(ORDER)
    assert guard.is_down()
    wallet.order = UNWRITABLE
    await codes.create_code(ORDER)
    assert guard.is_down()
    wallet.order = STANDS
    await codes.create_code(ORDER)
    assert not guard.is_down()


async def test_a_code_that_no_table_knows_is_counted_of_an_order_too(guard: Guard) -> None:
    await GuardedCodes(Wallet(UNLISTED), guard).create_code(ORDER)
    await GuardedPages(Wallet(UNLISTED), guard).create_page_order(ORDER)
    await GuardedCodes(Wallet(STANDS), guard).create_code(ORDER)
    assert counted(guard) == "2.0"


async def test_and_of_who_the_payer_is(guard: Guard) -> None:
    """Without a word to the breaker: no money hangs on it."""
    payer = PayerAnswer(verdict=Verdict.UNKNOWN, channel_code="isv.new", unlisted=True)
    pages = GuardedPages(Wallet(STANDS, payer), guard)
    for _ in range(3):
        assert await pages.payer_of("x") == payer
    assert counted(guard) == "3.0"
    assert not guard.is_down()
    pages = GuardedPages(Wallet(STANDS, replace(payer, unlisted=False)), guard)
    await pages.payer_of("x")
    assert counted(guard) == "3.0"

"""``kill -9`` at each commit and each channel call: the order ends as the channel is.

Each test lets a gateway die at every point of a payment in turn, starts another on the
same database and ports, and asks everybody: the terminal or the cashier by an identical
repeat, the channel by ``/charges``, the ledger by its sums.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.http import HttpClient
from domain.errors import PosgateError
from domain.payment import FINAL
from gateway.cli.demo_doors import MerchantClient
from gateway.cli.installation import MERCHANT_NO, InstalledKey
from gateway.sources import RandomIds
from sandbox.scenarios import ALIPAY_CODES, CARDS, WECHAT_CODES, Scenario
from tests.gateway.crash.mortals import Mortal, Mortals, kept_port
from tests.gateway.pos.foreign_terminal import ForeignTerminal, Reply
from tests.gateway.pos.house import House, Plan
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AHEAD_S = 20
"""Further than any lease, nearer than the till's deadline."""
FINAL_WITHIN_S = 20
AT_ONCE = 6
SILENT_S, PROMPT_S = "0.5", "2"
"""A channel's patience in stories where it is silent, and where it answers however busy we are."""
NEVER = 0
MOST_POINTS = 60
DOWN = (ConnectionError, asyncio.IncompleteReadError)
AMOUNT_FEN = 1990


class Crash:
    """One life: a shop, a mortal gateway in it, and what was heard before it died."""

    def __init__(self, house: House, key: InstalledKey, mortals: Mortals) -> None:
        self.house, self.key, self.mortals = house, key, mortals

    async def resurrect(self) -> None:
        """The same database and ports, a clock by which the dead one's leases are due."""
        self.house.clock.ahead_s += AHEAD_S
        await self.house.start_gateway()

    async def finished(self, mortal: Mortal, door: str, order_key: str) -> None:
        """Wait until it dies, if it is to, or else until the payment is final and all is still."""
        if mortal.is_doomed:
            await mortal.dead()
            return
        async with self.house.session() as beside, asyncio.timeout(FINAL_WITHIN_S):
            while True:
                payment = await beside.store.payment_by_order(MERCHANT_NO, door, order_key)
                if payment is not None and payment.standing.status in FINAL:
                    break
                await asyncio.sleep(0.02)
            passed: list[str] = []
            while passed != mortal.points():
                passed = mortal.points()
                await asyncio.sleep(0.1)
        await mortal.kill()

    async def only_charge(self) -> None:
        """Nothing was charged twice, whatever else is true."""
        charged, returned = await self.house.charged_and_returned()
        assert len(charged) <= 1
        assert all(r in (0, c) for c, r in zip(charged, returned, strict=True))


Story = Callable[[Crash, Mortal], Awaitable[None]]


@asynccontextmanager
async def life(
    template: Path,
    folder: Path,
    mortals: Mortals,
    url: str = "",
    wallet: str = "alipay",
    channel_timeout_s: str = PROMPT_S,
) -> AsyncIterator[Crash]:
    folder.mkdir(parents=True)
    shutil.copytree(template, folder / "shop")
    with kept_port() as pos_port, kept_port() as http_port:
        plan = Plan(
            till_wait_s=60,
            alipay_timeout_s=channel_timeout_s,
            card_timeout_s=channel_timeout_s,
            pos={"port": pos_port},
            http={
                "port": http_port,
                "tls": {"certificate_file": "server.pem", "key_file": "server-key.pem"},
            },
            store_url=url,
            wallets=(wallet,),
        )
        house = House(folder / "shop", plan)
        try:
            key = await house.prepare()
            yield Crash(house, key, mortals)
        finally:
            await house.close()


async def die_everywhere(
    story: Story,
    template: Path,
    folder: Path,
    mortals: Mortals,
    *,
    points: list[int] | None = None,
    url_of: Callable[[], str] = lambda: "",
    wallet: str = "alipay",
    channel_timeout_s: str = PROMPT_S,
) -> list[str]:
    """Tell ``story`` once to the end to count the points, then once for each point."""

    async def once(die_at: int) -> list[str]:
        place = folder / f"{die_at:03d}"
        async with life(template, place, mortals, url_of(), wallet, channel_timeout_s) as crash:
            mortal = await mortals.born(crash.house.folder, die_at=die_at)
            try:
                await story(crash, mortal)
            except BaseException as error:
                error.add_note(f"died at point {die_at} of {mortal.points()}")
                raise
            finally:
                await mortal.kill()
            return mortal.points()

    names = await once(NEVER)
    assert 4 <= len(names) <= MOST_POINTS
    room = asyncio.Semaphore(AT_ONCE)

    async def bounded(die_at: int) -> None:
        async with room:
            passed = await once(die_at)
            assert len(passed) == die_at

    chosen = points if points is not None else range(1, len(names) + 1)
    async with asyncio.TaskGroup() as group:
        for die_at in chosen:
            group.create_task(bounded(die_at))
    return names


async def ask_unless_it_dies(till: ForeignTerminal, frame: bytes, mortal: Mortal) -> Reply | None:
    """The reply, or ``None`` when the gateway died instead."""
    try:
        return await till.ask_raw(frame)
    except DOWN:
        await mortal.dead()
        till.hang_up()
        return None


def at_the_till(method: str, scenario: Scenario, *, reverse: bool = False) -> Story:
    """A sale over TCP by ``card`` or ``code``, perhaps reversed; then its repeat."""

    async def story(crash: Crash, mortal: Mortal) -> None:
        house = crash.house
        till = await house.signed_in()
        if method == "card":
            fields = till.card_sale(CARDS[scenario].pan, CARDS[scenario].pin)
        else:
            fields = till.scan_sale(ALIPAY_CODES[scenario])
        sale = till.pack("0200", fields)
        heard = await ask_unless_it_dies(till, sale, mortal)
        undo, undone = till.pack("0400", till.reversal(fields)), None
        if reverse and heard is not None:
            undone = await ask_unless_it_dies(till, undo, mortal)
        key = f"{till.who.terminal_id}-{till.batch}-{fields['11']}"
        await crash.finished(mortal, "pos", key)
        till.hang_up()
        await crash.resurrect()
        if reverse:
            repeated = await till.ask_raw(undo)
            assert repeated["39"] == "00"
            assert undone is None or repeated.raw == undone.raw
            await _the_reversal_holds(crash, till, fields["11"])
            return
        repeated = await till.ask_raw(sale)
        assert heard is None or repeated.raw == heard.raw
        status = await house.ended(till, fields["11"])
        assert (repeated["39"] == "00") == (status == "succeeded")
        assert (await till.ask_raw(sale)).raw == repeated.raw
        await crash.only_charge()

    return story


async def _the_reversal_holds(crash: Crash, till: ForeignTerminal, trace: str) -> None:
    """Nobody is charged once the reversal was answered, whether or not the sale had come."""
    status = await crash.house.ended(till, trace)
    assert status in ("reversed", "closed", "failed")
    charged, returned = await crash.house.charged_and_returned()
    assert charged == returned
    await crash.only_charge()


async def held_and_completed(crash: Crash, mortal: Mortal) -> None:
    """A hold and its completion; then their repeats, and a new completion if need be."""
    house, card = crash.house, CARDS[Scenario.APPROVED]
    till = await house.signed_in()
    special = {"3": "030000", "25": "06", "60": f"10{till.batch}00020"}
    fields = till.card_sale(card.pan, card.pin, changes=special)
    hold = till.pack("0100", fields)

    def completion(auth_code: str) -> tuple[str, bytes]:
        special = {"25": "06", "38": auth_code, "60": f"20{till.batch}00020"}
        special["61"] = till.batch + fields["11"]
        asked = till.card_sale(card.pan, changes=special)
        return asked["11"], till.pack("0200", asked)

    held = await ask_unless_it_dies(till, hold, mortal)
    trace, asked, heard = "", b"", None
    if held is not None:
        trace, asked = completion(held["38"])
        heard = await ask_unless_it_dies(till, asked, mortal)
    await crash.finished(mortal, "pos", f"{till.who.terminal_id}-{till.batch}-{trace}")
    till.hang_up()
    await crash.resurrect()
    repeated = await till.ask_raw(hold)
    assert held is None or repeated.raw == held.raw
    if repeated["39"] != "00":
        assert await house.ended(till, fields["11"]) in ("closed", "failed")
        assert await house.charged_and_returned() == ([], [])
        return
    if not trace:
        trace, asked = completion(repeated["38"])
    done = await till.ask_raw(asked)
    assert heard is None or done.raw == heard.raw
    status = await house.ended(till, trace)
    assert (done["39"] == "00") == (status == "succeeded")
    if status != "succeeded":
        assert (await till.ask_raw(completion(repeated["38"])[1]))["39"] == "00"
    charged, returned = await house.charged_and_returned()
    assert sum(charged) - sum(returned) == AMOUNT_FEN


def at_the_cash_register(code: str) -> Story:
    """A payment over HTTPS by scanned code; then the identical request again."""

    async def story(crash: Crash, mortal: Mortal) -> None:
        house = crash.house
        address = f"https://127.0.0.1:{house.plan.http['port']}"
        http = HttpClient(ca_file=str(house.folder / "ca.pem"))
        await http.start()
        try:
            merchant = MerchantClient(http, address, crash.key, RandomIds())
            seen = await _pay_unless_it_dies(merchant, code, mortal)
            await crash.finished(mortal, "api", "bill-1")
            await crash.resurrect()
            again = await merchant.pay("bill-1", code, AMOUNT_FEN)
            status = await merchant.final_status("bill-1")
        finally:
            await http.close()
        payment = await house.gateway.store.payment_by_order(MERCHANT_NO, "api", "bill-1")
        assert payment is not None and again["id"] == payment.order.id
        assert status == await house.settled(payment.order.id)
        if seen is not None:
            assert seen["id"] == payment.order.id
            assert seen["status"] != "succeeded" or status == "succeeded"
        await crash.only_charge()

    return story


async def _pay_unless_it_dies(
    merchant: MerchantClient, code: str, mortal: Mortal
) -> dict[str, object] | None:
    try:
        return await merchant.pay("bill-1", code, AMOUNT_FEN)
    except Exception as error:
        assert type(error).__name__ in ("AnswerLost", "NotSent") or isinstance(error, PosgateError)
        await mortal.dead()
        return None


STORIES = {
    "card": at_the_till("card", Scenario.APPROVED),
    "card declined": at_the_till("card", Scenario.INSUFFICIENT_FUNDS),
    "card, answer lost after the charge": at_the_till("card", Scenario.LOST_RESPONSE_CHARGED),
    "card, answer lost before it": at_the_till("card", Scenario.LOST_RESPONSE_NOT_CHARGED),
    "card and its reversal": at_the_till("card", Scenario.APPROVED, reverse=True),
    "card held and completed": held_and_completed,
    "code at the till": at_the_till("code", Scenario.APPROVED),
    "code, answer lost after the charge": at_the_till("code", Scenario.LOST_RESPONSE_CHARGED),
    "code and its reversal": at_the_till("code", Scenario.APPROVED, reverse=True),
    "code over HTTPS": at_the_cash_register(ALIPAY_CODES[Scenario.APPROVED]),
    "code over HTTPS, answer lost": at_the_cash_register(
        ALIPAY_CODES[Scenario.LOST_RESPONSE_CHARGED]
    ),
    "WeChat code over HTTPS": at_the_cash_register(WECHAT_CODES[Scenario.APPROVED]),
    "WeChat code over HTTPS, answer lost": at_the_cash_register(
        WECHAT_CODES[Scenario.LOST_RESPONSE_CHARGED]
    ),
}


@pytest.mark.parametrize("name", STORIES)
async def test_a_gateway_that_dies_at_every_point(
    crash_template: Path, tmp_path: Path, mortals: Mortals, name: str
) -> None:
    """On SQLite: at each commit, request, write and answer of the payment."""
    wallet = "wechat" if name.startswith("WeChat") else "alipay"
    channel_timeout_s = SILENT_S if "lost" in name else PROMPT_S
    names = await die_everywhere(
        STORIES[name],
        crash_template,
        tmp_path,
        mortals,
        wallet=wallet,
        channel_timeout_s=channel_timeout_s,
    )
    assert names[:2] == ["before claim", "after claim"]
    channel_call = "before write" if name.startswith("card") else "before request"
    assert channel_call in names


@pytest.mark.parametrize("name", ["card", "code over HTTPS"])
async def test_a_gateway_that_dies_on_postgresql(
    crash_template: Path,
    tmp_path: Path,
    mortals: Mortals,
    postgres_server: PostgresServer,
    name: str,
) -> None:
    """Around the commits and the channel call, with the server's own transactions."""
    points = [1, 2, 5, 7, 9] if name == "card" else [1, 2, 4, 5, 6]
    await die_everywhere(
        STORIES[name],
        crash_template,
        tmp_path,
        mortals,
        points=points,
        url_of=postgres_server.new_database,
    )


@pytest.mark.parametrize(
    ("method", "first_dies_at"), [("card", 5), ("code", 3), ("code", 4)], ids=str
)
async def test_a_recovery_that_dies_at_every_point(
    crash_template: Path, tmp_path: Path, mortals: Mortals, method: str, first_dies_at: int
) -> None:
    """The first gateway dies in the channel call, the second as it recovers, the third ends it.

    Card: once the 0200 is written. Code: just before the request, and just after its answer.
    """

    async def story(crash: Crash, second_dies_at: int) -> list[str]:
        house = crash.house
        first = await mortals.born(house.folder, die_at=first_dies_at)
        till = await house.signed_in()
        card, code = CARDS[Scenario.APPROVED], ALIPAY_CODES[Scenario.APPROVED]
        fields = till.card_sale(card.pan) if method == "card" else till.scan_sale(code)
        sale = till.pack("0200", fields)
        assert await ask_unless_it_dies(till, sale, first) is None
        assert first.points()[-1] in ("after write", "before request", "after request")
        second = await mortals.born(house.folder, die_at=second_dies_at, ahead_s=AHEAD_S)
        key = f"{till.who.terminal_id}-{till.batch}-{fields['11']}"
        await crash.finished(second, "pos", key)
        house.clock.ahead_s = AHEAD_S
        await crash.resurrect()
        repeated = await till.ask_raw(sale)
        status = await house.ended(till, fields["11"])
        assert (repeated["39"] == "00") == (status == "succeeded")
        await crash.only_charge()
        return second.points()

    async def once(second_dies_at: int) -> list[str]:
        folder = tmp_path / f"{second_dies_at:03d}"
        async with life(crash_template, folder, mortals) as crash:
            return await story(crash, second_dies_at)

    names = await once(NEVER)
    assert names[0] == "after lease"
    assert len(await asyncio.gather(*map(once, range(1, len(names) + 1)))) == len(names)

"""Several processes of one account at a host that makes new keys at each sign-on.

Time is the loop's; the host believes the newest keys alone, as some do.
"""

import asyncio
from typing import Any

from channels.port import Answer, ChannelAccount, Verdict
from channels.unionpay.card_adapter import CardChannel
from channels.unionpay.card_keys import LEASE_MS, SIGN_ON_EVERY_S
from channels.unionpay.card_line import LOOK_S, TICK_S
from channels.unionpay.plugin import CARD_PLUGIN
from pos_protocol.codec import MAC_BYTES, Message, encode_with_mac
from signing.pos import WorkingKeys
from tests.channels.card_hosts import FlakyHost, LoopClock, play
from tests.channels.rigs import (
    MASTER,
    MERCHANT,
    TERMINAL,
    CardRig,
    CountedIds,
    Sequences,
    answering,
    approve,
    services,
)
from tests.support.kept_keys import KeptInMemory

NOTICED_S = LOOK_S + 2 * TICK_S


class RotatingHost(FlakyHost):
    """New keys at every sign-on; a request under any others is A0."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self.answer = self._judged

    def handle(self, message: Any) -> bytes | None:
        if message.mti == "0800":
            self.working = WorkingKeys(
                bytes([self.sign_ons + 1] * 16), bytes([self.sign_ons + 101] * 8)
            )
        return super().handle(message)

    def _judged(self, message: Message) -> Message:
        fields = {number: value for number, value in message.fields.items() if number != 64}
        bare = Message(message.tpdu, message.header, message.mti, fields)
        if encode_with_mac(bare, self.mac)[-MAC_BYTES:] == message.data(64):
            return approve(message)
        self.refused += 1
        answer = answering("A0")(message)
        assert isinstance(answer, Message)
        return answer


class House:
    """One host, one store, and as many processes as a test starts."""

    def __init__(self) -> None:
        self.host = RotatingHost()
        self.kept = KeptInMemory()
        self.sequences = Sequences()
        self.ids = CountedIds()
        self._payer = CardRig()

    async def process(self, *, shared: str = "true", **changes: Any) -> CardChannel:
        account = ChannelAccount(
            account_id="card1",
            channel="unionpay_card",
            settings={
                "host": "host", "port": "1", "merchant_id": MERCHANT, "terminal_id": TERMINAL,
                "timeout_s": "5", "share_keys": shared,
            },
            secrets={"tmk": MASTER.hex().encode()},
        )  # fmt: skip
        parts = {
            "clock": LoopClock(), "connect": self.host.connect, "ids": self.ids,
            "take_sequence": self.sequences.take, "key_keeper": self.kept,
        }  # fmt: skip
        built = CARD_PLUGIN.build(account, services(**(parts | changes)))
        assert isinstance(built, CardChannel)
        await built.start()
        return built

    async def sell(self, *channels: CardChannel) -> list[Verdict]:
        """A sale at each of them, one after the other."""
        answers: list[Answer] = [
            await one.pay(self._payer.request(one.new_order_no())) for one in channels
        ]
        return [answer.verdict for answer in answers]


YES, UNCLEAR = Verdict.SUCCEEDED, Verdict.UNKNOWN


def test_a_second_process_takes_the_keys_of_the_first() -> None:
    """One sign-on for both, and nobody's keys are overwritten."""

    async def work() -> None:
        house = House()
        one, other = await house.process(), await house.process()
        assert house.host.sign_ons == 1
        assert await house.sell(one, other, one, other) == [YES] * 4
        assert house.host.refused == 0
        for each in (one, other):
            assert each.health().ready
            await each.close()

    play(work())


def test_without_sharing_the_second_sign_on_breaks_the_first() -> None:
    """What the sharing is for: the same host, the same two processes."""

    async def work() -> None:
        house = House()
        one, other = await house.process(shared="false"), await house.process(shared="false")
        assert house.host.sign_ons == 2
        assert await house.sell(one, other) == [UNCLEAR, YES]
        for each in (one, other):
            await each.close()

    play(work())


def test_many_that_start_at_once_sign_on_once() -> None:
    async def work() -> None:
        house = House()
        made = await asyncio.gather(*(house.process() for _ in range(4)))
        await asyncio.sleep(NOTICED_S)
        assert house.host.sign_ons == 1
        assert await house.sell(*made) == [YES] * 4
        for each in made:
            await each.close()

    play(work())


def test_new_keys_of_a_neighbour_are_noticed_before_they_are_missed() -> None:
    """After eight hours one of them signs on; the other goes on under the new keys."""

    async def work() -> None:
        house = House()
        one, other = await house.process(), await house.process()
        await asyncio.sleep(SIGN_ON_EVERY_S + NOTICED_S)
        assert house.host.sign_ons == 2
        assert await house.sell(one, other) == [YES, YES]
        assert house.host.refused == 0
        for each in (one, other):
            await each.close()

    play(work())


def test_a_host_that_forgot_the_keys_is_signed_on_to_once() -> None:
    """Both are told A0; one fetches new keys, the other takes them."""

    async def work() -> None:
        house = House()
        one, other = await house.process(), await house.process()
        await asyncio.sleep(60)
        house.host.working = WorkingKeys(b"\xee" * 16, b"\xdd" * 8)
        assert await house.sell(one, other) == [UNCLEAR, UNCLEAR]
        await asyncio.sleep(NOTICED_S)
        assert house.host.sign_ons == 2
        assert await house.sell(one, other) == [YES, YES]
        for each in (one, other):
            await each.close()

    play(work())


def test_a_restart_goes_on_with_the_keys_that_are_kept_if_they_are_not_too_old() -> None:
    """Its connection is proved by an echo, since no sign-on proves it."""

    async def work() -> None:
        house = House()
        await (await house.process()).close()
        echoes = house.host.echoes
        again = await house.process()
        assert (house.host.sign_ons, house.host.echoes) == (1, echoes + 1)
        assert await house.sell(again) == [YES]
        await again.close()
        await asyncio.sleep(SIGN_ON_EVERY_S)
        later = await house.process()
        assert house.host.sign_ons == 2
        await later.close()

    play(work())


def test_a_process_that_died_with_the_lease_holds_nobody_up_for_long() -> None:
    async def work() -> None:
        house = House()
        name = f"unionpay_card:{MERCHANT}:{TERMINAL}"
        now_ms = LoopClock().now_ms()
        assert await house.kept.claim_keys(name, 0, "dead", now_ms, now_ms + LEASE_MS)
        one = await house.process()
        assert not one.health().ready
        await asyncio.sleep(LEASE_MS / 1000)
        assert one.health().ready
        assert await house.sell(one) == [YES]
        await one.close()

    play(work())


def test_with_the_store_away_a_process_signs_on_for_itself() -> None:
    """Afterwards they find together again."""

    async def work() -> None:
        house = House()
        one = await house.process()
        house.kept.away = True
        other = await house.process()
        assert await house.sell(other) == [YES]
        house.kept.away = False
        assert await house.sell(one) == [UNCLEAR]
        await asyncio.sleep(15)
        assert await house.sell(one) == [YES]
        await asyncio.sleep(NOTICED_S)
        assert await house.sell(other, one) == [YES, YES]
        for each in (one, other):
            await each.close()

    play(work())


def test_kept_keys_under_another_master_key_are_as_none() -> None:
    async def work() -> None:
        house = House()
        await house.kept.keep_keys(f"unionpay_card:{MERCHANT}:{TERMINAL}", 0, b"x" * 40, 10**15)
        one = await house.process()
        assert house.host.sign_ons == 1
        assert await house.sell(one) == [YES]
        await one.close()

    play(work())

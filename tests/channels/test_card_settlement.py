"""A link batch settled with its host: what is told, and what of an answer is believed."""

import asyncio

import pytest

from channels.host_settlement import HostSilent, HostTotals, host_settlement_of
from channels.unionpay.card_adapter import CardChannel
from pos_protocol.codec import Message, encode
from pos_protocol.fields.totals import (
    ClassTotals,
    SettlementTotals,
    TotalsResult,
    build_totals,
    parse_totals,
)
from pos_protocol.framing import frame
from tests.channels.rigs import MERCHANT, TERMINAL, CardRig, FixedClock

OURS = HostTotals(debit_fen=5970, debit_count=3, credit_fen=1990, credit_count=1)


class SettlingRig(CardRig):
    """A host that answers a 0500 as told."""

    def __init__(self) -> None:
        super().__init__()
        handle = self.host.handle
        self.asked: list[Message] = []
        self.says: Message | None = None

        def settles(message: Message) -> bytes | None:
            if message.mti != "0500":
                return handle(message)
            self.asked.append(message)
            return None if self.says is None else encode(self.says)

        self.host.handle = settles  # type: ignore[method-assign]  # the host's other door

    @property
    def adapter(self) -> CardChannel:
        assert isinstance(self.channel, CardChannel)
        return self.channel

    def answer(self, totals: SettlementTotals, **changed: str) -> None:
        batch = self.adapter.host_batches(FixedClock().ms)[0]
        fields: dict[int, str | bytes] = {
            11: "999999",
            41: TERMINAL,
            42: MERCHANT,
            48: build_totals(totals),
            49: "156",
            60: f"00{batch.batch_no:06}201",
        }
        fields |= {int(name[1:]): value for name, value in changed.items()}
        self.says = Message(
            bytes.fromhex("6000000003"), bytes.fromhex("602200000000"), "0510", fields
        )


def halves(result: TotalsResult, **sums: int) -> SettlementTotals:
    equal = ClassTotals(result=TotalsResult.EQUAL)
    return SettlementTotals(ClassTotals(result=result, **sums), equal)


async def settled(rig: SettlingRig) -> HostTotals:
    """Without a sign-on: no key is needed, and none is taken from who sells."""
    await rig.adapter.start_settling()
    await asyncio.sleep(0.01)
    try:
        batch = rig.adapter.host_batches(FixedClock().ms)[0]
        word = await rig.adapter.settle_batch(batch, OURS)
    finally:
        await rig.close()
    assert rig.host.sign_ons == 0
    return word.totals


async def test_totals_are_told_and_the_hosts_own_come_back() -> None:
    rig = SettlingRig()
    rig.answer(halves(TotalsResult.DIFFERENT, debit_fen=3980, debit_count=2))
    assert await settled(rig) == HostTotals(debit_fen=3980, debit_count=2)
    [asked] = rig.asked
    batch = rig.adapter.host_batches(FixedClock().ms)[0]
    assert asked.text(60) == f"00{batch.batch_no:06}201"
    told = parse_totals(asked.text(48)).domestic
    assert (told.debit_fen, told.debit_count, told.credit_fen, told.credit_count) == (
        5970,
        3,
        1990,
        1,
    )
    assert 64 not in asked.fields
    assert host_settlement_of(rig.channel) is not None


async def test_foreign_cards_count_with_the_others() -> None:
    rig = SettlingRig()
    half = ClassTotals(debit_fen=1000, debit_count=1, result=TotalsResult.DIFFERENT)
    rig.answer(SettlementTotals(half, half))
    assert await settled(rig) == HostTotals(debit_fen=2000, debit_count=2)


@pytest.mark.parametrize(
    "changed",
    [
        {"f39": "96"},
        {"f42": "898000000000002"},
        {"f60": "00000001201"},
        {"f48": "0" * 61},
        {"f48": "0" * 62},  # nothing was compared
        {"f48": "0" * 30 + "3" + "0" * 30 + "1"},  # an error
        {"f48": "0" * 30 + "9" + "0" * 30 + "1"},
    ],
)
async def test_what_is_no_answer_is_silence(changed: dict[str, str]) -> None:
    rig = SettlingRig()
    rig.answer(halves(TotalsResult.EQUAL), **changed)
    with pytest.raises(HostSilent):
        await settled(rig)


async def test_no_answer_and_no_host_are_silence_too() -> None:
    rig = SettlingRig()
    with pytest.raises(HostSilent):
        await settled(rig)
    rig = SettlingRig()
    rig.host.refusing = True
    with pytest.raises(HostSilent):
        await settled(rig)


async def test_an_old_answer_settles_no_other_batch() -> None:
    """The batch in 60.2 tells them apart, as with sales."""
    rig = SettlingRig()
    rig.answer(halves(TotalsResult.EQUAL))
    assert rig.says is not None
    late = rig.says
    await rig.adapter.start_settling()
    await asyncio.sleep(0.01)
    rig.says = None
    batch = rig.adapter.host_batches(FixedClock().ms)[1]
    settling = asyncio.create_task(rig.adapter.settle_batch(batch, OURS))
    await asyncio.sleep(0.01)
    rig.host.connected[-1].deliver(frame(encode(late)))
    with pytest.raises(HostSilent):
        await settling
    await rig.close()

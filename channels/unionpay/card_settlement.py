"""A link batch settled with the card host: 0500 built, 0510 read. Pure.

Rules (reference ``pos_protocol.md`` §2 F48, §3, §6): totals have no MAC and move nothing.
The batch is the one in 60.2, its trace is 999999 for every repeat, so a repeat is the same
message. The answer has no F39: F48 carries the host's own totals and its judgement. Counts
have three digits: more than 999 are told as 999, and amounts alone tell the rest.
"""

from typing import Final

from channels.host_settlement import HostBatch, HostSilent, HostTotals, HostWord
from channels.unionpay.card_wire import CardAccount, reply_key
from pos_protocol.codec import CodecError, Message, encode
from pos_protocol.fields.totals import (
    ClassTotals,
    SettlementTotals,
    TotalsResult,
    build_totals,
    parse_totals,
)

SETTLEMENT: Final = "0500"
SETTLEMENT_REPLY: Final = "0510"
MOST_COUNTED: Final = 999
_TRACE: Final = "999999"
_MANAGEMENT: Final = "201"
_OPERATOR: Final = "001"


def settlement_number(batch: HostBatch) -> str:
    """The number that the exchange goes by; no order ever has it beside another MTI."""
    return batch.prefix + _TRACE


def settlement_key(batch: HostBatch) -> str:
    """What its answer is matched by."""
    return reply_key(SETTLEMENT_REPLY, batch.terminal_id, _TRACE)


def build_settlement(batch: HostBatch, ours: HostTotals, account: CardAccount) -> bytes:
    """The 0500.

    Raises:
        pos_protocol.codec.CodecError: an amount that the wire cannot carry.
    """
    told = ours.counts_at_most(MOST_COUNTED)
    totals = SettlementTotals(
        ClassTotals(
            debit_fen=told.debit_fen,
            debit_count=told.debit_count,
            credit_fen=told.credit_fen,
            credit_count=told.credit_count,
        )
    )
    fields: dict[int, str | bytes] = {
        11: _TRACE,
        41: account.terminal_id,
        42: account.merchant_id,
        48: build_totals(totals),
        49: "156",
        60: f"00{batch.batch_no:06}{_MANAGEMENT}",
        63: _OPERATOR,
    }
    return encode(Message(account.tpdu, account.header, SETTLEMENT, fields))


def read_settlement(reply: Message, batch: HostBatch, account: CardAccount) -> HostWord:
    """What the host says; foreign cards are added to the domestic ones, as we count them.

    Raises:
        HostSilent: it is no answer to this batch.
    """
    code = reply.text(39)
    if code not in ("", "00", "95"):
        raise HostSilent(f"settlement refused, code {code!r}")
    if (
        reply.mti != SETTLEMENT_REPLY
        or reply.text(42) != account.merchant_id
        or reply.text(60)[2:8] != f"{batch.batch_no:06}"
    ):
        raise HostSilent("the answer does not belong to the batch")
    try:
        said = parse_totals(reply.text(48))
    except CodecError as fault:
        raise HostSilent(fault.reason) from None
    halves = (said.domestic, said.foreign)
    if any(half.result in (TotalsResult.ASKED, TotalsResult.ERROR) for half in halves):
        raise HostSilent("the host did not compare")
    return HostWord(
        HostTotals(
            debit_fen=sum(half.debit_fen for half in halves),
            debit_count=sum(half.debit_count for half in halves),
            credit_fen=sum(half.credit_fen for half in halves),
            credit_count=sum(half.credit_count for half in halves),
        ),
        said.are_equal,
        MOST_COUNTED,
    )

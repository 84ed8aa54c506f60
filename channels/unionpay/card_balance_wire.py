"""A balance inquiry over a card link: built, and the answer read. Pure.

Rules: it has a number (batch and trace) like everything that is answered, and moves
nothing: what was not understood is ``UNKNOWN`` and nobody undoes it. A balance counts
only with its MAC. No amount is asked, so none is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from channels.card import CardData
from channels.card_abilities import BalanceAnswer
from channels.port import Verdict
from channels.unionpay.card_codes import SALE_CODES, UNLISTED
from channels.unionpay.card_messages import BALANCE
from channels.unionpay.card_texts import is_listed
from channels.unionpay.card_wire import CardAccount, Reply, ZoneKeys, add_card, mistrust
from domain.money import CNY, currency_numeric
from pos_protocol.codec import CodecError, Message, encode_with_mac
from pos_protocol.fields.balance import parse_amounts


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a balance's answer must repeat."""

    order_no: str
    amount_fen: int | None = None
    currency: str = CNY


def build_balance(order_no: str, card: CardData, account: CardAccount, keys: ZoneKeys) -> bytes:
    """A 0200 with its MAC.

    Raises:
        signing.pos.PinBlockError: the terminal's PIN block cannot be read.
        pos_protocol.codec.CodecError: a value that the wire cannot carry.
    """
    fields: dict[int, str | bytes] = {
        2: card.pan,
        3: BALANCE.processing,
        11: order_no[14:],
        22: card.entry_mode,
        25: BALANCE.condition,
        41: account.terminal_id,
        42: account.merchant_id,
        49: currency_numeric(CNY),
        60: BALANCE.type_code + order_no[8:14] + "000",
    }
    add_card(fields, card, keys)
    return encode_with_mac(Message(account.tpdu, account.header, BALANCE.mti, fields), keys.code)


def read_balance(
    reply: Reply, order_no: str, account: CardAccount, keys: Sequence[ZoneKeys]
) -> BalanceAnswer:
    """What a 0210 says about a balance."""
    code = reply.message.text(39)
    rule = SALE_CODES.get(code, UNLISTED)
    if rule.verdict is Verdict.UNKNOWN:
        return BalanceAnswer(
            verdict=Verdict.UNKNOWN, channel_code=code, unlisted=not is_listed(code)
        )
    approved = rule.verdict is Verdict.SUCCEEDED
    why = mistrust(
        reply,
        BALANCE,
        _Asked(order_no),
        account,
        keys,
        complete=approved,
        may_be_unsigned=rule.unsigned,
    )
    if why:
        return BalanceAnswer(verdict=Verdict.UNKNOWN, channel_code=code, channel_message=why)
    if not approved:
        return BalanceAnswer(verdict=Verdict.DECLINED, reason=rule.reason, channel_code=code)
    try:
        amounts = parse_amounts(reply.message.text(54))
    except CodecError as fault:
        return BalanceAnswer(
            verdict=Verdict.UNKNOWN, channel_code=code, channel_message=fault.reason
        )
    if not amounts:
        return BalanceAnswer(
            verdict=Verdict.UNKNOWN, channel_code=code, channel_message="no amount in the answer"
        )
    return BalanceAnswer(
        verdict=Verdict.SUCCEEDED,
        amounts=tuple(
            (one.account_type, one.amount_type, one.currency, one.amount_fen) for one in amounts
        ),
        channel_code=code,
    )

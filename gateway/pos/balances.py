"""Balance inquiries by card: asked once, told, never kept.

Rules: nothing moves, so nothing is persisted, and an answer that is lost is simply asked
for again. What is in the account is in F54 of the answer and nowhere else: no log line has
it. A channel that does not tell balances is 40.
"""

from typing import assert_never

from channels.card_abilities import BalanceAnswer, balance_of
from channels.port import Verdict
from domain.clock import Clock, beijing_texts
from domain.decline import DeclineReason
from domain.errors import ChannelDown
from domain.ids import IdSource
from gateway.pos.card_drafts import is_weak
from gateway.pos.exchange import Exchange
from gateway.pos.translate import CARD_CHANNEL, RefusedError, card_data, hosts_code
from gateway.routes import Routes
from pos_protocol.fields.balance import AdditionalAmount, build_amounts
from pos_protocol.response_codes import (
    APPROVED,
    FORMAT_ERROR,
    ISSUER_UNAVAILABLE,
    NOT_SIGNED_IN,
    NOT_SUPPORTED,
    TIMED_OUT,
)


class CardBalances:
    """0200 余额查询."""

    def __init__(self, *, routes: Routes, clock: Clock, ids: IdSource) -> None:
        self._routes = routes
        self._clock = clock
        self._ids = ids

    async def balance(self, exchange: Exchange) -> bytes:
        """Ask the card's issuer, and say what it said."""
        keys = exchange.keys
        if keys is None:
            raise RefusedError(NOT_SIGNED_IN, "no working keys")
        weak = is_weak(exchange.known.terminal)
        card = card_data(exchange.message, keys.pin, weak_pin=weak, track_key=keys.track)
        route = self._routes.choose(exchange.known.merchant.merchant_no, CARD_CHANNEL)
        ability = balance_of(route.channel)
        if ability is None:
            raise RefusedError(NOT_SUPPORTED, "this channel tells no balances")
        if self._routes.holds_back(route.account_id):  # else it may be the probe
            raise ChannelDown("the card host does not answer")
        answer = await ability.balance(card)
        code = _code_of(answer)
        hhmmss, mmdd = beijing_texts(self._clock.now_ms())
        fields: dict[int, str | bytes] = {12: hhmmss, 13: mmdd, 39: code}
        fields[37] = self._ids.new()[-12:]
        if code == APPROVED:
            amounts = [
                AdditionalAmount(
                    account_type=account, amount_type=kind, currency=currency, amount_fen=fen
                )
                for account, kind, currency, fen in answer.amounts
            ]
            fields[54] = build_amounts(amounts)
        return exchange.reply(fields)


def _code_of(answer: BalanceAnswer) -> str:
    """F39 for what the channel said."""
    match answer.verdict:
        case Verdict.SUCCEEDED:
            return APPROVED
        case Verdict.DECLINED:
            return hosts_code(answer.channel_code, answer.reason or DeclineReason.DECLINED)
        case Verdict.NOT_SENT:
            return FORMAT_ERROR if answer.unwritable else ISSUER_UNAVAILABLE
        case Verdict.PENDING | Verdict.UNKNOWN:
            return TIMED_OUT
        case _:
            assert_never(answer.verdict)

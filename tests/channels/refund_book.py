"""What every rig of refunds keeps: the paid order, what went back of it, and what got lost."""

from channels.port import AnswerLost, Channel, PaymentRef, RefundRequest, Refunds, refunds_of

REFUNDED_MS = 1_795_331_737_042


class RefundBook:
    """For a rig beside its channel's own: :meth:`open_book`, once the channel is there."""

    ability: Refunds
    payment: PaymentRef
    refund_numbers: list[str]
    refunds: dict[str, int]
    to_lose: int

    def open_book(self, channel: Channel, payment: PaymentRef) -> None:
        ability = refunds_of(channel)
        assert ability is not None
        self.ability, self.payment = ability, payment
        self.refund_numbers, self.refunds, self.to_lose = [], {}, 0

    def refunded_at_ms(self) -> int:
        return REFUNDED_MS

    def refund_request(self, amount_fen: int, refund_no: str = "") -> RefundRequest:
        return RefundRequest(
            refund_no=refund_no or self.ability.new_refund_no(),
            payment=self.payment,
            amount_fen=amount_fen,
            currency="CNY",
            reason="a broken cup",
            created_at_ms=self.refunded_at_ms(),
        )

    def returned_fen(self) -> int:
        return sum(self.refunds.values())

    def loses_answers(self, count: int) -> None:
        self.to_lose = count

    def may_lose_it(self) -> None:
        """The peer acted, and its answer is one of those that get lost."""
        if self.to_lose:
            self.to_lose -= 1
            raise AnswerLost("timed out")

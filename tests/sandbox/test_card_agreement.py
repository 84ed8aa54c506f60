"""What our wire reads from the card host is what the card host's books hold.

Random days of sales, holds, completions, returns, reversals and repeats, with answers that
nobody heard. Whatever was heard no answer to is reversed (a payment) or sent again (a
return) before the books are compared, as the gateway does.
"""

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.card import CardAction, CardData, HoldRef
from channels.port import (
    Answer,
    PaymentRef,
    PayRequest,
    RefundAnswer,
    RefundRequest,
    UndoAnswer,
    Verdict,
)
from channels.unionpay.card_refund_wire import build_refund, read_refund
from channels.unionpay.card_wire import (
    CardAccount,
    Reply,
    ZoneKeys,
    build_reversal,
    build_sale,
    build_sign_on,
    order_number,
    read_reversal,
    read_sale,
    read_sign_on,
)
from domain.clock import beijing_texts
from pos_protocol.codec import decode
from sandbox import unionpay_host
from sandbox.card_state import CardState
from sandbox.config import CardHostConfig, CardLink
from sandbox.scenarios import CARDS
from signing.pos import CipherKey, mac_cup_ecb

TERMINAL, MERCHANT, TMK = "99000001", "999000000000001", bytes(range(16))
PANS = (*(card.pan for card in CARDS.values()), "9900000000001000001")
NOON_MS = 1_795_320_000_000
DAY_MS = 86_400_000
HELD_FEN = 1990
NOBODY_KNOWS = Answer(verdict=Verdict.UNKNOWN)


@dataclass
class Made:
    """A payment as the answers that were heard tell of it."""

    request: PayRequest
    answer: Answer
    net_fen: int = 0
    undone: bool = False


class Day:
    """A gateway without a store, and the host that it talks to."""

    def __init__(self) -> None:
        link = CardLink(merchant_id=MERCHANT, terminal_id=TERMINAL, tmk=TMK)
        config = CardHostConfig(links=(link,))
        self.state = CardState(
            config, max_orders=1000, random_bytes=lambda size: bytes(range(size))
        )
        self.account = CardAccount(
            merchant_id=MERCHANT,
            terminal_id=TERMINAL,
            tpdu=bytes.fromhex("6000030000"),
            header=bytes.fromhex("602200000000"),
            master=CipherKey(TMK),
            mac=mac_cup_ecb,
            repeats_answered_alike=True,
        )
        self.now_ms = NOON_MS
        self.numbers = 0
        self.made: list[Made] = []
        self.open_refunds: list[tuple[Made, RefundRequest]] = []
        self.said: dict[bytes, str] = {}
        self.keys = self._sign_on()

    def _sign_on(self) -> ZoneKeys:
        reply = self._told(build_sign_on(self.account, "000001"))
        assert reply is not None
        return read_sign_on(reply.message, self.account)

    def _told(self, payload: bytes) -> Reply | None:
        message = unionpay_host.read_request(payload)
        effect = unionpay_host.handle(payload, message, self.state, self.now_ms)
        return Reply(effect.answer, decode(effect.answer)) if effect.answer else None

    def _asked(self, payload: bytes) -> Reply | None:
        """As the host answers it; its repeat must be answered alike, or refused as undone."""
        reply = self._told(payload)
        code = reply.message.text(39) if reply is not None else ""
        assert self.said.setdefault(payload, code) == code or code == "25"
        return reply

    def number(self) -> str:
        self.numbers += 1
        return order_number(TERMINAL, self.numbers)

    def later(self, hours: int) -> None:
        self.now_ms += hours * 3_600_000
        self.keys = self._sign_on()

    def pay(
        self, action: CardAction, pan: str, amount_fen: int, *, heard: bool, hold: Made | None
    ) -> None:
        original = None
        if hold is not None:
            original = HoldRef(
                order_no=hold.request.order_no,
                held_at_ms=hold.answer.paid_at_ms,
                auth_code=hold.answer.auth_code,
            )
        request = PayRequest(
            order_no=self.number(),
            amount_fen=amount_fen,
            currency="CNY",
            subject="",
            created_at_ms=self.now_ms,
            card=CardData(pan=pan, entry_mode="012"),
            action=action,
            original=original,
        )
        self.made.append(Made(request, NOBODY_KNOWS))
        self.hear(self.made[-1], heard=heard)

    def hear(self, made: Made, *, heard: bool = True) -> None:
        """Send a payment, or send it again."""
        card = made.request.card
        assert card is not None
        reply = self._asked(build_sale(made.request, card, self.account, self.keys))
        if reply is None or not heard or made.answer.verdict is not Verdict.UNKNOWN:
            return
        made.answer = read_sale(reply, made.request, self.account, (self.keys,))
        if made.answer.verdict is Verdict.SUCCEEDED:
            assert not made.undone
            is_hold = made.request.action is CardAction.AUTHORISE
            made.net_fen = 0 if is_hold else made.request.amount_fen

    def ref(self, made: Made) -> PaymentRef:
        request = made.request
        return PaymentRef(
            order_no=request.order_no,
            amount_fen=request.amount_fen,
            currency="CNY",
            created_at_ms=request.created_at_ms,
            entry_mode="012",
            reference=made.answer.reference,
            action=request.action,
            original_no=request.original.order_no if request.original else "",
            paid_at_ms=made.answer.paid_at_ms,
        )

    def reverse(self, made: Made) -> UndoAnswer:
        ref = self.ref(made)
        reply = self._told(build_reversal(ref, self.account, self.keys))
        assert reply is not None
        undone = read_reversal(reply, ref, self.account, (self.keys,))
        if undone.verdict is Verdict.DECLINED:
            # a "nothing to reverse" of another day is not believed
            assert beijing_texts(self.now_ms)[1] != beijing_texts(ref.created_at_ms)[1]
            return undone
        assert undone.verdict is Verdict.SUCCEEDED
        if undone.was_paid or made.answer.verdict is Verdict.UNKNOWN:
            made.net_fen, made.undone = 0, True
        return undone

    def refund(self, made: Made, amount_fen: int, *, heard: bool) -> None:
        request = RefundRequest(
            refund_no=self.number(),
            payment=self.ref(made),
            amount_fen=amount_fen,
            currency="CNY",
            reason="",
            created_at_ms=self.now_ms,
        )
        answer = self._returned(request)
        if heard:
            self._book(made, request, answer)
        else:
            self.open_refunds.append((made, replace(request, repeated=True)))

    def _returned(self, request: RefundRequest) -> RefundAnswer:
        reply = self._asked(build_refund(request, self.account, self.keys))
        assert reply is not None
        return read_refund(reply, request, self.account, (self.keys,))

    def _book(self, made: Made, request: RefundRequest, answer: RefundAnswer) -> None:
        assert answer.verdict in (Verdict.SUCCEEDED, Verdict.DECLINED)
        if answer.verdict is Verdict.SUCCEEDED and not made.undone:
            made.net_fen -= request.amount_fen

    def end(self) -> None:
        """Every payment and return that is open comes to its end."""
        for made in self.made:
            if made.answer.verdict is Verdict.UNKNOWN:
                self.reverse(made)
        for made, request in self.open_refunds:
            self._book(made, request, self._returned(request))

    def check(self) -> None:
        books = {o.order_no: o.charged_fen - o.returned_fen for o in self.state.books}
        told = {made.request.order_no: made.net_fen for made in self.made}
        assert {no: fen for no, fen in books.items() if fen} == {
            no: fen for no, fen in told.items() if fen
        }
        assert all(0 <= o.returned_fen <= o.charged_fen for o in self.state.books)
        taken: Counter[str] = Counter()
        for made in self.made:
            if made.request.original is not None and made.net_fen:
                assert made.request.amount_fen <= HELD_FEN
                taken[made.request.original.order_no] += 1
        assert all(times == 1 for times in taken.values())


PICK = st.integers(0, 11)
AMOUNT = st.sampled_from([0, 1, 995, 1990, 1991])
WHAT = ["sale", "hold", "complete", "refund", "refund", "refund", "reverse", "again", "later"]
STEP = st.tuples(
    st.sampled_from(WHAT),
    PICK,
    AMOUNT,
    st.booleans(),
)


def step(day: Day, what: str, pick: int, amount_fen: int, heard: bool) -> None:
    known = [made for made in day.made if made.answer.verdict is Verdict.SUCCEEDED]
    held = [made for made in known if made.request.action is CardAction.AUTHORISE]
    charged = [made for made in known if made.request.action is not CardAction.AUTHORISE]
    match what:
        case "sale" | "hold":
            action = CardAction.SALE if what == "sale" else CardAction.AUTHORISE
            day.pay(action, PANS[pick % len(PANS)], HELD_FEN, heard=heard, hold=None)
        case "complete" if held:
            hold = held[pick % len(held)]
            assert hold.request.card is not None
            pan = hold.request.card.pan
            day.pay(CardAction.COMPLETE, pan, amount_fen, heard=heard, hold=hold)
        case "refund" if charged:
            made = charged[pick % len(charged)]
            day.refund(made, amount_fen or made.request.amount_fen, heard=heard)
        case "reverse" if day.made:
            day.reverse(day.made[pick % len(day.made)])
        case "again" if day.made:
            day.hear(day.made[pick % len(day.made)], heard=heard)
        case "later":
            day.later(2 * (1 + pick))


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEP, min_size=5, max_size=30))
def test_books_and_answers_agree(steps: list[tuple[str, int, int, bool]]) -> None:
    day = Day()
    step(day, "sale", 0, 1990, heard=True)
    for one in steps:
        step(day, *one)
    day.end()
    day.check()


def test_a_day_in_which_everything_happens() -> None:
    """That random days are not all empty."""
    day = Day()
    for what, heard in (
        ("sale", True), ("refund", False), ("hold", True), ("complete", True), ("refund", True),
        ("sale", False), ("again", True), ("hold", True), ("complete", False),
    ):  # fmt: skip
        step(day, what, 0, 995, heard)
    step(day, "later", 23, 0, True)
    step(day, "refund", 0, 995, True)
    day.end()
    day.check()
    verdicts = Counter(made.answer.verdict for made in day.made)
    assert verdicts[Verdict.SUCCEEDED] >= 4
    assert any(made.net_fen for made in day.made) and any(made.undone for made in day.made)

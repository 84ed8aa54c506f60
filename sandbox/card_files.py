"""The simulated card host's files of a clearing day, from its own books (``channels.md`` C2, C3).

Rules:

* A day is a clearing day, 23:00 to 23:00 in Beijing. What was declined, or never answered and
  never taken, is in no file.
* A reversed transaction is in COMA alone, with its reversal, both marked. A sale and its void
  are in every file, in COMA marked. A hold is listed and moves nothing.
* The merchant's files (ZM, RD, ZME) are of the link's merchant. What the issuer was given back
  without a request of ours (:class:`sandbox.card_books.CardAdjustment`) is in AERR and ZME.
* An acquirer's files come compressed (``.Z``), a merchant's in a zip.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Final

from domain.clock import beijing
from sandbox.card_books import CardAdjustment, CardBooks, CardOrder, CardReturn, OrderKind
from sandbox.card_state import CardState
from sandbox.institution_file import InstitutionRow, acom, acomn, aerr, coma
from sandbox.merchant_file import MerchantRow, day_zip
from sandbox.unionpay_qr_books import clearing_day
from sandbox.unix_compress import compressed

ADJUSTED: Final = "E32"
"""贷记调整: the acquirer gives back what a request never asked for."""
_SALE: Final = "S22"
_RETURNED: Final = "S30"
_ADJUSTMENT_TRACE: Final = 900_000
_MESSAGES: Final = {
    OrderKind.SALE: ("0200", "000000", "00"),
    OrderKind.HOLD: ("0100", "030000", "06"),
    OrderKind.COMPLETION: ("0200", "000000", "06"),
    OrderKind.OFFLINE: ("0220", "000000", "00"),
    OrderKind.ADDITION: ("0220", "000000", "00"),
}
"""MTI, processing code and condition code of each kind of order."""
_VOID: Final = ("0200", "200000", "00")
_REFUND: Final = ("0220", "200000", "00")
_REVERSAL: Final = "0420"
_TXN_TYPES: Final = {OrderKind.COMPLETION: ("03", "00")}
"""ACP's type and subtype; what is not here is a consumption."""


def card_files(state: CardState, day: date) -> dict[str, bytes]:
    """Every file of ``day`` by its name; none of a day on which nothing happened."""
    files: dict[str, bytes] = {}
    for terminal_id, merchant_id in sorted(state.merchants().items()):
        book = _Day(state.books, terminal_id, merchant_id, day)
        rows, errors = book.rows(), book.errors()
        if not (rows or errors):
            continue
        stem = f"{day:%y%m%d}01"
        for name, kept, record in (
            (f"IND{stem}ACOM", [row for row in rows if not row.reversed], acom),
            (f"IND{stem}ACOMN", [row for row in rows if not row.reversed], acomn),
            (f"INN{stem}COMA", rows, coma),
            (f"IND{stem}AERR", errors, aerr),
        ):
            if kept:
                files[f"{name}_{terminal_id}.Z"] = compressed(_lines(kept, record))
        details, wrong = book.details(), book.wrong_details()
        if details or wrong:
            name = f"{merchant_id}_{terminal_id}_{day:%Y%m%d}.zip"
            files[name] = day_zip(details, wrong, merchant_id, day)
    return files


def cleared_rows(state: CardState, day: date) -> list[InstitutionRow]:
    """What the acquirer's general file of ``day`` lists, of every link of ours."""
    return [
        row
        for terminal_id, merchant_id in sorted(state.merchants().items())
        for row in _Day(state.books, terminal_id, merchant_id, day).rows()
        if not row.reversed
    ]


def _lines(rows: Sequence[InstitutionRow], record: Callable[[InstitutionRow], bytes]) -> bytes:
    return b"".join(record(row) + b"\n" for row in rows)


class _Day:
    """One link's day."""

    def __init__(self, books: CardBooks, terminal_id: str, merchant_id: str, day: date) -> None:
        self._books = books
        self._terminal_id = terminal_id
        self._merchant_id = merchant_id
        self._day = day

    def rows(self) -> list[InstitutionRow]:
        """All that moved money or held it, with what undid it right behind."""
        voided = {one.original_no for one in self._returns() if one.is_void}
        found = []
        for order in self._orders():
            row = self._of_order(order, cancelled=order.order_no in voided)
            found += [row, self._reversal_of(row)] if order.undone else [row]
        return found + [self._of_return(one) for one in self._returns()]

    def errors(self) -> list[InstitutionRow]:
        """What was adjusted."""
        return [self._of_adjustment(place, one) for place, one in self._adjustments()]

    def details(self) -> list[MerchantRow]:
        """The merchant's day: what stands of it."""
        paid = [
            self._detail(order)
            for order in self._orders()
            if order.charged_fen and not order.undone
        ]
        return paid + [self._returned(one) for one in self._returns()]

    def wrong_details(self) -> list[MerchantRow]:
        """The merchant's errors."""
        return [self._wrong(place, one) for place, one in self._adjustments()]

    def _is_mine(self, number: str, at_ms: int) -> bool:
        return number.startswith(self._terminal_id) and clearing_day(at_ms) == self._day

    def _orders(self) -> Iterator[CardOrder]:
        """Those that were approved, whatever became of them."""
        for order in self._books:
            if order.response_code == "00" and self._is_mine(order.order_no, order.at_ms):
                yield order

    def _returns(self) -> Iterator[CardReturn]:
        for one in self._books.returns():
            stands = one.response_code == "00" and not one.undone
            if stands and self._is_mine(one.return_no, one.at_ms):
                yield one

    def _adjustments(self) -> Iterator[tuple[int, CardAdjustment]]:
        for place, one in enumerate(self._books.adjustments):
            if self._is_mine(one.order.order_no, one.at_ms):
                yield _ADJUSTMENT_TRACE + place % 100_000, one

    def _of_order(self, order: CardOrder, *, cancelled: bool) -> InstitutionRow:
        mti, processing, condition = _MESSAGES[order.kind]
        hold = self._books.find(order.hold_no)
        return InstitutionRow(
            trace=order.order_no[14:],
            at_ms=order.at_ms,
            pan=_masked(order.pan),
            amount_fen=order.charged_fen or order.amount_fen,
            mti=mti,
            processing=processing,
            condition=condition,
            terminal_id=self._terminal_id,
            merchant_id=self._merchant_id,
            reference=order.reference,
            order_no=order.order_no,
            is_return=False,
            auth_code=order.auth_code,
            original_trace=hold.order_no[14:] if hold is not None else "",
            original_at_ms=hold.at_ms if hold is not None else 0,
            reversed=order.undone,
            cancelled=cancelled,
        )

    def _reversal_of(self, row: InstitutionRow) -> InstitutionRow:
        return InstitutionRow(
            trace=row.trace,
            at_ms=row.at_ms,
            pan=row.pan,
            amount_fen=row.amount_fen,
            mti=_REVERSAL,
            processing=row.processing,
            condition=row.condition,
            terminal_id=row.terminal_id,
            merchant_id=row.merchant_id,
            reference=row.reference,
            order_no=row.order_no,
            is_return=True,
            original_trace=row.trace,
            original_at_ms=row.at_ms,
            reversed=True,
        )

    def _of_return(self, one: CardReturn) -> InstitutionRow:
        mti, processing, condition = _VOID if one.is_void else _REFUND
        original = self._original(one)
        if one.is_void and original.kind is OrderKind.COMPLETION:
            condition = _MESSAGES[OrderKind.COMPLETION][2]
        return InstitutionRow(
            trace=one.return_no[14:],
            at_ms=one.at_ms,
            pan=_masked(original.pan),
            amount_fen=one.amount_fen,
            mti=mti,
            processing=processing,
            condition=condition,
            terminal_id=self._terminal_id,
            merchant_id=self._merchant_id,
            reference=one.reference,
            order_no=one.return_no,
            is_return=True,
            original_trace=original.order_no[14:],
            original_at_ms=original.at_ms,
            cancelled=one.is_void,
        )

    def _original(self, one: CardReturn) -> CardOrder:
        original = self._books.find(one.original_no)
        if original is None:
            raise ValueError("what was returned was once taken")
        return original

    def _of_adjustment(self, trace: int, one: CardAdjustment) -> InstitutionRow:
        return InstitutionRow(
            code=ADJUSTED,
            trace=f"{trace:06}",
            at_ms=one.at_ms,
            pan=_masked(one.order.pan),
            amount_fen=one.amount_fen,
            mti="0220",
            processing="200000",
            condition="00",
            terminal_id=self._terminal_id,
            merchant_id=self._merchant_id,
            reference=one.order.reference,
            order_no="",
            is_return=True,
            original_trace=one.order.order_no[14:],
            original_at_ms=one.order.at_ms,
        )

    def _detail(self, order: CardOrder) -> MerchantRow:
        txn_type, sub_type = _TXN_TYPES.get(order.kind, ("01", "01"))
        return MerchantRow(
            code=_SALE,
            trace=order.order_no[14:],
            at_ms=order.at_ms,
            pan=_masked(order.pan),
            amount_fen=order.charged_fen,
            trade_no=_query_id(order.order_no, order.at_ms),
            order_id=order.order_no,
            txn_type=txn_type,
            sub_type=sub_type,
            terminal_id=self._terminal_id,
        )

    def _returned(self, one: CardReturn) -> MerchantRow:
        original = self._original(one)
        return MerchantRow(
            code=_RETURNED,
            trace=one.return_no[14:],
            at_ms=one.at_ms,
            pan=_masked(original.pan),
            amount_fen=one.amount_fen,
            trade_no=_query_id(one.return_no, one.at_ms),
            order_id=one.return_no,
            txn_type=_void_type(original) if one.is_void else "04",
            sub_type="00",
            terminal_id=self._terminal_id,
            original_trade_no=_query_id(original.order_no, original.at_ms),
            original_order_id=original.order_no,
            original_trace=original.order_no[14:],
            original_at_ms=original.at_ms,
        )

    def _wrong(self, trace: int, one: CardAdjustment) -> MerchantRow:
        return MerchantRow(
            code=ADJUSTED,
            trace=f"{trace:06}",
            at_ms=one.at_ms,
            pan=_masked(one.order.pan),
            amount_fen=one.amount_fen,
            trade_no=one.order.reference,
            order_id="",
            txn_type="04",
            sub_type="00",
            original_trace=one.order.order_no[14:],
            original_at_ms=one.order.at_ms,
        )


def _masked(pan: str) -> str:
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}"


def _void_type(original: CardOrder) -> str:
    return "33" if original.kind is OrderKind.COMPLETION else "31"


def _query_id(number: str, at_ms: int) -> str:
    """21 digits."""
    return f"{beijing(at_ms):%Y%m%d%H%M%S}{number[14:]}8"

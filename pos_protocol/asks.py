"""What a terminal can be told to ask for, money first: one function per transaction.

Rule: an :class:`Ask` says what is special about a request; terminal, batch, trace, PIN
block, tracks and MAC are added by :class:`pos_protocol.terminal.Terminal`. Sources:
reference §2 and §3; what has no card comes in ``management_asks.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pos_protocol.card import Card, CardEntry
from pos_protocol.fields.digits import exactly, written
from pos_protocol.fields.original import Original, build_original
from pos_protocol.fields.scan_info import DeviceInfo, ScanInfo, build_scan_info
from pos_protocol.transactions import Transaction, TransactionKind, row_of

CURRENCY: Final = "156"
NO_ORGANISATION: Final = "000"
_SCANNED: Final = "032"
_CODE_READER: Final = "6"
_K = TransactionKind

Fields = dict[int, str | bytes]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ask:
    """One request to be. ``fields`` are those that only this transaction has.

    ``read_capability`` and ``chip_condition`` are 60.4 and 60.5; ``trace`` is for what has
    an earlier transaction's number, ``""`` otherwise. ``operator_id`` and ``operator_pin``
    are of who lets a large payment through (F58).
    """

    row: Transaction
    fields: Mapping[int, str | bytes] = field(default_factory=dict)
    card: Card | None = None
    pin: str = ""
    read_capability: str = ""
    chip_condition: str = "0"
    trace: str = ""
    operator_id: str = ""
    operator_pin: str = ""

    def __repr__(self) -> str:
        return f"Ask({self.row.kind.value}, fields={sorted(self.fields)})"


_READ_CAPABILITY: Final = {
    CardEntry.MANUAL: "0",
    CardEntry.MAGNETIC: "2",
    CardEntry.CHIP: "5",
    CardEntry.CONTACTLESS: "6",
}


def _amount(amount_fen: int) -> str:
    return written(4, "the amount", amount_fen, 12)


def by_card(
    kind: TransactionKind,
    card: Card,
    amount_fen: int | None = None,
    pin: str = "",
    *,
    original: Original | None = None,
    reference: str = "",
    auth_code: str = "",
    more: Mapping[int, str | bytes] | None = None,
    type_code: str = "",
) -> Ask:
    """Any transaction with a card; the shorter functions below say which need what."""
    row = row_of(kind, type_code=type_code)
    fields: Fields = {
        3: row.processing_code,
        22: card.entry.value + ("1" if pin else "2"),
        25: row.condition,
        49: CURRENCY,
    }
    if amount_fen is not None:
        fields[4] = _amount(amount_fen)
    if reference:
        fields[37] = reference
    if auth_code:
        fields[38] = auth_code
    if original is not None:
        fields[61] = build_original(original)
    fields.update(more or {})
    return Ask(
        row=row, fields=fields, card=card, pin=pin, read_capability=_READ_CAPABILITY[card.entry]
    )


def sale(card: Card, amount_fen: int, pin: str = "") -> Ask:
    """0200 消费."""
    return by_card(_K.SALE, card, amount_fen, pin)


def moto_sale(card: Card, amount_fen: int) -> Ask:
    """0200 MOTO消费: the order came by mail or telephone (F25 08)."""
    return by_card(_K.MOTO_SALE, card, amount_fen)


def preauth_moto(card: Card, amount_fen: int) -> Ask:
    """0100 MOTO预授权 (F25 18)."""
    return by_card(_K.PREAUTH_MOTO, card, amount_fen)


def balance(card: Card, pin: str = "") -> Ask:
    """0200 余额查询: the answer's F54 has the amounts."""
    return by_card(_K.BALANCE, card, None, pin)


def void(card: Card, amount_fen: int, original: Original, reference: str, pin: str = "") -> Ask:
    """0200 消费撤销 of today's sale, whole; ``reference`` is its F37."""
    return by_card(_K.VOID, card, amount_fen, pin, original=original, reference=reference)


def refund(
    card: Card,
    amount_fen: int,
    original: Original,
    reference: str,
    organisation: str = NO_ORGANISATION,
) -> Ask:
    """0220 退货, part or whole; F61 has the sale's date, ``0000`` if nobody remembers it."""
    dated = Original(original.batch, original.trace, original.date or "0000")
    more: Fields = {63: organisation}
    return by_card(_K.REFUND, card, amount_fen, original=dated, reference=reference, more=more)


def preauth(card: Card, amount_fen: int, pin: str = "") -> Ask:
    """0100 预授权."""
    return by_card(_K.PREAUTH, card, amount_fen, pin)


def preauth_additional(card: Card, amount_fen: int, pin: str = "") -> Ask:
    """0100 追加预授权 (F25 60)."""
    return by_card(_K.PREAUTH_ADDITIONAL, card, amount_fen, pin)


def preauth_void(
    card: Card, amount_fen: int, original: Original, auth_code: str, pin: str = ""
) -> Ask:
    """0100 预授权撤销."""
    return by_card(_K.PREAUTH_VOID, card, amount_fen, pin, original=original, auth_code=auth_code)


def completion(
    card: Card, amount_fen: int, original: Original, auth_code: str, pin: str = ""
) -> Ask:
    """0200 预授权完成(请求): the answer is waited for."""
    return by_card(_K.COMPLETION, card, amount_fen, pin, original=original, auth_code=auth_code)


def completion_advice(card: Card, amount_fen: int, original: Original, auth_code: str) -> Ask:
    """0220 预授权完成(通知): done already, the host is told."""
    return by_card(_K.COMPLETION_ADVICE, card, amount_fen, original=original, auth_code=auth_code)


def completion_void(
    card: Card, amount_fen: int, original: Original, reference: str, auth_code: str, pin: str = ""
) -> Ask:
    """0200 预授权完成撤销."""
    return by_card(
        _K.COMPLETION_VOID,
        card,
        amount_fen,
        pin,
        original=original,
        reference=reference,
        auth_code=auth_code,
    )


def offline_sale(card: Card, amount_fen: int, auth_code: str = "") -> Ask:
    """0220 离线结算: sold without the host; ``auth_code`` came by telephone."""
    return by_card(_K.OFFLINE_SALE, card, amount_fen, auth_code=auth_code)


def adjustment(card: Card, amount_fen: int, original: Original, auth_code: str = "") -> Ask:
    """0220 结算调整 of an offline sale's amount."""
    return by_card(_K.ADJUSTMENT, card, amount_fen, original=original, auth_code=auth_code)


def tip(card: Card, amount_fen: int, tip_fen: int, original: Original, auth_code: str = "") -> Ask:
    """0220 小费: the new whole amount, the tip in F48."""
    more: Fields = {48: written(48, "the tip", tip_fen, 12)}
    return by_card(_K.TIP, card, amount_fen, original=original, auth_code=auth_code, more=more)


def _scan(
    kind: TransactionKind, info: ScanInfo, amount_fen: int | None, original: Original | None
) -> Ask:
    row = row_of(kind)
    fields: Fields = {
        3: row.processing_code,
        22: _SCANNED,
        25: row.condition,
        49: CURRENCY,
        59: build_scan_info(info),
    }
    if amount_fen is not None:
        fields[4] = _amount(amount_fen)
    if original is not None:
        fields[61] = build_original(original)
    return Ask(row=row, fields=fields, read_capability=_CODE_READER)


def qr_sale(code: str, amount_fen: int, device: DeviceInfo | None = None) -> Ask:
    """0200 扫码消费 by the code that the payer shows (F59 A3)."""
    info = ScanInfo(code=code, device=device or DeviceInfo())
    return _scan(_K.QR_SALE, info, amount_fen, None)


def qr_void(amount_fen: int, original: Original, *, code: str = "", voucher: str = "") -> Ask:
    """0200 扫码撤销: F59 with the voucher number of the answer (A4), or the code again."""
    return _scan(_K.QR_VOID, ScanInfo(code=code, voucher=voucher), amount_fen, original)


def qr_refund(amount_fen: int, original: Original, *, code: str = "", voucher: str = "") -> Ask:
    """0220 扫码退货, part or whole."""
    return _scan(_K.QR_REFUND, ScanInfo(code=code, voucher=voucher), amount_fen, original)


def qr_query(original: Original | None = None, *, code: str = "", voucher: str = "") -> Ask:
    """0200 扫码查询, a private extension: what became of the code or voucher number."""
    return _scan(_K.QR_QUERY, ScanInfo(code=code, voucher=voucher), None, original)


def status_inquiry(original: Original) -> Ask:
    """0200 支付结果查询, a private extension: whether the sale of this batch and trace is paid."""
    row = row_of(_K.STATUS_INQUIRY)
    fields: Fields = {
        3: row.processing_code,
        25: row.condition,
        49: CURRENCY,
        61: build_original(original),
    }
    return Ask(row=row, fields=fields)


def live_code(amount_fen: int, trace: str = "") -> Ask:
    """0200 收款码, a private extension: a code to show; under an earlier ``trace`` its next one."""
    row = row_of(_K.LIVE_CODE)
    fields: Fields = {
        3: row.processing_code,
        4: _amount(amount_fen),
        25: row.condition,
        49: CURRENCY,
    }
    return Ask(row=row, fields=fields, trace=trace)


def let_through(ask: Ask, operator_id: str, operator_pin: str) -> Ask:
    """The same request with an operator's PIN, a private extension (F58)."""
    return replace(ask, operator_id=operator_id, operator_pin=operator_pin)


def original_of(batch: str, trace: str, date: str = "") -> Original:
    """What F61 says of a transaction; raises :class:`CodecError` for what are no numbers."""
    return Original(exactly(61, "the batch", batch, 6), exactly(61, "the trace", trace, 6), date)

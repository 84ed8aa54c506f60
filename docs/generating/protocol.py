"""The POS protocol as the gateway speaks it: fields, transactions, dialects, codes."""

import enum
from collections.abc import Iterable
from pathlib import Path

from docs.generating.writing import attribute_docs, between_marks, code_text, table_text
from pos_protocol import asks
from pos_protocol.describe import describe
from pos_protocol.dialect import STANDARD, Dialect
from pos_protocol.fields.payment_status import PaymentState
from pos_protocol.header import HostInstruction
from pos_protocol.response_codes import RESPONSE_CODES
from pos_protocol.spec import FIELDS, FieldSpec, Size
from pos_protocol.terminal import Terminal, TerminalIdentity, TerminalScheme
from pos_protocol.transaction_kinds import CHINESE_NAMES, Transaction, TransactionKind
from pos_protocol.transactions import TRANSACTIONS


def pos_protocol(root: Path) -> str:
    """``pos_protocol.md`` with what stands between its markers."""
    text = (root / "docs" / "pos_protocol.md").read_text(encoding="utf-8")
    for name, body in (
        ("pos-fields", _pos_fields()),
        ("pos-example", _pos_example()),
        ("pos-transactions", _pos_transactions()),
        ("pos-reversals", _pos_reversals()),
        ("pos-states", _pos_states(root)),
        ("pos-dialect", _pos_dialect(root)),
        ("pos-instructions", _pos_instructions()),
        ("pos-codes", _pos_codes()),
    ):
        text = between_marks(text, name, body)
    return text


def _pos_fields() -> str:
    rows = [
        [f"F{spec.number}", spec.name, spec.name_zh, spec.content.value, _size(spec)]
        for spec in FIELDS.values()
    ]
    return table_text(["Field", "Name", "", "Content", "Length"], rows)


def _size(spec: FieldSpec) -> str:
    if spec.size is Size.FIXED:
        return f"{spec.length}{', right-aligned' * spec.align_right}"
    return f"{spec.size.name}, up to {spec.length}"


class _NoKeys:
    """An example needs no secret."""

    def unwrap_keys(self, _scheme: TerminalScheme, _keys: bytes) -> bool:
        return True

    def mac(self, _data: bytes) -> bytes:
        return b"B7133B57"

    def pin_block(self, _pin: str, _pan: str) -> bytes:
        return bytes(8)


def _pos_example() -> str:
    identity = TerminalIdentity(terminal_id="22003600", merchant_id="104512541110001")
    terminal = Terminal(identity, _NoKeys(), trace=7, batch="006603")
    payload = terminal.ask(asks.qr_sale("289900000000000017", 1990)).payload
    digits = payload.hex().upper()
    lines = "\n".join(digits[at : at + 64] for at in range(0, len(digits), 64))
    return f"```\n{lines}\n```\n\n```\n{describe(payload).as_text()}\n```\n"


def _pos_transactions() -> str:
    rows: list[list[str]] = []
    for row in _grouped():
        name = f"{_words(row.kind)} {CHINESE_NAMES[row.kind]}"
        codes = [one.management for one in TRANSACTIONS if _is_alike(one, row)]
        rows.append(
            [
                f"*{name}*" if row.is_private else name,
                row.mti,
                row.processing_code,
                row.condition,
                row.type_code,
                " ".join(codes) if not row.processing_code else row.management,
                _numbers(row.required),
                _numbers(row.added),
                "yes" if row.has_mac else "",
            ]
        )
    head = ["Transaction", "MTI", "F3", "F25", "60.1", "60.3", "Asked", "Answered", "MAC"]
    return table_text(head, rows)


def _grouped() -> Iterable[Transaction]:
    """Every row but the reversals; of management rows that differ in 60.3 alone, the first."""
    for row in TRANSACTIONS:
        if row.original is None and next(one for one in TRANSACTIONS if _is_alike(one, row)) is row:
            yield row


def _is_alike(one: Transaction, other: Transaction) -> bool:
    if one is other:
        return True
    shape = (other.kind, other.mti, other.required, other.added)
    is_management = not (one.processing_code or other.processing_code)
    return is_management and (one.kind, one.mti, one.required, one.added) == shape


def _words(kind: TransactionKind) -> str:
    return kind.value.replace("_", " ").replace("qr", "QR")


def _numbers(fields: Iterable[int]) -> str:
    return " ".join(map(str, fields))


def _pos_reversals() -> str:
    rows = [
        [_words(row.original), row.processing_code, row.condition, row.type_code,
         _numbers(row.required)]
        for row in TRANSACTIONS
        if row.original is not None
    ]  # fmt: skip
    return table_text(["Reversal of", "F3", "F25", "60.1", "Asked"], rows)


def _pos_states(root: Path) -> str:
    source = (root / "pos_protocol" / "fields" / "payment_status.py").read_text(encoding="utf-8")
    texts = attribute_docs(source, "PaymentState")
    rows = [
        [code_text(state.value), state.name.lower().replace("_", " "), texts[state.name]]
        for state in PaymentState
    ]
    return table_text(["Digit", "State", "Meaning"], rows)


def _pos_dialect(root: Path) -> str:
    source = (root / "pos_protocol" / "dialect.py").read_text(encoding="utf-8")
    texts = attribute_docs(source, "Dialect")
    rows = []
    for name, text in texts.items():
        value = getattr(STANDARD, name)
        shown = value.value if isinstance(value, enum.Enum) else value
        rows.append(
            [code_text(name), "none" if name == "extra_fields" else code_text(str(shown)), text]
        )
    if texts.keys() != set(Dialect.__dataclass_fields__):
        raise ValueError("an option of the dialect has no text")
    return table_text(["Option", "Usual", "Meaning"], rows)


def _pos_instructions() -> str:
    rows = [[str(one.value), one.name.lower().replace("_", " ")] for one in HostInstruction]
    return table_text(["Nibble", "Instruction"], rows)


def _pos_codes() -> str:
    rows = [
        [code_text(line.code), line.response_class.value, line.zh, line.en]
        for line in RESPONSE_CODES.values()
    ]
    return table_text(["F39", "Class", "", "Meaning"], rows)

"""A message for people and scripts, masked.

Rules: prefix, TPDU and header are found by trying (``envelope.py``). Vendor fields
seen in the wild (F47) are shown as opaque bytes. A message that cannot be read shows
the fields before the fault, and a diagnosis that names the field and the byte.
"""

import json
import string
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pos_protocol.codec import decode_before, encode
from pos_protocol.dialect import Dialect, opaque
from pos_protocol.envelope import Opened, open_envelope
from pos_protocol.errors import CodecError
from pos_protocol.header import instruction_named, instruction_of
from pos_protocol.masking import masked_value
from pos_protocol.message import Message
from pos_protocol.spec import Size
from pos_protocol.subfields import Parts, parts_of
from pos_protocol.transactions import identify, is_reply, missing_fields, request_mti

__all__ = ["Description", "describe"]

MAX_BYTES: Final = 0xFFFF
_BEYOND_LAST_FIELD: Final = 65
SEEN_IN_THE_WILD: Final = Dialect(MappingProxyType({47: opaque(47, Size.LLL)}))


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field, masked: its value, and its parts where it has any."""

    number: int
    name: str
    value: str
    parts: Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What was found; ``problem`` is ``""`` for a sound message.

    ``tpdu`` and ``header`` are hex, ``""`` when absent; ``skipped`` is a vendor's
    routing block between them. ``instruction`` is what an answer's header tells the
    terminal to do; ``missing`` are the fields that a request of its kind must have.
    """

    problem: str = ""
    tpdu: str = ""
    skipped: str = ""
    header: str = ""
    mti: str = ""
    transaction: str = ""
    instruction: str = ""
    missing: tuple[int, ...] = ()
    fields: tuple[FieldView, ...] = ()
    reencodes: bool = False

    def as_dict(self) -> dict[str, object]:
        """The JSON form; ``problem`` and ``skipped`` only when there are any."""
        answer: dict[str, object] = {
            "tpdu": self.tpdu,
            "header": self.header,
            "mti": self.mti,
            "fields": {str(view.number): view.value for view in self.fields},
            "reencodes": self.reencodes,
        }
        if self.skipped:
            answer["skipped"] = self.skipped
        if self.problem:
            answer["problem"] = self.problem
        return answer

    def as_json(self) -> str:
        """:meth:`as_dict` as one line of JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_text(self) -> str:
        """One line per field, its parts indented below it."""
        heads = (
            ("TPDU", self.tpdu),
            ("Skipped", self.skipped),
            ("Header", f"{self.header}  {self.instruction}".strip()),
            ("MTI", f"{self.mti}  {self.transaction}".strip()),
        )
        lines = [f"{name:<8}{value}" for name, value in heads if value]
        for view in self.fields:
            lines.append(f"F{view.number:<3} {view.name}: {view.value}")
            lines += [f"       · {name}: {held}" for name, held in view.parts]
        if self.missing and not self.problem:
            lines.append(f"Missing: {', '.join(f'F{number}' for number in self.missing)}")
        if self.problem:
            lines.append(f"Problem: {self.problem}")
        elif not self.reencodes:
            lines.append("Note: encoding it again gives other bytes")
        return "\n".join(lines)


def describe(source: str | bytes) -> Description:
    """Describe a message given as hex (blanks permitted) or as bytes. Never raises."""
    if isinstance(source, bytes):
        return _describe(source)
    digits = "".join(source.split())
    if digits.strip(string.hexdigits):
        return Description(problem="not hexadecimal")
    if len(digits) % 2:
        return Description(problem=f"odd number of hex digits ({len(digits)})")
    return _describe(bytes.fromhex(digits))


def _describe(raw: bytes) -> Description:
    if not 0 < len(raw) <= MAX_BYTES:
        return Description(problem=f"{len(raw)} bytes are no message")
    opened = open_envelope(raw, SEEN_IN_THE_WILD)
    envelope, message, problem = opened.envelope, opened.message, opened.prefix_fault
    if opened.error is not None:
        fault = str(envelope.place(opened.error))
        problem = f"{problem}; {fault}" if problem else fault
        message = _before_the_fault(opened, opened.error)
    if message is None:
        return Description(problem=problem)
    return Description(
        problem=problem,
        tpdu=envelope.tpdu.hex().upper(),
        skipped=envelope.skipped.hex().upper(),
        header=envelope.header.hex().upper(),
        mti=message.mti,
        transaction=_transaction(message),
        instruction=_instruction(message, envelope.header),
        missing=_missing(message),
        fields=tuple(_view(message, number) for number in message.fields),
        reencodes=opened.error is None and encode(message, SEEN_IN_THE_WILD) == envelope.payload,
    )


def _before_the_fault(opened: Opened, error: CodecError) -> Message | None:
    """What could be read, ``None`` if not even the bitmap."""
    payload = opened.envelope.payload
    is_trailing = error.field == 0 and error.offset > len(payload) - len(opened.envelope.body) + 10
    if error.field <= 1 and not is_trailing:
        return None
    try:
        return decode_before(payload, error.field or _BEYOND_LAST_FIELD, SEEN_IN_THE_WILD)
    except CodecError:
        return None


def _view(message: Message, number: int) -> FieldView:
    spec = SEEN_IN_THE_WILD.field(number)
    name = f"{spec.name} {spec.name_zh}" if spec is not None else ""
    return FieldView(number, name, masked_value(message, number), parts_of(message, number))


def _instruction(message: Message, header: bytes) -> str:
    """What an answer's header asks of the terminal, in words."""
    if not is_reply(message.mti) or not instruction_of(header):
        return ""
    asked = instruction_named(header)
    return asked.name.lower().replace("_", " ") if asked else ""


def _missing(message: Message) -> tuple[int, ...]:
    row = identify(message)
    return missing_fields(message, row) if row is not None else ()


def _transaction(message: Message) -> str:
    """What the message is, in words; ``""`` if the table does not know it."""
    mti = message.mti
    as_request = Message(message.tpdu, message.header, request_mti(mti), message.fields)
    row = identify(as_request)
    if row is None:
        return ""
    words = row.kind.value.replace("_", " ")
    if row.original is not None:
        words = f"{words} of {row.original.value.replace('_', ' ')}"
    return f"answer to {words}" if is_reply(mti) else words

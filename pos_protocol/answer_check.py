"""Whether an answer may be believed (reference §6, "Terminal response checks").

Rules: the MTI is the request's plus 10; F3, F4, F11, F41 and F42 are the request's (F4
not with a partial approval); F39 is there, but for a settlement, whose answer says in F48
what it thinks; the MAC is checked when the answer approves, because a decline may come
without one.
"""

from collections.abc import Callable
from typing import Final

from pos_protocol.codec import mac_input
from pos_protocol.message import Message
from pos_protocol.outcome import AnswerFault
from pos_protocol.response_codes import APPROVED, PARTIALLY_APPROVED, is_success
from pos_protocol.transactions import reply_mti

_COMPARED: Final = (3, 4, 11, 41, 42)
_SETTLEMENT: Final = "0500"

Verdict = tuple[AnswerFault | None, str]
"""What is wrong, and in words; ``(None, "")`` when nothing is."""


def code_of(asked: Message, answer: Message) -> str:
    """F39; a settlement's answer with totals counts as approved without one."""
    code = answer.text(39)
    return APPROVED if not code and asked.mti == _SETTLEMENT and 48 in answer.fields else code


def check_answer(
    asked: Message, answer: Message, payload: bytes, mac: Callable[[bytes], bytes]
) -> Verdict:
    """Hold ``answer``, read from ``payload``, against what was asked."""
    if answer.mti != reply_mti(asked.mti):
        return AnswerFault.MISMATCH, "another MTI"
    code = code_of(asked, answer)
    if not code:
        return AnswerFault.MISMATCH, "no F39"
    for number in _COMPARED:
        if number == 4 and code == PARTIALLY_APPROVED:
            continue
        if number in asked.fields and answer.fields.get(number) != asked.fields[number]:
            return AnswerFault.MISMATCH, f"another F{number}"
    if is_success(code) and 64 in asked.fields:
        if 64 not in answer.fields:
            return AnswerFault.BAD_MAC, "approved without F64"
        if mac(mac_input(payload)) != answer.data(64):
            return AnswerFault.BAD_MAC, "F64 differs"
    return None, ""

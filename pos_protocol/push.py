"""What a host tells a terminal that asked nothing: a private extension of Posgate.

``0820`` with 60.3 = 930 and a MAC: a payment was made to this terminal's merchant by other
means, such as a printed code. F62 is what an inquiry would be answered with. No answer is
expected. To a terminal that does not know it, it is a message that answers nothing; one
that waits for an answer may take it for a wrong one, so none is sent meanwhile.
"""

from typing import Final

from pos_protocol.dialect import STANDARD, Dialect, HeaderForm
from pos_protocol.fields.payment_status import PaymentStatus, build_payment_status
from pos_protocol.message import Message

PUSH_MTI: Final = "0820"
PUSH_MANAGEMENT: Final = "930"
_TPDU: Final = bytes.fromhex("6000000000")
_HEADER: Final = bytes.fromhex("603100000000")


def payment_push(
    *,
    merchant_id: str,
    terminal_id: str,
    batch: str,
    amount_fen: int,
    reference: str,
    hhmmss: str,
    mmdd: str,
    status: PaymentStatus,
    dialect: Dialect = STANDARD,
) -> Message:
    """The message but for its MAC; ``reference`` is F37, 12 characters.

    Write it by ``encode_with_mac`` under the terminal's current MAC key.

    Raises:
        CodecError: a status that has no form.
    """
    headers = {
        HeaderForm.STANDARD: _HEADER,
        HeaderForm.NONE: b"",
        HeaderForm.ROUTED: bytes(14) + _HEADER,
    }
    fields: dict[int, str | bytes] = {
        4: f"{amount_fen:012d}",
        12: hhmmss,
        13: mmdd,
        37: reference,
        41: terminal_id,
        42: merchant_id,
        60: f"00{batch}{PUSH_MANAGEMENT}",
        62: build_payment_status(status),
    }
    return Message(_TPDU, headers[dialect.header], PUSH_MTI, fields)

"""An acquirer's files of a clearing day as UnionPay makes them (``channels.md`` C3).

Rules: fixed width, a blank between fields, text in GBK, LF; offsets are written here by
themselves, so that a fault in the reader's shows.

* ACOM and ACOMN list what was cleared, ACOMN with the order's number; COMA lists what was
  undone as well, marked: R on a transaction and its reversal, C on a payment and its void.
* AERR lists what went back without a request of ours.
* A payment costs interchange (0.45 %) and the switch's fee (0.065 %), each rounded half up;
  what goes back earns both again.
"""

from dataclasses import dataclass, field
from typing import Final

from sandbox.merchant_file import SENDER, stamp, written

_INSTITUTION: Final = "48379219"
_ISSUER: Final = "90880051"
_ACOM_BYTES: Final = 299
_ACOMN_BYTES: Final = 368
_COMA_BYTES: Final = 719
_AERR_BYTES: Final = 358


@dataclass(frozen=True, slots=True, kw_only=True)
class InstitutionRow:
    """A transaction as the acquirer is told of it; ``pan`` is masked.

    ``reference`` is F37, in an error row that of the transaction before; ``is_return`` says that
    money goes back; ``reversed`` and ``cancelled`` are the marks of a COMA. ``fee_beside_fen`` is
    interchange beyond what is due.
    """

    trace: str
    at_ms: int
    pan: str = field(repr=False)
    amount_fen: int
    mti: str
    processing: str
    condition: str
    terminal_id: str
    merchant_id: str
    reference: str
    order_no: str
    is_return: bool
    auth_code: str = ""
    original_trace: str = ""
    original_at_ms: int = 0
    reversed: bool = False
    cancelled: bool = False
    code: str = ""
    fee_beside_fen: int = 0


def interchange_fen(amount_fen: int) -> int:
    """0.45 %."""
    return (amount_fen * 45 + 5_000) // 10_000


def switch_fee_fen(amount_fen: int) -> int:
    """0.065 %."""
    return (amount_fen * 65 + 50_000) // 100_000


def acom(row: InstitutionRow) -> bytes:
    """A record of an ACOM."""
    return bytes(_general(row, _ACOM_BYTES))


def acomn(row: InstitutionRow) -> bytes:
    """A record of an ACOMN."""
    line = _general(row, _ACOMN_BYTES)
    written(line, {300: "000201 0000", 323: row.order_no, 364: "0401"})
    return bytes(line)


def coma(row: InstitutionRow) -> bytes:
    """A record of a COMA."""
    line = _general(row, _COMA_BYTES)
    written(
        line,
        {
            300: _INSTITUTION,
            312: _ISSUER,
            324: "R" if row.reversed else " ",
            326: "C" if row.cancelled else " ",
            328: stamp(row.at_ms)[:4],
            333: "01",
            336: "街角小店",
            377: "0156",
            674: row.order_no,
            715: "0401",
        },
    )
    return bytes(line)


def _general(row: InstitutionRow, length: int) -> bytearray:
    """What ACOM, ACOMN and COMA have in common."""
    line = bytearray(b" " * length)
    receivable, payable, switch = _fees(row)
    written(
        line,
        {
            0: _INSTITUTION,
            12: SENDER,
            24: row.trace,
            31: stamp(row.at_ms),
            42: row.pan,
            62: f"{row.amount_fen:012}",
            75: "0" * 12,
            88: " " + "0" * 11,
            101: row.mti,
            106: row.processing,
            113: "5411",
            118: row.terminal_id,
            127: row.merchant_id,
            143: row.reference,
            156: row.condition,
            159: row.auth_code or "000000",
            166: _ISSUER,
            178: row.original_trace or "000000",
            185: "00",
            188: "021",
            192: receivable,
            205: payable,
            218: switch,
            231: "1",
            233: "000",
            237: "0",
            239: "0",
            241: stamp(row.original_at_ms),
            252: _ISSUER,
            264: "0",
            266: "07",
            269: "10",
            272: " " + "0" * 11,
        },
    )
    return line


def _fees(row: InstitutionRow) -> tuple[str, str, str]:
    """Interchange to receive and to pay, and the switch's fee with its sign."""
    interchange = f"{interchange_fen(row.amount_fen) + row.fee_beside_fen:012}"
    switch = f"{switch_fee_fen(row.amount_fen):011}"
    nothing = "0" * 12
    if row.is_return:
        return interchange, nothing, f"C{switch}"
    return nothing, interchange, f"D{switch}"


def aerr(row: InstitutionRow) -> bytes:
    """A record of an AERR, to its field of the transaction before."""
    line = bytearray(b" " * _AERR_BYTES)
    written(
        line,
        {
            0: row.code,
            4: _INSTITUTION,
            16: SENDER,
            28: row.trace,
            35: stamp(row.at_ms),
            46: row.pan,
            66: f"{row.amount_fen:012}",
            79: row.mti,
            84: row.processing,
            91: "5411",
            96: row.terminal_id,
            105: row.reference,
            118: row.condition,
            121: "000000",
            128: _ISSUER,
            140: _ISSUER,
            152: row.original_trace or "000000",
            159: "00",
            162: "021",
            313: stamp(row.original_at_ms),
        },
    )
    return bytes(line)

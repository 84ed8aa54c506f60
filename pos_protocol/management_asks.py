"""What a terminal asks for that moves no money: settlement, uploads, downloads, queries.

Rule: as in ``asks.py``. The order of a settlement (reference §6): scripts, reversals and
advices that wait, 0500, then what the answer's flags ask for, then the end of the upload.
"""

from collections.abc import Sequence
from typing import Final

from pos_protocol.asks import Ask, Fields
from pos_protocol.card import Card
from pos_protocol.errors import CodecError, TlvError
from pos_protocol.fields.digits import exactly
from pos_protocol.fields.download import build_query
from pos_protocol.fields.original import Original, build_original
from pos_protocol.fields.totals import SettlementTotals, build_totals
from pos_protocol.fields.upload import (
    ChipLine,
    UploadLine,
    build_chip_line,
    build_count,
    build_lines,
)
from pos_protocol.message import Message
from pos_protocol.outcome import Request
from pos_protocol.tlv import ber_build, ber_items
from pos_protocol.transactions import TransactionKind, batch_of, row_of

_K = TransactionKind
_SCRIPT_TAGS: Final = frozenset({"9F33", "95", "9F37", "9F1E", "9F10", "9F26", "9F36", "82",
                                 "DF31", "9F1A", "9A"})  # fmt: skip
_SCRIPT_FIELDS: Final = (2, 3, 4, 22, 23, 25, 37, 49)
_NOT_IN_A_NOTICE: Final = frozenset({64})


def settlement(totals: SettlementTotals, operator: str) -> Ask:
    """0500 批结算."""
    fields: Fields = {48: build_totals(totals), 49: "156", 63: operator}
    return Ask(row=row_of(_K.SETTLEMENT), fields=fields)


def upload_lines(lines: Sequence[UploadLine]) -> Ask:
    """0320 批上送 of up to eight magnetic transactions (60.3 = 201)."""
    return Ask(row=row_of(_K.UPLOAD, "201"), fields={48: build_lines(lines)})


def upload_chip(card: Card, trace: str, line: ChipLine, *, totals_agreed: bool) -> Ask:
    """0320 of one chip transaction: 60.3 = 203 or 205, for a failed one 204 or 206."""
    codes = ("205", "203") if not line.has_failed else ("206", "204")
    fields: Fields = {2: card.pan, 62: build_chip_line(line)}
    if card.sequence:
        fields[23] = card.sequence
    if card.icc_data:
        fields[55] = card.icc_data
    trace = exactly(11, "the trace", trace, 6)
    return Ask(row=row_of(_K.UPLOAD, codes[totals_agreed]), fields=fields, trace=trace)


def upload_end(count: int, *, totals_agreed: bool) -> Ask:
    """0320 批上送结束: 60.3 = 207, or 202 after totals that differed."""
    row = row_of(_K.UPLOAD_END, "207" if totals_agreed else "202")
    return Ask(row=row, fields={48: build_count(count)})


def notice_upload(advice: Request) -> Ask:
    """0320 通知类上送: an advice once more, without MAC, during an upload."""
    message = advice.message
    fields: Fields = {
        number: value for number, value in message.fields.items() if number not in _NOT_IN_A_NOTICE
    }
    return Ask(row=row_of(_K.NOTICE_UPLOAD), fields=fields, trace=message.text(11))


def script_result(of: Request, answer: Message, chip_data: bytes) -> Ask:
    """0620 脚本结果通知: how the issuer's script in ``answer`` to ``of`` went.

    ``chip_data`` is what the chip says now; the tags that a script's notice carries are
    taken from it.
    """
    asked = of.message
    fields: Fields = {
        number: asked.fields[number] for number in _SCRIPT_FIELDS if number in asked.fields
    }
    if 37 in answer.fields:
        fields[37] = answer.fields[37]
    fields[55] = _script_tags(chip_data)
    original = Original(batch_of(asked), asked.text(11), answer.text(13))
    fields[61] = build_original(original)
    return Ask(row=row_of(_K.SCRIPT_RESULT), fields=fields)


def _script_tags(chip_data: bytes) -> bytes:
    try:
        return ber_build(item for item in ber_items(chip_data) if item[0] in _SCRIPT_TAGS)
    except TlvError as error:
        raise CodecError(55, -1, error.reason) from None


def download(management: str, wanted: bytes = b"") -> Ask:
    """0800 参数下载; ``wanted`` names the entry, if F62 does.

    ``management`` (60.3) is 360 terminal parameters, 364 terminal management, 370 chip public
    keys, 380 chip parameters, 390 black list or 394 contactless parameters.
    """
    fields: Fields = {62: wanted} if wanted else {}
    return Ask(row=row_of(_K.DOWNLOAD, management), fields=fields)


def download_end(management: str) -> Ask:
    """0800 下载结束 of the download ``management``: 60.3 is the number after it."""
    return Ask(row=row_of(_K.DOWNLOAD_END, f"{int(management) + 1}"))


def query(management: str, known_entries: int = 0) -> Ask:
    """0820 状态查询: from which entry on the list is wanted.

    ``management`` (60.3) is 362 terminal status, 372 the list of chip public keys, 373 that with
    SM2, or 382 the list of chip parameters.
    """
    return Ask(row=row_of(_K.QUERY, management), fields={62: build_query(known_entries)})

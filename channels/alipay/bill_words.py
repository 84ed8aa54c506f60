"""What both of Alipay's files write alike: encoding, days, comment lines.

Rules: GBK (read as its superset GB 18030); UTF-8 where the vendor's own words stand in it so,
as spreadsheets save it, with a byte-order mark or without. The days in the head are the
account's, and a day that was asked for must be one of them.
"""

import re
from datetime import date
from typing import Final

from channels.bill_archive import BillMember
from channels.bill_text import UTF8_BOM

GBK: Final = "gb18030"
_HEAD_BYTES: Final = 4096
_VENDOR: Final = "支付宝".encode()
_DAYS: Final = re.compile(
    r"起始日期[：:]\s*\[(\d{4})年(\d\d)月(\d\d)日[^\]]*\]\s*"
    r"终止日期[：:]\s*\[(\d{4})年(\d\d)月(\d\d)日",
    re.ASCII,
)


def encoding_of(member: BillMember) -> tuple[str, int]:
    """The encoding of a file by how it begins, and how many bytes its mark takes."""
    head = head_of(member)
    mark_bytes = len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0
    return ("utf-8" if _VENDOR in head else GBK), mark_bytes


def head_of(member: BillMember) -> bytes:
    """How a file begins: more than its comments."""
    with member.opened() as source:
        return source.read(_HEAD_BYTES)


def is_about(comment: str, day: date) -> bool | None:
    """Whether the days that a comment line names hold ``day``; ``None`` if it names none.

    The last day is named by its own midnight or by the next one's; both hold.
    """
    found = _DAYS.search(comment)
    if found is None:
        return None
    try:
        year, month, of_month, *until = map(int, found.groups())
        return date(year, month, of_month) <= day <= date(*until)
    except ValueError:
        return False

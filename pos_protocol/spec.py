"""The field table of the UnionPay POS dialect, as data (reference §2).

Rules: one BCD length byte for ``LL``, two for ``LLL``; BCD content counts digits,
everything else counts bytes. A field that the table gives no maximum has the
largest its length can say. An odd number of digits is left-aligned with one pad
nibble on the right; only F23 is right-aligned.

A vendor's field outside the table is declared in a dialect (``dialect.py``);
undeclared, it makes the message unreadable, because its length cannot be known.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class Content(enum.Enum):
    """How a field's bytes become a value."""

    DIGITS = "digits"
    """BCD, decimal digits only → ``str``."""
    NIBBLES = "nibbles"
    """BCD by name, but real terminals send any nibble (F60, F61) → ``str``, upper-case hex."""
    TRACK = "track"
    """As ``NIBBLES``, with nibble D read as ``=``; an encrypted track has any nibble."""
    ASCII = "ascii"
    """Printable ASCII → ``str``."""
    TEXT = "text"
    """ASCII or GBK → ``str`` (see ``charset.py``)."""
    BINARY = "binary"
    """As it stands → ``bytes``."""


class Size(enum.Enum):
    """How a field's length is known."""

    FIXED = 0
    LL = 1
    LLL = 2

    @property
    def prefix_bytes(self) -> int:
        """How many BCD length bytes precede the content."""
        return self.value


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One line of the table; ``length`` is exact if fixed, the maximum otherwise."""

    number: int
    name: str
    name_zh: str
    content: Content
    length: int
    size: Size = Size.FIXED
    align_right: bool = False

    @property
    def is_bcd(self) -> bool:
        """Whether the length counts digits, two to a byte."""
        return self.content in _BCD

    @property
    def fixed_bytes(self) -> int:
        """Bytes on the wire of a fixed field."""
        return (self.length + 1) // 2 if self.is_bcd else self.length


_BCD = frozenset({Content.DIGITS, Content.NIBBLES, Content.TRACK})
_C, _LL, _LLL = Content, Size.LL, Size.LLL

_TABLE = (
    FieldSpec(2, "Primary account number", "主账号", _C.DIGITS, 19, _LL),
    FieldSpec(3, "Processing code", "交易处理码", _C.DIGITS, 6),
    FieldSpec(4, "Amount", "交易金额", _C.DIGITS, 12),
    FieldSpec(11, "Trace number", "受卡方系统跟踪号", _C.DIGITS, 6),
    FieldSpec(12, "Local time", "受卡方所在地时间", _C.DIGITS, 6),
    FieldSpec(13, "Local date", "受卡方所在地日期", _C.DIGITS, 4),
    FieldSpec(14, "Expiry date", "卡有效期", _C.DIGITS, 4),
    FieldSpec(15, "Settlement date", "清算日期", _C.DIGITS, 4),
    FieldSpec(22, "Entry mode", "服务点输入方式码", _C.DIGITS, 3),
    FieldSpec(23, "Card sequence number", "卡序列号", _C.DIGITS, 3, align_right=True),
    FieldSpec(25, "Condition code", "服务点条件码", _C.DIGITS, 2),
    FieldSpec(26, "PIN capture code", "服务点PIN获取码", _C.DIGITS, 2),
    FieldSpec(32, "Acquirer", "受理方标识码", _C.DIGITS, 11, _LL),
    FieldSpec(35, "Track 2", "二磁道数据", _C.TRACK, 37, _LL),
    FieldSpec(36, "Track 3", "三磁道数据", _C.TRACK, 104, _LLL),
    FieldSpec(37, "Reference number", "检索参考号", _C.ASCII, 12),
    FieldSpec(38, "Authorisation code", "授权标识应答码", _C.ASCII, 6),
    FieldSpec(39, "Response code", "应答码", _C.ASCII, 2),
    FieldSpec(41, "Terminal", "受卡机终端标识码", _C.ASCII, 8),
    FieldSpec(42, "Merchant", "受卡方标识码", _C.ASCII, 15),
    FieldSpec(43, "Merchant name", "商户名称", _C.TEXT, 40),
    FieldSpec(44, "Additional response data", "附加响应数据", _C.TEXT, 25, _LL),
    FieldSpec(48, "Private data", "附加数据", _C.DIGITS, 322, _LLL),
    FieldSpec(49, "Currency", "交易货币代码", _C.ASCII, 3),
    FieldSpec(52, "PIN block", "个人标识码数据", _C.BINARY, 8),
    FieldSpec(53, "Security control", "安全控制信息", _C.DIGITS, 16),
    FieldSpec(54, "Additional amounts", "附加金额", _C.ASCII, 120, _LLL),
    FieldSpec(55, "Chip data", "IC卡数据域", _C.BINARY, 255, _LLL),
    FieldSpec(57, "Private data", "自定义域57", _C.TEXT, 999, _LLL),
    FieldSpec(58, "Private data", "自定义域58", _C.TEXT, 999, _LLL),
    FieldSpec(59, "Scan and terminal information", "扫码与终端信息", _C.TEXT, 999, _LLL),
    FieldSpec(60, "Private data 60", "自定义域60", _C.NIBBLES, 999, _LLL),
    FieldSpec(61, "Original transaction", "原始信息域", _C.NIBBLES, 999, _LLL),
    FieldSpec(62, "Private data 62", "自定义域62", _C.BINARY, 999, _LLL),
    FieldSpec(63, "Private data 63", "自定义域63", _C.TEXT, 999, _LLL),
    FieldSpec(64, "MAC", "报文鉴别码", _C.BINARY, 8),
)

FIELDS: Final[Mapping[int, FieldSpec]] = MappingProxyType({spec.number: spec for spec in _TABLE})
"""Every field of the standard dialect, ascending."""

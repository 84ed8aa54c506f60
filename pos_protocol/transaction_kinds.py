"""What a terminal can ask for, and the form of one row of the transaction table."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


class TransactionKind(enum.Enum):
    """What a terminal asks for."""

    __hash__ = object.__hash__  # as ``==``, by identity: an enumeration's own costs ten times it

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    ECHO = "echo"
    SALE = "sale"
    QR_SALE = "qr_sale"
    REVERSAL = "reversal"
    BALANCE = "balance"
    VOID = "void"
    QR_VOID = "qr_void"
    REFUND = "refund"
    QR_REFUND = "qr_refund"
    QR_QUERY = "qr_query"
    STATUS_INQUIRY = "status_inquiry"
    LIVE_CODE = "live_code"
    PREAUTH = "preauth"
    PREAUTH_VOID = "preauth_void"
    PREAUTH_ADDITIONAL = "preauth_additional"
    PREAUTH_MOTO = "preauth_moto"
    COMPLETION = "completion"
    COMPLETION_ADVICE = "completion_advice"
    COMPLETION_VOID = "completion_void"
    INSTALMENT_SALE = "instalment_sale"
    POINTS_SALE = "points_sale"
    MOTO_SALE = "moto_sale"
    OFFLINE_SALE = "offline_sale"
    ADJUSTMENT = "adjustment"
    TIP = "tip"
    OFFLINE_ECASH = "offline_ecash"
    ECASH_LOAD = "ecash_load"
    SETTLEMENT = "settlement"
    UPLOAD = "upload"
    UPLOAD_END = "upload_end"
    NOTICE_UPLOAD = "notice_upload"
    SCRIPT_RESULT = "script_result"
    DOWNLOAD = "download"
    DOWNLOAD_END = "download_end"
    QUERY = "query"
    MASTER_KEY_DOWNLOAD = "master_key_download"
    E_RECEIPT = "e_receipt"


_K = TransactionKind
SETTLEMENT_KINDS: Final = frozenset({_K.SETTLEMENT, _K.UPLOAD, _K.UPLOAD_END, _K.NOTICE_UPLOAD})
"""What settles a batch; it has no MAC, and needs a terminal that is signed in."""
CHINESE_NAMES: Final[Mapping[TransactionKind, str]] = MappingProxyType(
    {
        _K.SIGN_IN: "签到", _K.SIGN_OUT: "签退", _K.ECHO: "回响测试", _K.SALE: "消费",
        _K.QR_SALE: "扫码消费", _K.REVERSAL: "冲正", _K.BALANCE: "余额查询", _K.VOID: "消费撤销",
        _K.QR_VOID: "扫码撤销", _K.REFUND: "退货", _K.QR_REFUND: "扫码退货",
        _K.QR_QUERY: "扫码查询", _K.STATUS_INQUIRY: "支付结果查询",
        _K.LIVE_CODE: "收款码", _K.PREAUTH: "预授权",
        _K.PREAUTH_VOID: "预授权撤销", _K.PREAUTH_ADDITIONAL: "追加预授权",
        _K.PREAUTH_MOTO: "MOTO预授权", _K.COMPLETION: "预授权完成(请求)",
        _K.COMPLETION_ADVICE: "预授权完成(通知)", _K.COMPLETION_VOID: "预授权完成撤销",
        _K.INSTALMENT_SALE: "分期消费", _K.POINTS_SALE: "积分消费", _K.MOTO_SALE: "MOTO消费",
        _K.OFFLINE_SALE: "离线结算", _K.ADJUSTMENT: "结算调整", _K.TIP: "小费",
        _K.OFFLINE_ECASH: "电子现金脱机消费", _K.ECASH_LOAD: "电子现金圈存",
        _K.SETTLEMENT: "批结算", _K.UPLOAD: "批上送", _K.UPLOAD_END: "批上送结束",
        _K.NOTICE_UPLOAD: "通知类上送", _K.SCRIPT_RESULT: "脚本结果通知",
        _K.DOWNLOAD: "参数下载", _K.DOWNLOAD_END: "下载结束", _K.QUERY: "状态查询",
        _K.MASTER_KEY_DOWNLOAD: "主密钥下载", _K.E_RECEIPT: "电子签购单",
    }
)  # fmt: skip
"""What terminals and their makers call each kind."""

_NEED_A_CARD: Final = frozenset(
    {_K.SALE, _K.BALANCE, _K.PREAUTH, _K.PREAUTH_ADDITIONAL, _K.PREAUTH_MOTO,
     _K.INSTALMENT_SALE, _K.POINTS_SALE, _K.MOTO_SALE}
)  # fmt: skip
_ORIGINAL_DATA: Final = (37, 38, 61)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One row. ``original`` is what a ``REVERSAL`` undoes.

    ``required`` are the fields that a request must have (F64 among them if
    ``has_mac``); ``echoed`` those that the answer repeats if the request had them;
    ``added`` those that an approving answer has besides. ``management`` is 60.3,
    ``type_code`` 60.1. ``is_private`` marks Posgate's own extensions.
    """

    kind: TransactionKind
    mti: str
    processing_code: str
    condition: str
    type_code: str
    management: str
    required: tuple[int, ...]
    echoed: tuple[int, ...]
    added: tuple[int, ...]
    has_mac: bool
    original: TransactionKind | None = None
    is_private: bool = False
    required_set: frozenset[int] = field(init=False, repr=False, compare=False)
    """``required``, for one look whether all are there."""
    needs_card: bool = field(init=False, repr=False, compare=False)
    """Whether the request must carry a card number, in F2 or in track 2."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "required_set", frozenset(self.required))
        object.__setattr__(self, "needs_card", self.kind in _NEED_A_CARD)

    @property
    def original_data(self) -> tuple[int, ...]:
        """The required fields that say which earlier transaction is meant: of 37, 38, 61."""
        return tuple(number for number in _ORIGINAL_DATA if number in self.required_set)

    @property
    def is_scan(self) -> bool:
        """Whether F22 begins with 03: a code instead of a card."""
        return (self.original or self.kind) in _SCANS


_SCANS: Final = frozenset({_K.QR_SALE, _K.QR_VOID, _K.QR_REFUND, _K.QR_QUERY})

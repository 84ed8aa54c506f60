"""What every method of the simulated Alipay reads and answers with.

Rule: amounts must be strings or whole numbers; a JSON float is not money.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from domain.clock import beijing
from domain.money import MoneyError, parse_yuan

Biz = Mapping[str, object]
Node = dict[str, object]
MAX_TOTAL_FEN: Final = 10_000_000_000
"""100,000,000 yuan, the vendor's limit of total_amount."""

RETRY_FLAG: Final = "RETRY_FLAG"

_OUT_TRADE_NO = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_BAD_SUBJECT = re.compile(r"[/=&]")


class Refusal(Exception):
    """The channel's no: 40004 with its sub_code and the vendor's Chinese words."""

    def __init__(self, sub_code: str, sub_msg: str, *, code: str = "40004") -> None:
        super().__init__(sub_code)
        self.code = code
        self.sub_code = sub_code
        self.sub_msg = sub_msg


def invalid(name: str) -> Refusal:
    """A parameter that cannot be used."""
    return Refusal("ACQ.INVALID_PARAMETER", f"参数无效：{name}")


def not_exist() -> Refusal:
    """No such trade."""
    return Refusal("ACQ.TRADE_NOT_EXIST", "交易不存在")


def text(biz: Biz, name: str) -> str:
    """A text parameter, empty if it is not there."""
    value = biz.get(name, "")
    if not isinstance(value, str):
        raise invalid(name)
    return value


def amount_fen(biz: Biz, name: str = "total_amount") -> int:
    """An amount that can be charged."""
    value = biz.get(name)
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise invalid(name)
    try:
        fen = parse_yuan(value)
    except MoneyError:
        raise invalid(name) from None
    if fen < 1:
        raise invalid(name)
    if fen > MAX_TOTAL_FEN:
        raise Refusal("ACQ.TOTAL_FEE_EXCEED", "订单总金额不在允许范围内")
    return fen


def new_number(biz: Biz) -> str:
    """The out_trade_no."""
    number = text(biz, "out_trade_no")
    if _OUT_TRADE_NO.fullmatch(number) is None:
        raise invalid("out_trade_no")
    return number


def subject_of(biz: Biz) -> str:
    """The subject, without the vendor's forbidden characters."""
    subject = text(biz, "subject")
    if not subject or len(subject) > 256 or _BAD_SUBJECT.search(subject):
        raise invalid("subject")
    return subject


def success() -> Node:
    """The beginning of every yes."""
    return {"code": "10000", "msg": "Success"}


def ordered(code: str, biz: Biz) -> Node:
    """The node of an answer on demand (``refuse`` of :mod:`sandbox.faults`).

    A sub code is 40004's unless a number stands before it, a number alone has none;
    ``RETRY_FLAG`` is the yes of a cancel that wants to be sent again.
    """
    if code == RETRY_FLAG:
        return {**success(), "out_trade_no": text(biz, "out_trade_no"), "retry_flag": "Y"}
    number, _, word = code.rpartition(" ")
    if word.isdecimal():
        number, word = word, ""
    node: Node = {"code": number or "40004", "msg": "On Demand"}
    return {**node, "sub_code": word, "sub_msg": "按要求应答"} if word else node


def beijing_text(time_ms: int) -> str:
    """``yyyy-MM-dd HH:mm:ss`` in Beijing, the vendor's only time format."""
    return _second(time_ms // 1000)


@lru_cache(maxsize=64)
def _second(time_s: int) -> str:
    return f"{beijing(time_s * 1000):%Y-%m-%d %H:%M:%S}"

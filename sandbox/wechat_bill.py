"""The bills that the simulated WeChat Pay makes of its own charges (``channels.md`` B3).

Rules: a day's bill is there from 10:00 of the next day (``bills_at_once``: at any time);
a day without a row has none. Every value is preceded by a backtick, money is yuan, fees
have five decimals; the last two lines are the totals. The fee is 0.60 % of the amount,
to the fen, and comes back with a refund. A reversed pay is a row of its own (REVOKED).
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from domain.clock import BEIJING, beijing
from domain.money import format_yuan
from sandbox.bill_faults import NO_FAULTS, BillFaults, fault_of, printed_on
from sandbox.wechat_books import Order, Refund
from sandbox.wechat_state import WeChatState

READY_MS: Final = 10 * 3600 * 1000
DAY_MS: Final = 24 * 3600 * 1000
KINDS: Final = ("ALL", "SUCCESS", "REFUND")
FUNDFLOW: Final = "FUNDFLOW"
_RATE: Final = "0.60%"

_PAYER = [
    "交易时间",
    "公众账号ID",
    "商户号",
    "特约商户号",
    "设备号",
    "微信订单号",
    "商户订单号",
    "用户标识",
    "交易类型",
    "交易状态",
    "付款银行",
    "货币种类",
    "应结订单金额",
    "代金券金额",
]
_RETURN = ["微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态"]
_TAIL = ["商品名称", "商户数据包", "手续费", "费率"]
_COLUMNS: Final = {
    "ALL": (*_PAYER, *_RETURN, *_TAIL, "订单金额", "申请退款金额", "费率备注"),
    "SUCCESS": (*_PAYER, *_TAIL, "订单金额", "费率备注"),
    "REFUND": (
        *_PAYER, "退款申请时间", "退款成功时间", *_RETURN, *_TAIL, "订单金额", "申请退款金额",
        "费率备注",
    ),
}  # fmt: skip
_TOTALS: Final = [
    "总交易单数",
    "应结订单总金额",
    "退款总金额",
    "充值券退款总金额",
    "手续费总金额",
    "订单总金额",
    "申请退款总金额",
]
_FLOW: Final = [
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务名称",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "账户结余(元)",
    "资金变更提交申请人",
    "备注",
    "业务凭证号",
]
_FLOW_TOTALS: Final = ["资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额"]


class BillNotThere(Exception):
    """No such bill (now); the words and code of APIv2, the code of APIv3."""

    def __init__(self, v2_words: str, v2_code: str, v3_code: str = "PARAM_ERROR") -> None:
        super().__init__(v2_words)
        self.v2_words = v2_words
        self.v2_code = v2_code
        self.v3_code = v3_code


@dataclass(frozen=True, slots=True)
class BillWanted:
    """Which bill; ``day`` is ``yyyy-mm-dd``, ``sub_mchid`` empty for all of the merchant's."""

    kind: str
    day: str
    sub_mchid: str = ""


def bill_text(
    wanted: BillWanted, state: WeChatState, now_ms: int, faults: BillFaults = NO_FAULTS
) -> str:
    """The whole file, lines ended by LF; raises :class:`BillNotThere`."""
    try:
        day = datetime.date.fromisoformat(wanted.day)
    except ValueError:
        raise BillNotThere("invalid bill_date", "20001") from None
    if wanted.kind not in (*KINDS, FUNDFLOW):
        raise BillNotThere("invalid bill_type", "20001")
    midnight = datetime.datetime.combine(day, datetime.time(), BEIJING)
    start_ms = int(midnight.timestamp()) * 1000
    is_ready = now_ms >= start_ms + (0 if state.config.bills_at_once else DAY_MS + READY_MS)
    if not is_ready:
        raise BillNotThere("Bill Creating", "20002", "STATEMENT_CREATING")
    days = range(start_ms, min(start_ms + DAY_MS, now_ms + 1))
    rows = sorted(_rows(wanted, state, days, now_ms, faults), key=lambda row: row.at_ms)
    if not rows:
        raise BillNotThere("No Bill Exist", "20002", "NO_STATEMENT_EXIST")
    if wanted.kind == FUNDFLOW:
        return _flow(rows, state)
    columns = _COLUMNS[wanted.kind]
    lines = [",".join(columns)]
    for row in rows:
        values = row.values(state, now_ms)
        lines.append(",".join(f"`{values[name]}" for name in columns))
    return _joined([*lines, ",".join(_TOTALS), _totals(rows)])


@dataclass(frozen=True, slots=True)
class _Row:
    at_ms: int
    order: Order
    returned: Refund | None = None
    is_revoked: bool = False
    fee_beside_fen: int = 0

    @property
    def paid_fen(self) -> int:
        return 0 if self.returned or self.is_revoked else self.order.total_fen

    @property
    def returned_fen(self) -> int:
        if self.is_revoked:
            return self.order.total_fen
        return self.returned.amount_fen if self.returned else 0

    @property
    def fee_fen(self) -> int:
        if self.returned_fen:
            return -_fee_fen(self.returned_fen) - self.fee_beside_fen
        return _fee_fen(self.paid_fen) + self.fee_beside_fen

    def values(self, state: WeChatState, now_ms: int) -> dict[str, str]:
        """By column."""
        order, returned = self.order, self.returned
        status = "REVOKED" if self.is_revoked else "REFUND" if returned else "SUCCESS"
        back = bool(returned) or self.is_revoked
        done = not returned or returned.is_done(now_ms)
        return {
            "交易时间": f"{beijing(self.at_ms):%Y-%m-%d %H:%M:%S}",
            "公众账号ID": state.config.appid,
            "商户号": state.config.mchid,
            "特约商户号": order.sub_mchid or "0",
            "设备号": order.device,
            "微信订单号": order.transaction_id,
            "商户订单号": order.out_trade_no,
            "用户标识": order.openid,
            "交易类型": order.trade_type.value,
            "交易状态": status,
            "付款银行": "OTHERS",
            "货币种类": "CNY",
            "应结订单金额": format_yuan(self.paid_fen),
            "代金券金额": "0.00",
            "退款申请时间": f"{beijing(self.at_ms):%Y-%m-%d %H:%M:%S}",
            "退款成功时间": f"{beijing(returned.done_at_ms):%Y-%m-%d %H:%M:%S}"
            if returned and done
            else "",
            "微信退款单号": returned.refund_id if returned else "0",
            "商户退款单号": returned.out_refund_no if returned else "0",
            "退款金额": format_yuan(self.returned_fen),
            "充值券退款金额": "0.00",
            "退款类型": "ORIGINAL" if back else "",
            "退款状态": ("SUCCESS" if done else "PROCESSING") if back else "",
            "商品名称": order.description.replace("`", "'").replace("\n", " "),
            "商户数据包": order.attach.replace("`", "'").replace("\n", " "),
            "手续费": five_decimals(self.fee_fen),
            "费率": _RATE,
            "订单金额": format_yuan(self.paid_fen),
            "申请退款金额": format_yuan(self.returned_fen),
            "费率备注": "",
        }


def _rows(
    wanted: BillWanted, state: WeChatState, day: range, now_ms: int, faults: BillFaults
) -> Iterator[_Row]:
    for order in state.books:
        order.settle(now_ms)
        if not order.paid_at_ms or wanted.sub_mchid not in ("", order.sub_mchid):
            continue
        for row in _rows_of(order, wanted.kind):
            refund_no = row.returned.out_refund_no if row.returned else ""
            fault = fault_of(faults, (order.out_trade_no, refund_no))
            own_day = beijing(row.at_ms).date()
            for printed in printed_on(fault, own_day):
                at_ms = row.at_ms + (printed - own_day).days * DAY_MS
                if at_ms in day:
                    yield replace(row, at_ms=at_ms, fee_beside_fen=fault.fee_fen)


def _rows_of(order: Order, kind: str) -> Iterator[_Row]:
    """Everything that an order is billed for, whatever the day."""
    if kind != "REFUND":
        yield _Row(order.paid_at_ms, order)
    if kind == "SUCCESS":
        return
    if order.revoked_at_ms:
        yield _Row(order.revoked_at_ms, order, is_revoked=True)
    for refund in order.refunds.values():
        yield _Row(refund.created_at_ms, order, refund)


def _totals(rows: list[_Row]) -> str:
    paid, returned = sum(row.paid_fen for row in rows), sum(row.returned_fen for row in rows)
    fee = five_decimals(sum(row.fee_fen for row in rows))
    money = [format_yuan(paid), format_yuan(returned), "0.00", fee]
    values = [str(len(rows)), *money, format_yuan(paid), format_yuan(returned)]
    return ",".join(f"`{value}" for value in values)


def _flow(rows: list[_Row], state: WeChatState) -> str:
    """The basic account's movements: payments and fees in and out, in one running balance."""
    lines, balance = [",".join(_FLOW)], 0
    count = {"收入": 0, "支出": 0}
    money = dict.fromkeys(count, 0)
    for row, name, amount_fen in _movements(rows):
        direction = "收入" if amount_fen > 0 else "支出"
        count[direction] += 1
        money[direction] += abs(amount_fen)
        balance += amount_fen
        number = row.returned.refund_id if row.returned else row.order.transaction_id
        voucher = row.returned.out_refund_no if row.returned else row.order.out_trade_no
        values = [
            f"{beijing(row.at_ms):%Y-%m-%d %H:%M:%S}",
            number,
            f"{row.order.transaction_id[:-6]}{sum(count.values()):06d}",
            name,
            name,
            direction,
            format_yuan(abs(amount_fen)),
            format_yuan(balance),
            f"{state.config.mchid}API",
            _remark(row, name),
            voucher,
        ]
        lines.append(",".join(f"`{value}" for value in values))
    values = [str(sum(count.values()))]
    for direction, number_of_it in count.items():
        values += [str(number_of_it), format_yuan(money[direction])]
    return _joined([*lines, ",".join(_FLOW_TOTALS), ",".join(f"`{value}" for value in values)])


def _movements(rows: list[_Row]) -> Iterator[tuple[_Row, str, int]]:
    for row in rows:
        if row.returned_fen:
            # A return brings its fee back in the same movement, as the vendor books it.
            yield row, "退款", -(row.returned_fen + row.fee_fen)
            continue
        yield row, "交易", row.paid_fen
        if row.fee_fen:
            yield row, "扣除交易手续费", -row.fee_fen


def _remark(row: _Row, name: str) -> str:
    if name == "退款":
        amount, fee = format_yuan(row.returned_fen), format_yuan(-row.fee_fen)
        return f"退款总金额{amount}元;含手续费{fee}元"
    return f"结算总金额{format_yuan(row.paid_fen)}元;含手续费{format_yuan(row.fee_fen)}元"


def _fee_fen(amount_fen: int) -> int:
    return (amount_fen * 60 + 5_000) // 10_000


def five_decimals(amount_fen: int) -> str:
    """Fees are written to a thousandth of a fen: ``0.01000``, ``-0.01000``."""
    return f"{format_yuan(amount_fen)}000"


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"

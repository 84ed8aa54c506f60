"""The simulated Alipay's bill of a day, made from its own trades (reference ``channels.md`` A6).

Rules:

* A day's bill exists from 09:00 (Beijing) of the next day; before that, and after a year,
  ``BILL_NOT_EXIST``. It is made when it is asked for, and handed out once within 30 s under
  a URL that nobody can guess; later the URL is expired.
* A zip with the detail and the summary, names in GBK without the UTF-8 flag, text in GBK, a
  TAB after ids, refunds below zero, the service's fee with the sign of what it takes from us:
  0.6 %, to the fen, half a fen rounded up.
"""

import io
import secrets
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from domain.clock import BEIJING, beijing
from domain.money import format_yuan
from sandbox.alipay_books import AlipayBooks, Trade
from sandbox.alipay_calls import Biz, Node, Refusal, beijing_text, invalid, success, text
from sandbox.bill_faults import NO_FAULTS, BillFaults, fault_of, printed_on

URL_LIFE_MS: Final = 30_000
_DUE: Final = timedelta(days=1, hours=9)
_KEPT: Final = timedelta(days=366)
_MAX_URLS: Final = 1_000
_FEE_PER_MILLE: Final = 6
_RULE: Final = "-" * 41
_HEADER: Final = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,"
    "对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,"
    "券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,"
    "分润（元）,备注"
)
_SUMMARY_HEADER: Final = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,"
    "商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)


@dataclass(frozen=True, slots=True)
class _Line:
    """One payment, or one refund of it (``refund_no``), with its sign."""

    trade: Trade
    at_ms: int
    amount_fen: int
    refund_no: str = ""
    fee_beside_fen: int = 0

    @property
    def fee_fen(self) -> int:
        """What the service takes: below zero for a payment, back for a refund."""
        fee = (abs(self.amount_fen) * _FEE_PER_MILLE + 500) // 1000 + self.fee_beside_fen
        return fee if self.refund_no else -fee


class _GbkEntry(zipfile.ZipInfo):
    """An entry whose name is GBK without the flag that says UTF-8."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own hook
        return self.filename.encode("gb18030"), self.flag_bits & ~0x800


@dataclass(slots=True)
class BillDesk:
    """Who asks for bills and fetches them; ``site`` is how its own server is reached."""

    books: AlipayBooks
    seller_id: str
    site: str = "http://alipay.invalid"
    token: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(24))
    _urls: dict[str, tuple[date, int]] = field(default_factory=dict)

    def url(self, biz: Biz, now_ms: int) -> Node:
        """``alipay.data.dataservice.bill.downloadurl.query``."""
        if text(biz, "bill_type") != "trade":
            raise invalid("bill_type")
        try:
            day = date.fromisoformat(text(biz, "bill_date"))
        except ValueError:
            raise invalid("bill_date") from None
        now = beijing(now_ms)
        midnight = datetime.combine(day, time(), BEIJING)
        if not midnight + _DUE <= now <= midnight + _KEPT:
            raise Refusal("BILL_NOT_EXIST", "账单不存在")
        self._forget(now_ms)
        name = self.token()
        self._urls[name] = (day, now_ms + URL_LIFE_MS)
        node = {**success(), "bill_download_url": f"{self.site}/bills/{name}"}
        if not any(_lines(self.books, day, now_ms)):
            node["bill_file_code"] = "EMPTY_DATA_WITH_BILL_FILE"
        return node

    def fetch(self, name: str, now_ms: int) -> bytes | None:
        """The zip behind a URL; ``None``: it is none, or too old."""
        day, until_ms = self._urls.get(name, (date.min, 0))
        if now_ms > until_ms:
            return None
        return bill_zip(self.books, self.seller_id, day, now_ms)

    def _forget(self, now_ms: int) -> None:
        self._urls = {n: one for n, one in self._urls.items() if one[1] >= now_ms}
        while len(self._urls) >= _MAX_URLS:
            self._urls.pop(next(iter(self._urls)))


def bill_zip(
    books: AlipayBooks, seller_id: str, day: date, now_ms: int, faults: BillFaults = NO_FAULTS
) -> bytes:
    """The zip of ``day`` as it would be delivered."""
    lines = sorted(_lines(books, day, now_ms, faults), key=lambda line: line.at_ms)
    stem = f"{seller_id}0156_{day:%Y%m%d}_业务明细"
    head = (
        f"#账号：[{seller_id}0156]\n#起始日期：[{day:%Y年%m月%d日} 00:00:00]   "
        f"终止日期：[{day + timedelta(days=1):%Y年%m月%d日} 00:00:00]\n"
    )
    made = f"#导出时间：[{beijing(now_ms):%Y年%m月%d日 %H:%M:%S}]\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            (f"{stem}.csv", _detail(lines, head, made)),
            (f"{stem}(汇总).csv", _summary(lines, head, made)),
        ):
            entry = _GbkEntry(name, beijing(now_ms).timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, "".join(content).encode("gb18030"))
    return packed.getvalue()


def _lines(
    books: AlipayBooks, day: date, now_ms: int, faults: BillFaults = NO_FAULTS
) -> Iterator[_Line]:
    for trade in books:
        trade.settle(now_ms)
        if not trade.paid_at_ms:
            continue
        events = [("", trade.paid_at_ms, trade.total_fen)]
        events += [
            (trade.number_of(number), refund.at_ms, -refund.amount_fen)
            for number, refund in trade.refunds.items()
        ]
        for refund_no, at_ms, amount_fen in events:
            fault = fault_of(faults, (trade.out_trade_no, refund_no))
            for printed in printed_on(fault, beijing(at_ms).date()):
                if printed == day:
                    yield _Line(trade, at_ms, amount_fen, refund_no, fault.fee_fen)


def _detail(lines: Iterable[_Line], head: str, made: str) -> Iterator[str]:
    yield f"#支付宝业务明细查询\n{head}#{_RULE}业务明细列表{_RULE}\n{_HEADER}\n"
    counts, sums = [0, 0], [0, 0]
    for line in lines:
        kind = 1 if line.refund_no else 0
        counts[kind] += 1
        sums[kind] += line.amount_fen
        yield _row(line)
    yield f"#{_RULE}业务明细列表结束{_RULE}\n"
    for kind, (word, infix) in enumerate((("交易", ""), ("退款", "退款"))):
        yield (
            f"#{word}合计：{counts[kind]}笔，商家实收{infix}共{format_yuan(sums[kind])}元，"
            f"商家优惠{infix}共0.00元\n"
        )
    yield made


def _row(line: _Line) -> str:
    trade, amount = line.trade, format_yuan(line.amount_fen)
    store = f"{trade.store_id}\t,{trade.store_id}\t"
    return (
        f"{trade.trade_no}\t,{trade.out_trade_no}\t,{'退款' if line.refund_no else '交易'}\t,"
        f"{_quoted(trade.subject)},{beijing_text(trade.created_at_ms)},{beijing_text(line.at_ms)},"
        f"{store},\t,{trade.terminal_id}\t,*某({trade.buyer_logon_id})\t,{amount},{amount},"
        f"0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,{line.refund_no}\t,"
        f"{format_yuan(line.fee_fen)},0.00,\n"
    )


def _quoted(value: str) -> str:
    """A value as CSV wants it."""
    value = value.replace("\n", " ").replace("\r", " ")
    if "," in value or '"' in value:
        return '"' + value.replace('"', '""') + '"'
    return value


def _summary(lines: Iterable[_Line], head: str, made: str) -> Iterator[str]:
    yield f"#支付宝业务汇总查询\n{head}#{_RULE}业务汇总列表{_RULE}\n{_SUMMARY_HEADER}\n"
    stores: dict[str, list[int]] = {}
    for line in lines:
        sums = stores.setdefault(line.trade.store_id, [0, 0, 0, 0])
        sums[1 if line.refund_no else 0] += 1
        sums[2] += line.amount_fen
        sums[3] += line.fee_fen
    for store, sums in sorted(stores.items()):
        yield _summary_row(store, sums)
    columns = zip(*stores.values(), strict=True)
    yield _summary_row("合计", [sum(column) for column in columns] or [0, 0, 0, 0])
    yield f"#{_RULE}业务汇总列表结束{_RULE}\n{made}"


def _summary_row(store: str, sums: list[int]) -> str:
    payments, refunds, net_fen, fee_fen = sums
    net = format_yuan(net_fen)
    name = "" if store == "合计" else store
    return (
        f"{store}\t,{name}\t,{payments},{refunds},{net},{net},0.00,0.00,0.00,"
        f"{format_yuan(fee_fen)},0.00,{format_yuan(net_fen + fee_fen)}\n"
    )

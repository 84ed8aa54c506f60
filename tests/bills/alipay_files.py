"""Alipay bills made by hand for tests, so that every part of one can be spoiled."""

import csv
import io
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from domain.money import format_yuan

HEADER = [
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "创建时间",
    "完成时间",
    "门店编号",
    "门店名称",
    "操作员",
    "终端号",
    "对方账户",
    "订单金额（元）",
    "商家实收（元）",
    "支付宝红包（元）",
    "集分宝（元）",
    "支付宝优惠（元）",
    "商家优惠（元）",
    "券核销金额（元）",
    "券名称",
    "商家红包消费金额（元）",
    "卡消费金额（元）",
    "退款批次号/请求号",
    "服务费（元）",
    "分润（元）",
    "备注",
]
SUMMARY_HEADER = [
    "门店编号",
    "门店名称",
    "交易订单总笔数",
    "退款订单总笔数",
    "订单金额（元）",
    "商家实收（元）",
    "支付宝优惠（元）",
    "商家优惠（元）",
    "卡消费金额（元）",
    "服务费（元）",
    "分润（元）",
    "实收净额（元）",
]
RULE = "-" * 41


@dataclass(frozen=True)
class Row:
    """A payment, or the refund of one: amounts without their signs."""

    order_no: str
    amount_fen: int
    refund_no: str = ""
    fee_fen: int = 0
    discount_fen: int = 0
    subject: str = "苹果"
    trade_no: str = "2026091622001400000000000001"
    done_at: str = "2026-09-16 10:55:23"

    @property
    def sign(self) -> int:
        return -1 if self.refund_no else 1

    def cells(self) -> dict[str, str]:
        amount, discount = self.sign * self.amount_fen, self.sign * self.discount_fen
        cells = dict.fromkeys(HEADER, "0.00")
        cells |= dict.fromkeys(("门店编号", "门店名称", "操作员", "终端号"), "\t")
        cells |= {
            "支付宝交易号": f"{self.trade_no}\t",
            "商户订单号": f"{self.order_no}\t",
            "业务类型": "退款\t" if self.refund_no else "交易\t",
            "商品名称": self.subject,
            "创建时间": "2026-09-16 10:55:16",
            "完成时间": self.done_at,
            "对方账户": "*某(138****0000)\t",
            "订单金额（元）": format_yuan(amount),
            "商家实收（元）": format_yuan(amount - discount),
            "商家优惠（元）": format_yuan(discount),
            "券名称": "",
            "退款批次号/请求号": f"{self.refund_no}\t",
            "服务费（元）": format_yuan(-self.sign * self.fee_fen),
            "备注": "",
        }
        return cells


@dataclass(frozen=True)
class Bill:
    """A detail file; ``text`` and ``data`` are what would be delivered."""

    rows: tuple[Row, ...] = ()
    header: tuple[str, ...] = tuple(HEADER)
    newline: str = "\n"
    encoding: str = "gb18030"
    bom: bytes = b""
    sums: tuple[str, ...] | None = field(default=None)
    end_mark: bool = True

    def of(self, *rows: Row) -> "Bill":
        return replace(self, rows=rows)

    def sum_lines(self) -> tuple[str, ...]:
        if self.sums is not None:
            return self.sums
        lines = []
        for word, infix, sign in (("交易", "", 1), ("退款", "退款", -1)):
            chosen = [row for row in self.rows if row.sign == sign]
            received = sign * sum(row.amount_fen - row.discount_fen for row in chosen)
            discount = sign * sum(row.discount_fen for row in chosen)
            lines.append(
                f"#{word}合计：{len(chosen)}笔，商家实收{infix}共{format_yuan(received)}元，"
                f"商家优惠{infix}共{format_yuan(discount)}元"
            )
        return tuple(lines)

    @property
    def lines(self) -> list[str]:
        lines = [
            "#支付宝业务明细查询",
            "#账号：[20880000000000000156]",
            "#起始日期：[2026年09月16日 00:00:00]   终止日期：[2026年09月17日 00:00:00]",
            f"#{RULE}业务明细列表{RULE}",
            ",".join(self.header),
        ]
        for row in self.rows:
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow([row.cells()[n] for n in self.header])
            lines.append(text.getvalue())
        if self.end_mark:
            lines.append(f"#{RULE}业务明细列表结束{RULE}")
        return [*lines, *self.sum_lines(), "#导出时间：[2026年09月17日 05:46:49]"]

    @property
    def data(self) -> bytes:
        text = self.newline.join(self.lines) + self.newline
        return self.bom + text.encode(self.encoding)

    def write(self, folder: Path, name: str = "bill.csv") -> Path:
        path = folder / name
        path.write_bytes(self.data)
        return path


def summary(*stores: tuple[str, int, int, int, int], total: bool = True) -> bytes:
    """A summary of ``(store, payments, refunds, net_fen, fee_fen)`` each."""
    lines = [
        "#支付宝业务汇总查询",
        "#账号：[20880000000000000156]",
        "#起始日期：[2026年09月16日 00:00:00]   终止日期：[2026年09月17日 00:00:00]",
        f"#{RULE}业务汇总列表{RULE}",
        ",".join(SUMMARY_HEADER),
    ]
    _, *columns = zip(*stores, strict=True)
    payments, refunds, net, fee = (sum(map(int, column)) for column in columns)
    whole = ("合计", payments, refunds, net, fee)
    for name, payments, refunds, net, fee in (*stores, *([whole] if total else [])):
        lines.append(
            f"{name}\t,\t,{payments},{refunds},{format_yuan(net)},{format_yuan(net)},0.00,0.00,"
            f"0.00,{format_yuan(-fee)},0.00,{format_yuan(net - fee)}"
        )
    lines += [f"#{RULE}业务汇总列表结束{RULE}", "#导出时间：[2026年09月17日 05:46:49]"]
    return ("\n".join(lines) + "\n").encode("gb18030")


class GbkEntry(zipfile.ZipInfo):
    """An entry whose name is GBK without the flag that says UTF-8, as the vendor's are."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - the library's hook
        return self.filename.encode("gb18030"), self.flag_bits & ~0x800


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    """A zip as the vendor makes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            entry = GbkEntry(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path

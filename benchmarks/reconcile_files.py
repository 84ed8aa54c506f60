"""A day of one account as raw files, with differences planted among them.

Rules: the same every time (seeded); the bill as Alipay delivers its detail (unzipped, GBK), our
orders as PostgreSQL's COPY delivers them. One order in a thousand is spoiled, each way in turn;
:class:`Planted` says how many of each kind a night must find, no more and no fewer.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.bill_files import ALIPAY_HEADER, RULE
from domain.money import format_yuan

DAY: Final = "2026-09-16"
MIDNIGHT_MS: Final = 1_789_488_000_000
"""2026-09-16 00:00 in Beijing."""
RATE_PPM: Final = 6000
_SPOIL_ONE_IN: Final = 1000
_WAYS: Final = ("amount", "fee", "status", "duplicate", "missing_here", "missing_there")
_PIECE: Final = 20_000


@dataclass
class Planted:
    """What was spoiled, by the kind of difference that it makes."""

    kinds: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    total_fen: int = 0


def write_day(folder: Path, orders: int) -> Planted:
    """``bill.csv`` and ``orders.csv`` of a day with so many orders."""
    planted = Planted()
    chance = random.Random(5_000_000)
    with (
        (folder / "bill.csv").open("w", encoding="gb18030", newline="") as bill,
        (folder / "orders.csv").open("w", encoding="utf-8", newline="") as ours,
    ):
        bill.write(
            "#支付宝业务明细查询\n#账号：[20880000000000000156]\n"
            "#起始日期：[2026年09月16日 00:00:00]   终止日期：[2026年09月17日 00:00:00]\n"
            f"#{RULE}业务明细列表{RULE}\n{ALIPAY_HEADER}\n"
        )
        lines: list[str] = []
        rows: list[str] = []
        for number in range(orders):
            for line, row in _order(chance, number, planted):
                lines += [line] if line else []
                rows += [row] if row else []
            if len(lines) >= _PIECE:
                bill.write("".join(lines))
                ours.write("".join(rows))
                lines.clear()
                rows.clear()
        bill.write("".join(lines))
        ours.write("".join(rows))
        bill.write(
            f"#{RULE}业务明细列表结束{RULE}\n"
            f"#交易合计：{planted.lines}笔，商家实收共{format_yuan(planted.total_fen)}元，"
            "商家优惠共0.00元\n#退款合计：0笔，商家实收退款共0.00元，商家优惠退款共0.00元\n"
            "#导出时间：[2026年09月17日 05:46:49]\n"
        )
    return planted


def _order(chance: random.Random, number: int, planted: Planted) -> Iterator[tuple[str, str]]:
    """A line of the bill and a row of ours, one of them empty where a side lacks it."""
    way = ""
    if number % _SPOIL_ONE_IN == 0:
        way = _WAYS[number // _SPOIL_ONE_IN % len(_WAYS)]
        planted.kinds[way] += 1
    order_no = f"{chance.getrandbits(128):032x}"
    fen, second = chance.randrange(100, 50_000), chance.randrange(86_400)
    billed = fen + 1 if way == "amount" else fen
    fee_fen = (fen * RATE_PPM + 500_000) // 1_000_000 + (5 if way == "fee" else 0)
    status = "closed" if way == "status" else "succeeded"
    line = "" if way == "missing_there" else _line(order_no, billed, fee_fen, second, number)
    row = "" if way == "missing_here" else _row(order_no, fen, status, second, number)
    copies = 2 if way == "duplicate" else 1
    if line:
        planted.lines += copies
        planted.total_fen += copies * billed
    yield line, row
    if copies == 2:
        yield line, ""


def _line(order_no: str, fen: int, fee_fen: int, second: int, number: int) -> str:
    amount, fee = format_yuan(fen), format_yuan(-fee_fen)
    time = f"{DAY} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return (
        f"20260916220014{number:014d}\t,{order_no}\t,交易\t,商品{number % 9999},{time},{time},"
        f"S{number % 500:04d}\t,门店\t,\t,T{number % 5000}\t,*某(138****0000)\t,{amount},{amount},"
        f"0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,\t,{fee},0.00,备注\n"
    )


def _row(order_no: str, fen: int, status: str, second: int, number: int) -> str:
    at_ms = MIDNIGHT_MS + second * 1000
    captured = fen if status == "succeeded" else 0
    return (
        f'"payment","{order_no}","","{status}","{fen}","{captured}","CNY","pay_{order_no}",'
        f'"m{number % 300}","S{number % 500:04d}","T{number % 5000}","auth_code","{at_ms}",'
        f'"{at_ms}","C{number % 5000}"\n'
    )

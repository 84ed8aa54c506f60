"""Bills of any size for the benchmarks, invented, as a channel would deliver them.

Rules: the same every time (seeded); rows that differ, so that they do not shrink more than
real ones; written a piece at a time. A channel is one entry of :data:`MAKERS`.
"""

import random
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from domain.money import format_yuan

RULE: Final = "-" * 41
ALIPAY_HEADER: Final = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,"
    "对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,"
    "券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,"
    "分润（元）,备注"
)
_PIECE: Final = 10_000


def alipay(path: Path, lines: int) -> None:
    """A zip with Alipay's detail of ``lines`` rows, one in twenty a refund."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("20880000000000000156_20260916_detail.csv", "w", force_zip64=True) as file,
    ):
        piece: list[str] = []
        for line in _alipay_lines(lines):
            piece.append(line)
            if len(piece) == _PIECE:
                file.write("".join(piece).encode("gb18030"))
                piece.clear()
        file.write("".join(piece).encode("gb18030"))


def _alipay_lines(lines: int) -> Iterator[str]:
    chance = random.Random(20260916)
    yield "#支付宝业务明细查询\n#账号：[20880000000000000156]\n"
    yield "#起始日期：[2026年09月16日 00:00:00]   终止日期：[2026年09月17日 00:00:00]\n"
    yield f"#{RULE}业务明细列表{RULE}\n{ALIPAY_HEADER}\n"
    counts, sums = {"交易": 0, "退款": 0}, {"交易": 0, "退款": 0}
    for _ in range(lines):
        kind = "交易" if chance.random() < 0.95 else "退款"
        fen = chance.randrange(1, 50_000)
        signed = fen if kind == "交易" else -fen
        counts[kind] += 1
        sums[kind] += signed
        amount, fee = format_yuan(signed), format_yuan(-(signed * 6 // 1000))
        second = chance.randrange(86_400)
        time = f"2026-09-16 {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        refund = "" if kind == "交易" else chance.randbytes(16).hex()
        yield (
            f"20260916220014{chance.randrange(10**14):014d}\t,{chance.randbytes(16).hex()}\t,"
            f"{kind}\t,商品{chance.randrange(9999)},{time},{time},S{chance.randrange(500):04d}\t,"
            f"门店{chance.randrange(500)}\t,\t,T{chance.randrange(5000)}\t,"
            f"*某(138****{chance.randrange(10_000):04d})\t,{amount},{amount},0.00,0.00,0.00,0.00,"
            f"0.00,,0.00\t,0.00,{refund}\t,{fee},0.00,备注\n"
        )
    yield f"#{RULE}业务明细列表结束{RULE}\n"
    for kind, word in (("交易", ""), ("退款", "退款")):
        yield (
            f"#{kind}合计：{counts[kind]}笔，商家实收{word}共{format_yuan(sums[kind])}元，"
            f"商家优惠{word}共0.00元\n"
        )
    yield "#导出时间：[2026年09月17日 05:46:49]\n"


Maker = Callable[[Path, int], None]
MAKERS: Final[Mapping[str, tuple[str, Maker]]] = MappingProxyType({"alipay": ("trade", alipay)})
"""By the channel's name in ``posgate.bills``: the kind that is measured, and who makes it."""

"""Bills of any size for the benchmarks, invented, as a channel would deliver them.

Rules: the same every time (seeded); rows that differ, so that they do not shrink more than
real ones; written a piece at a time. A channel is one entry of :data:`MAKERS`.
"""

import gzip
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
_WECHAT_HEADER: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,"
    "退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_WECHAT_SUMS: Final = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
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


def wechat(path: Path, lines: int) -> None:
    """A gzip with WeChat Pay's bill (ALL) of ``lines`` rows, one in twenty a refund."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        piece: list[str] = []
        for line in _wechat_lines(lines):
            piece.append(line)
            if len(piece) == _PIECE:
                file.write("".join(piece).encode())
                piece.clear()
        file.write("".join(piece).encode())


def _wechat_lines(lines: int) -> Iterator[str]:
    chance = random.Random(20260916)
    yield f"\ufeff{_WECHAT_HEADER}\r\n"
    paid_fen, back_fen, fees_fen = 0, 0, 0
    for _ in range(lines):
        is_paid = chance.random() < 0.95
        fen = chance.randrange(1, 50_000)
        fee = fen * 6 // 1000 if is_paid else -(fen * 6 // 1000)
        paid_fen += fen if is_paid else 0
        back_fen += 0 if is_paid else fen
        fees_fen += fee
        second = chance.randrange(86_400)
        time = f"2026-09-16 {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        amount, nothing = format_yuan(fen), "0.00"
        paid, back = (amount, nothing) if is_paid else (nothing, amount)
        refund = "0" if is_paid else chance.randbytes(16).hex()
        yield (
            f"`{time},`wx0000000000000001,`1900000001,`0,`T{chance.randrange(5000)},"
            f"`4200000{chance.randrange(10**18):021d},`{chance.randbytes(16).hex()},"
            f"`o{chance.randbytes(13).hex()},`MICROPAY,`{'SUCCESS' if is_paid else 'REFUND'},"
            f"`OTHERS,`CNY,`{paid},`0.00,`{'0' if is_paid else '50300'},`{refund},`{back},`0.00,"
            f"`{'' if is_paid else 'ORIGINAL'},`{'' if is_paid else 'SUCCESS'},"
            f"`商品{chance.randrange(9999)},`,`{format_yuan(fee)}000,`0.60%,`{paid},`{back},`\r\n"
        )
    yield f"{_WECHAT_SUMS}\r\n"
    sums = [format_yuan(fen) for fen in (paid_fen, back_fen, 0, fees_fen, paid_fen, back_fen)]
    sums[3] += "000"
    yield f"`{lines}," + ",".join(f"`{text}" for text in sums) + "\r\n"


def unionpay(path: Path, lines: int) -> None:
    """A merchant's day (ZM) as it is delivered: a zip, its day in the name."""
    name = "INN26091688ZM_990000000000077"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        piece: list[bytes] = []
        for record in _unionpay_records(lines):
            piece.append(record)
            if len(piece) == _PIECE:
                file.write(b"".join(piece))
                piece.clear()
        file.write(b"".join(piece))


def _unionpay_records(lines: int) -> Iterator[bytes]:
    chance = random.Random(20260916)
    for _ in range(lines):
        is_paid = chance.random() < 0.95
        fen = chance.randrange(1, 50_000)
        fee, trace, second = fen * 6 // 1000, chance.randrange(10**6), chance.randrange(86_400)
        sign, fee_sign, kind = ("C", "D", "01") if is_paid else ("D", "C", "04")
        time = f"0916{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
        record = (
            f"S56 88022900    00049993    {trace:06d} {time} 622609******0048    {fen:012d} 5411 07 "
            f"2026{time}{trace:06d}8 01 {chance.randbytes(16).hex():32} 01 {'':6} {'':10} "
            f"{fee_sign}{fee:012d} {sign}{fen - fee:012d} 0001 {'':15} {kind} 06 000000"
        )
        yield record.encode().ljust(607) + b"\r\n"


Maker = Callable[[Path, int], None]
MAKERS: Final[Mapping[str, tuple[str, Maker]]] = MappingProxyType(
    {"alipay": ("trade", alipay), "wechat": ("trade", wechat), "unionpay": ("zm", unionpay)}
)
"""By the channel's name in ``posgate.bills``: the kind that is measured, and who makes it."""

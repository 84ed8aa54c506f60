"""A night's differences for finance staff, as files that any spreadsheet opens.

Rules: the same night makes the same bytes, whenever and however often it is exported; a file
is written beside its place and renamed, and ``manifest.json`` names every file with its
SHA-256, last. Text that a spreadsheet would execute is made harmless. Amounts stand in yuan
with two decimals (fees with five), made from integers.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from domain.money import format_yuan
from reconciliation.differences import MEANINGS, DifferenceKind
from reconciliation.night_records import Night, StoredDifference, StoredStatement

DIFFERENCE_HEADINGS: Final = (
    ("kind", "类型"),
    ("title", "名称"),
    ("account", "渠道账户"),
    ("day", "业务日"),
    ("order_no", "渠道订单号"),
    ("refund_no", "渠道退款号"),
    ("ours", "本方金额"),
    ("theirs", "渠道金额"),
    ("currency", "币种"),
    ("payment_or_refund", "本方编号"),
    ("trade_no", "渠道流水号"),
    ("state", "处理状态"),
    ("proposal", "建议处理"),
    ("explanation", "说明"),
)
"""Column names in English and Chinese; both stand in the first line, divided by a space."""

_EXECUTES: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before it."""
    return f"'{text}" if text.startswith(_EXECUTES) else text


def amount_text(amount: int | None, unit: str) -> str:
    """``fen`` in yuan with two decimals, ``mfen`` with five; nothing for ``None``."""
    if amount is None:
        return ""
    if unit == "fen":
        return format_yuan(amount)
    sign = "-" if amount < 0 else ""
    yuan, rest = divmod(abs(amount), 100_000)
    return f"{sign}{yuan}.{rest:05d}"


def grouped(amount: str) -> str:
    """An amount's text as people read it: ``-1234567.89`` as ``-1,234,567.89``."""
    sign = "-" if amount.startswith("-") else ""
    whole, _, rest = amount.removeprefix("-").partition(".")
    return f"{sign}{int(whole):,}.{rest}"


def difference_row(one: StoredDifference) -> tuple[str, ...]:
    """A difference as the cells of :data:`DIFFERENCE_HEADINGS`, not yet made harmless."""
    found, meaning = one.found, MEANINGS[one.found.kind]
    return (
        found.kind.value,
        f"{meaning.title_zh} {meaning.title_en}",
        one.account_id,
        found.day.isoformat(),
        found.order_no,
        found.refund_no,
        amount_text(found.ours_fen, found.unit),
        amount_text(found.theirs_fen, found.unit),
        one.currency,
        found.subject,
        found.trade_no,
        one.state.value,
        one.repair.value,
        f"{meaning.sentence_zh} {meaning.sentence_en}",
    )


def in_order(differences: Sequence[StoredDifference]) -> Sequence[StoredDifference]:
    """By kind, account, order and place: the order of every export."""
    return sorted(differences, key=_place)


def _place(one: StoredDifference) -> tuple[int, str, str, str, int]:
    found = one.found
    kind = list(DifferenceKind).index(found.kind)
    return kind, one.account_id, found.order_no, found.refund_no, found.number


def differences_csv(differences: Sequence[StoredDifference]) -> bytes:
    """UTF-8 with a byte order mark and CRLF, as spreadsheets want it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([f"{chinese} {english}" for english, chinese in DIFFERENCE_HEADINGS])
    for one in in_order(differences):
        writer.writerow([harmless(cell) for cell in difference_row(one)])
    return out.getvalue().encode("utf-8-sig")


def summary_csv(nights: Sequence[Night]) -> bytes:
    """A line for each account's night: what the bill held, what was found."""
    kinds = [kind.value for kind in DifferenceKind]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*SUMMARY_HEADINGS, *kinds])
    for night in sorted(nights, key=lambda one: (one.day, one.account_id)):
        totals = json.loads(night.totals_json)
        writer.writerow([*summary_row(night, totals), *_counts(totals, kinds)])
    return out.getvalue().encode("utf-8-sig")


SUMMARY_HEADINGS: Final = (
    "渠道账户 account",
    "业务日 day",
    "状态 state",
    "账单行数 lines",
    "支付笔数 payments",
    "支付金额 payments_yuan",
    "退款笔数 refunds",
    "退款金额 refunds_yuan",
    "手续费 fees_yuan",
    "匹配 matched",
    "结转 waiting",
)


def summary_row(night: Night, totals: Mapping[str, int]) -> tuple[str, ...]:
    """The cells of :data:`SUMMARY_HEADINGS`."""
    return (
        harmless(night.account_id),
        night.day.isoformat(),
        night.state.value,
        str(totals.get("lines", 0)),
        str(totals.get("payments", 0)),
        amount_text(totals.get("payments_fen", 0), "fen"),
        str(totals.get("refunds", 0)),
        amount_text(totals.get("refunds_fen", 0), "fen"),
        amount_text(totals.get("fee_mfen", 0), "mfen"),
        str(totals.get("pairs", 0)),
        str(totals.get("waiting", 0)),
    )


STATEMENT_HEADINGS: Final = (
    "商户 merchant", "业务日 day", "币种 currency", "支付笔数 payments", "退款笔数 refunds",
    "交易金额 gross_yuan", "退款金额 refunds_yuan", "渠道手续费 channel_fee_yuan",
    "服务费 our_fee_yuan", "上日结转 carried_in_yuan", "应付 payable_yuan",
    "结转 carried_out_yuan", "其中补记 late_yuan",
)  # fmt: skip


def statements_csv(statements: Sequence[StoredStatement]) -> bytes:
    """A line for each merchant's settled day."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(STATEMENT_HEADINGS)
    for kept in sorted(statements, key=lambda one: (one.merchant_no, one.day, one.currency)):
        one = kept.statement
        amounts = (
            one.gross_fen, one.refunds_fen, one.channel_fee_fen, one.our_fee_fen,
            one.carried_in_fen, one.payable_fen, one.carried_out_fen, one.late_fen,
        )  # fmt: skip
        writer.writerow(
            [
                harmless(kept.merchant_no),
                kept.day.isoformat(),
                kept.currency,
                one.payments,
                one.refunds,
                *(format_yuan(amount) for amount in amounts),
            ]
        )
    return out.getvalue().encode("utf-8-sig")


def _counts(totals: Mapping[str, object], kinds: Sequence[str]) -> list[str]:
    found = totals.get("differences", {})
    counts = found if isinstance(found, dict) else {}
    return [str(counts.get(kind, 0)) for kind in kinds]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Every file by rename, then the manifest with their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in sorted(files.items()):
        write_whole(folder / name, data)
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """``manifest.json``: every file of the folder with its SHA-256 and size."""
    entries = {}
    for file in sorted(folder.iterdir()):
        if file.name == "manifest.json" or file.suffix == ".draft" or not file.is_file():
            continue
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        entries[file.name] = {"sha256": digest, "bytes": file.stat().st_size}
    text = json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False)
    write_whole(folder / "manifest.json", text.encode())


def write_json(file: Path, data: object) -> None:
    """As :func:`write_whole`, as text that people can read."""
    write_whole(file, json.dumps(data, sort_keys=True, indent=1).encode())


def write_whole(file: Path, data: bytes) -> None:
    """By rename: whoever reads sees the whole of it or nothing."""
    draft = file.with_name(f"{file.name}.draft")
    with draft.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)

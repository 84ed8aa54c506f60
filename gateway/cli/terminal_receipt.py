"""What a terminal prints: the merchant's slip, in Chinese and English, or JSON.

Rules: the slip shows what a paper one does: the card masked, the authorisation code (the
cashier must be able to type it), no PIN, no code of a payer. JSON members are never taken
away, only added.
"""

from typing import Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.money import format_yuan
from gateway.cli.session import print_json
from gateway.cli.terminal_client import TerminalPlace
from gateway.cli.terminal_code import code_said, drawn
from gateway.cli.terminal_till import Done, status_said
from pos_protocol.errors import CodecError
from pos_protocol.fields.balance import parse_amounts
from pos_protocol.fields.payment_status import PaymentState
from pos_protocol.header import instruction_named
from pos_protocol.response_codes import meaning
from pos_protocol.transaction_kinds import CHINESE_NAMES

_OPERATOR: Final = "001"
_STATES: Final = {
    PaymentState.PAID: ("paid", "已支付"),
    PaymentState.NOT_PAID: ("not_paid", "未支付"),
    PaymentState.ASKING: ("asking", "处理中，请再次查询"),
    PaymentState.NEVER_SEEN: ("never_seen", "未收到此交易"),
}
_WIDTH: Final = 46


def receipt(place: TerminalPlace, name: str, done: Done) -> dict[str, Any]:
    """One exchange as data."""
    outcome, line = done.outcome, done.line
    answer = outcome.message
    said = answer.text if answer is not None else lambda _: ""
    known = meaning(outcome.response_code)
    asked = instruction_named(answer.header) if answer is not None else None
    return {
        "transaction": name,
        "terminal_id": place.terminal_id,
        "trace": said(11),
        "approved": outcome.approved,
        "response_code": outcome.response_code,
        "text": f"{known.zh} / {known.en}" if known is not None else "",
        "reference": outcome.reference,
        "amount_fen": outcome.amount_fen,
        "fault": outcome.fault.value if outcome.fault is not None else None,
        "detail": outcome.detail,
        "kind": done.kind.value if done.kind is not None else "",
        "merchant_id": place.merchant_id,
        "batch": done.batch,
        "date": said(13),
        "time": said(12),
        "card": line.card if line is not None else "",
        "auth_code": outcome.auth_code,
        "voucher": line.voucher if line is not None else "",
        "instruction": asked.name.lower() if asked else "",
        "reversed_first": list(done.reversed_first),
        **_balance(said(54)),
        **_code(done),
        **_state(done),
    }


def _balance(field_54: str) -> dict[str, Any]:
    if not field_54:
        return {}
    try:
        amounts = parse_amounts(field_54)
    except CodecError:
        return {}
    return {"balances_fen": [one.amount_fen for one in amounts]}


def _code(done: Done) -> dict[str, Any]:
    shown = code_said(done)
    return {} if shown is None else {"code": shown.code, "shown_s": shown.shown_s}


def _state(done: Done) -> dict[str, Any]:
    status = status_said(done.outcome)
    if status is None:
        return {}
    return {"state": _STATES[status.state][0], "payment_response_code": status.response_code}


def print_receipt(row: dict[str, Any], *, as_json: bool) -> None:
    """To standard output."""
    if as_json:
        print_json(row)
        return
    if "code" in row:
        typer.echo(drawn(row["code"]))
        typer.echo(row["code"])
    table = Table(box=box.ROUNDED, show_header=False, min_width=_WIDTH, title=_title(row))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for label, value in _lines(row):
        table.add_row(label, value)
    table.caption = "商户存根 MERCHANT COPY"
    Console().print(table)


def _title(row: dict[str, Any]) -> str:
    chinese = {kind.value: name for kind, name in CHINESE_NAMES.items()}.get(row["kind"], "")
    return f"POSGATE 签购单\n{chinese} {row['kind'].replace('_', ' ').upper()}".rstrip()


def _lines(row: dict[str, Any]) -> list[tuple[str, Text]]:
    date, time = row["date"], row["time"]
    plain = [
        ("商户编号 MERCHANT", row["merchant_id"]),
        ("终端编号 TERMINAL", row["terminal_id"]),
        ("操作员号 OPERATOR", _OPERATOR),
        ("卡号 CARD", row["card"]),
        ("批次号 BATCH", row["batch"]),
        ("凭证号 TRACE", row["trace"]),
        ("参考号 REFERENCE", row["reference"]),
        ("授权码 AUTH CODE", row["auth_code"]),
        ("付款凭证号 VOUCHER", row["voucher"]),
        ("日期 DATE", f"{date[:2]}/{date[2:]}" if date else ""),
        ("时间 TIME", f"{time[:2]}:{time[2:4]}:{time[4:]}" if time else ""),
        ("先行冲正 REVERSED FIRST", ", ".join(row["reversed_first"])),
        ("主机要求 HOST ASKS", row["instruction"].replace("_", " ")),
    ]
    lines = [(label, Text(value)) for label, value in plain if value]
    if row["amount_fen"]:
        lines.append(("金额 AMOUNT", Text(f"¥ {format_yuan(row['amount_fen'])}", style="bold")))
    for fen in row.get("balances_fen", ()):
        lines.append(("余额 BALANCE", Text(f"¥ {format_yuan(fen)}", style="bold")))
    if "state" in row:
        chinese = dict(_STATES.values())[row["state"]]
        lines.append(("支付结果 PAYMENT", Text(f"{chinese} / {row['state'].replace('_', ' ')}")))
    if "code" in row:
        lines.append(("有效 SHOWN FOR", Text(f"{row['shown_s']} s")))
    lines += _more(row)
    lines.append(("结果 RESULT", _result(row)))
    return lines


def _more(row: dict[str, Any]) -> list[tuple[str, Text]]:
    """What a settlement or a download has besides."""
    lines = []
    for owner, key in (("终端 TERMINAL", "terminal_totals"), ("主机 HOST", "host_totals")):
        for half, said in (row.get(key) or {}).items():
            if half == "domestic" or any(said.values()):
                debit, credit = format_yuan(said["debit_fen"]), format_yuan(said["credit_fen"])
                text = f"+¥{debit} ({said['debit_count']})  -¥{credit} ({said['credit_count']})"
                lines.append((f"{owner} {half}", Text(text)))
    if "totals" in row:
        agreed = row["totals"] == "equal"
        text = "对账平 / equal" if agreed else "对账不平，已上送 / different, uploaded"
        lines.append(("对账 TOTALS", Text(text, style="" if agreed else "yellow")))
        lines.append(("上送笔数 UPLOADED", Text(str(row["uploaded"]))))
        lines.append(("下一批次 NEXT BATCH", Text(row["next_batch"])))
    if row.get("without_card"):
        text = f"{row['without_card']}: give their cards with --pan"
        lines.append(("无卡号 WITHOUT CARD", Text(text, style="yellow")))
    for number, entry in enumerate(row.get("entries", ()), 1):
        lines.append((f"第{number}条 ENTRY", Text(entry, overflow="fold")))
    return lines


def _result(row: dict[str, Any]) -> Text:
    if row["fault"]:
        words = f"应答无效 / not believed: {row['fault']} {row['detail']}".rstrip()
        return Text(words, style="bold red")
    words = f"{row['response_code']} {row['text']}".rstrip()
    return Text(words, style="bold green" if row["approved"] else "bold red")

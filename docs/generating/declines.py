"""What a payment is refused with, at each door and by each channel's code."""

from collections.abc import Iterable, Mapping
from typing import Any

from channels.alipay.codes import GATEWAY_CODES
from channels.alipay.later_codes import (
    BILL_SUB_CODES,
    CANCEL_IMPOSSIBLE,
    CANCEL_SUB_CODES,
    CLOSE_SUB_CODES,
    QUERY_SUB_CODES,
    REFUND_SUB_CODES,
    ROYALTY_SUB_CODES,
)
from channels.alipay.outcome import Listed
from channels.alipay.pay_codes import ORDER_SUB_CODES, PAY_SUB_CODES
from channels.alipay.payer_codes import FACE_SUB_CODES, PAYER_SUB_CODES
from channels.codes import CODE_TABLE, TABLE_VERSION
from channels.port import Verdict
from channels.unionpay import qr_codes
from channels.unionpay.card_codes import COMPLETION_CODES, REFUND_CODES, REVERSAL_CODES, SALE_CODES
from channels.wechat import codes as wechat_codes
from channels.wechat.cashier_texts import TEXTS as WECHAT_TEXTS
from docs.generating.writing import NOTICE, code_text, plain_text, table_text
from domain.decline import CASHIER_TEXTS, DeclineReason
from domain.limits import LIMIT_TEXTS
from gateway.http.errors import STATUSES
from gateway.pos.translate import F39_OF_ERROR, F39_OF_LIMIT, F39_OF_REASON
from pos_protocol.response_codes import meaning


def declines() -> str:
    """``declines.md``."""
    return (
        NOTICE.format(source="the tables named in each section")
        + "# Refusals and errors, and what each door says\n\n"
        "A refusal is a value of the payment: over HTTPS the payment answers with status "
        "`failed` or `closed` and `error.code`, a terminal gets F39. An error is a request "
        "that changed nothing: over HTTPS a status and `error.code`, at a terminal F39.\n\n"
        "## Why a payment was refused\n\n"
        "From `domain/decline.py` and `gateway/pos/translate.py`. A card host's own F39 "
        "reaches the terminal unchanged; the column says what other refusals become.\n\n"
        + _reasons()
        + "\n## Errors\n\nFrom `gateway/http/errors.py` and `gateway/pos/translate.py`. A message "
        "that the POS door refuses by itself gets 97 (unknown terminal), 77 (not signed in, or "
        "another batch), A0 (wrong MAC), 30 (fields missing), 40 (not a transaction that is "
        "open), 13 (amount), 14 (no card number or unknown code), 57 (a PIN under a weak key), "
        "64 (a reversal of another amount), 94 (same trace, other content) or 99 (PIN block).\n\n"
        + _errors()
        + "\n## Limits\n\nFrom `domain/limits.py` and `gateway/pos/translate.py`: what `OverLimit` "
        "says ([limits](limits.md)). The number of a sale that a terminal was refused for a limit "
        "is taken: the same message never sells later.\n\n"
        + _over_limits()
        + "\n## Alipay\n\nFrom `channels/alipay/codes.py`: what a verified answer to "
        "`alipay.trade.pay` with code 40004 means. A `sub_code` that is not here is **unknown**, "
        "and the gateway asks.\n\n"
        + _alipay()
        + "\n## UnionPay card host\n\nFrom `channels/unionpay/card_codes.py`: what F39 of a 0210 "
        "or 0110 means. A code that is not here is **unknown**, and the gateway reverses.\n\n"
        + _card()
        + "\nA completion is refused by "
        + _more(COMPLETION_CODES)
        + " as well, and so is a void or a refund, to which "
        + _codes_of(sorted(SALE_CODES.keys() - REFUND_CODES.keys()))
        + " is no answer: it is sent again, as after every code that is not here. The refusal of "
        "such a repeat is **unknown**, too, unless the account's `repeats_answered_alike` says "
        "that this host keeps its answers.\n\nWhat ends a reversal (F39 of a 0410): "
        + ", ".join(f"`{code}`" for code in REVERSAL_CODES)
        + ". Anything else is repeated.\n\n"
        "## UnionPay QR\n\nFrom `channels/unionpay/qr_codes.py`: what `origRespCode` of a query "
        "means, and `respCode` of a sale (where 00 is *accepted*). A code that is not here is "
        "**unknown**, and the gateway asks. A refund takes what an operator may mend as "
        "**unknown**.\n\n"
        + _qr()
        + "\n## WeChat Pay\n\nFrom `channels/wechat/codes.py`: what a verified `err_code` of "
        "APIv2 means, and a verified code of APIv3 under its HTTP status. Whatever is not here is "
        "**unknown**, and so is every 429 and 5xx; the gateway asks.\n\n"
        + _wechat()
        + "\n## Scanned codes\n\n"
        f"From `channels/codes.py`, table of {TABLE_VERSION}; the first line that fits wins. A "
        "channel that is not open to the merchant refuses the payment.\n\n" + _codes()
    )


def _reasons() -> str:
    rows = []
    for reason in DeclineReason:
        text, code = CASHIER_TEXTS[reason], F39_OF_REASON[reason]
        rows.append([code_text(reason.value), f"{code} {_meaning(code)}", text.en, text.zh])
    return table_text(["`error.code`", "F39", "The cashier reads", ""], rows)


def _meaning(code: str) -> str:
    line = meaning(code)
    return line.en if line is not None else ""


def _errors() -> str:
    rows = [
        [kind.__name__, str(status), f"{F39_OF_ERROR[kind]} {_meaning(F39_OF_ERROR[kind])}",
         plain_text((kind.__doc__ or "").strip())]
        for kind, status in STATUSES.items()
    ]  # fmt: skip
    return table_text(["Error", "HTTP", "F39", "Meaning"], rows)


def _over_limits() -> str:
    rows = [
        [
            code_text(rule.value),
            f"{F39_OF_LIMIT[rule]} {_meaning(F39_OF_LIMIT[rule])}",
            text.en,
            text.zh,
        ]
        for rule, text in LIMIT_TEXTS.items()
    ]
    return table_text(["`error.code`", "F39", "The cashier or payer reads", ""], rows)


def _alipay() -> str:
    of_orders = {code: row for code, row in ORDER_SUB_CODES.items() if code not in PAY_SUB_CODES}
    return (
        _listed(PAY_SUB_CODES)
        + "\nEvery other `code` of Alipay's gateway; its own refusals count only where they are "
        "signed:\n\n"
        + _listed(GATEWAY_CODES, "`code`")
        + "\nOnly `alipay.trade.create` and `alipay.trade.precreate` know also:\n\n"
        + _listed(of_orders)
        + "\nTo `alipay.trade.cancel`, where none of them ends anything:\n\n"
        + _listed(CANCEL_SUB_CODES)
        + f"\nA cancel that answers {_codes_of(sorted(CANCEL_IMPOSSIBLE))} is made good by other "
        "means: an unpaid trade is closed, a paid one refunded whole; where that is refused too, "
        "the payment is parked for a person.\n\n"
        "And to `alipay.trade.refund`, where the gateway's own refusals are **unknown**, since "
        "the money is owed and the number serves again:\n\n"
        + _listed(REFUND_SUB_CODES)
        + _alipay_beside()
    )


def _alipay_beside() -> str:
    """What is said of Alipay's methods that no cashier waits for."""
    named = {
        "alipay.trade.query` and `alipay.trade.fastpay.refund.query": QUERY_SUB_CODES,
        "alipay.trade.close": CLOSE_SUB_CODES,
        "alipay.trade.order.settle": ROYALTY_SUB_CODES,
        "alipay.system.oauth.token": PAYER_SUB_CODES,
        "zoloz.authentication.customer.smilepay.initialize": FACE_SUB_CODES,
        "alipay.data.dataservice.bill.downloadurl.query": BILL_SUB_CODES,
    }
    return "".join(f"\nTo `{name}`:\n\n{_listed(table)}" for name, table in named.items())


def _listed(listed: Mapping[str, Listed], head: str = "`sub_code` (ACQ.)") -> str:
    """A table of codes with what each makes us do, and what the cashier reads."""
    rows = []
    for code, row in listed.items():
        reason, advice = row.outcome.reason, row.outcome.advice
        is_final = row.outcome.verdict is Verdict.DECLINED and reason is not None
        meaning = code_text(reason.value) if is_final and reason is not None else "unknown"
        if row.outcome.verdict in (Verdict.SUCCEEDED, Verdict.PENDING):
            meaning = row.outcome.verdict.value
        doing = "" if advice is None else advice.value
        rows.append(
            [code_text(code.removeprefix("ACQ.")), meaning, doing, row.text.en, row.text.zh]
        )
    return table_text([head, "`error.code`", "Advice", "The cashier reads", ""], rows)


def _wechat() -> str:
    payments, refunds = WECHAT_TEXTS.payments, WECHAT_TEXTS.refunds
    named: dict[str, tuple[Mapping[Any, Any], Mapping[str, Any]]] = {
        "To `micropay` and `facepay`": (wechat_codes.PAY_V2, payments),
        "To `codepay` (APIv3)": (wechat_codes.PAY_V3, payments),
        "The state of a trade (`trade_state`), in both versions": (
            wechat_codes.TRADE_STATES,
            payments,
        ),
        "To a refund over APIv2; a refusal is believed once the query finds no such refund": (
            wechat_codes.REFUND_V2,
            refunds,
        ),
        "To a refund over APIv3, believed alike": (wechat_codes.REFUND_V3, refunds),
        "The state of a refund": (wechat_codes.REFUND_STATES, refunds),
    }
    return "\n".join(f"{head}:\n\n{_wechat_table(*one)}" for head, one in named.items())


def _wechat_table(codes: Mapping[Any, Any], texts: Mapping[str, Any]) -> str:
    """One table of WeChat Pay's."""
    rows = []
    for key, outcome in codes.items():
        status, code = key if isinstance(key, tuple) else ("", key)
        told = ["", ""]
        if outcome.reason is not None:
            text = texts[code]
            told = [text.en, text.zh]
        shown = outcome.verdict.value if outcome.reason is None else code_text(outcome.reason.value)
        doing = outcome.advice.value if outcome.advice is not None else ""
        rows.append([str(status), code_text(code), shown, doing, *told])
    head = ["HTTP", "Code", "`error.code`", "Advice", "The cashier reads", ""]
    drop = 0 if any(row[0] for row in rows) else 1
    return table_text(head[drop:], [row[drop:] for row in rows])


def _codes_of(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _card() -> str:
    by_meaning: dict[str, list[str]] = {}
    for code, sale in SALE_CODES.items():
        if sale.verdict is Verdict.SUCCEEDED:
            by_meaning.setdefault("paid", []).append(code)
        elif sale.reason is not None:
            by_meaning.setdefault(code_text(sale.reason.value), []).append(code)
    rows = [[name, _codes_of(codes)] for name, codes in by_meaning.items()]
    return table_text(["Means", "F39"], rows)


def _qr() -> str:
    rows = [
        [
            f"`{code}`",
            code_text(row.reason.value) if row.reason is not None else row.verdict.value,
            qr_codes.CASHIER_TEXTS[code].en,
            qr_codes.CASHIER_TEXTS[code].zh,
        ]
        for code, row in qr_codes.QUERY_CODES.items()
    ]
    return table_text(["`respCode`", "Means", "Cashier reads", "收银员看到"], rows)


def _more(codes: Mapping[str, object]) -> str:
    """The codes that mean something here and nothing for a sale."""
    return _codes_of(sorted(codes.keys() - SALE_CODES.keys()))


def _codes() -> str:
    rows = [
        [
            code_text(rule.channel),
            _codes_of(rule.prefixes),
            _lengths(rule.lengths) + (" digits" if rule.digits_only else " characters"),
        ]
        for rule in CODE_TABLE
    ]
    return table_text(["Channel", "Begins with", "Length"], rows)


def _lengths(lengths: range) -> str:
    return str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]}-{lengths[-1]}"

"""What the tests of the WeChat Pay adapter ask for, and where it went."""

from dataclasses import replace
from typing import Any

from channels.payer_orders import OrderRequest
from channels.port import PaymentRef, Verdict
from tests.channels.rigs import ref_of
from tests.channels.wechat_rigs import NOW_MS, WechatRig

OK, U, D, P = Verdict.SUCCEEDED, Verdict.UNKNOWN, Verdict.DECLINED, Verdict.PENDING


def ref(rig: WechatRig, method: str = "auth_code", **more: Any) -> PaymentRef:
    """The payment that the rig asks about and undoes."""
    return replace(ref_of(rig.request("NUMBER0001")), method=method, **more)


def paths(rig: WechatRig) -> list[str]:
    """Where the rig was called, in order."""
    return [path for path, _ in rig.asked]


def payer_order(**more: Any) -> OrderRequest:
    """An order that a payer pays by himself."""
    given: dict[str, Any] = {
        "order_no": "NUMBER0001",
        "amount_fen": 1990,
        "currency": "CNY",
        "subject": "Tea",
        "created_at_ms": NOW_MS,
        "expires_at_ms": NOW_MS + 300_000,
    }
    return OrderRequest(**(given | more))

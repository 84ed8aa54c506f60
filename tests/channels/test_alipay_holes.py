"""The holes that payment gateways really had, as far as Alipay's adapter could have them.

One test for each (reference ``channels.md`` G, by its number there). Elsewhere are: 2, 3 and 15
(``tests/http/test_alipay_notices.py``), 6 (``test_alipay_zones.py``), 8 and 11
(``tests/gateway/test_alipay_in_store.py``), 17 (``tests/gateway/test_inbound.py``: an order of
another account is not this one's), 13 and 14 (``tests/bills``). 1 is XML's, 9 UnionPay's.
"""

import json
from dataclasses import replace

import orjson
import pytest

from channels.alipay.notice import read_notice
from channels.alipay.wire import build_pay, read_pay
from channels.inbound import InboundRequest, NoticeRefused
from channels.port import AnswerLost, HttpResponse, RefundRequest, Verdict, refunds_of
from domain.money import MoneyError
from signing.alipay import sign
from tests.channels.rigs import AlipayRig, alipay_answer, paid, ref_of, rsa_key
from tests.channels.test_alipay_notice import OURS, PAID, signed
from tests.channels.test_alipay_transports import DRESSES, KEYED, Peer
from tests.channels.test_alipay_transports import PAID as FIELDS

ORDER = "ORDER00001"
NOW_MS = 1_795_331_737_042


@pytest.mark.parametrize("sign_text", ["%%%", "WECHATPAY/SIGNTEST/x", "不", "A"])
def test_4_a_probe_that_is_no_base64_is_refused_and_crashes_nothing(sign_text: str) -> None:
    body = signed(PAID).rpartition(b"&sign=")[0] + b"&sign=" + sign_text.encode("utf-8", "replace")
    request = InboundRequest(method="POST", path_and_query="/", headers={}, body=body)
    with pytest.raises(NoticeRefused) as refused:
        read_notice(request, OURS)
    assert refused.value.reply.status == 400


@pytest.mark.parametrize(
    ("amount_fen", "yuan"),
    [(1990, "19.90"), (980, "9.80"), (1, "0.01"), (10_000_000_001, "100000000.01")],
)
def test_5_money_is_never_a_float(amount_fen: int, yuan: str) -> None:
    """19.9 x 100 is 1989 to a float; 9.8 x 100 is 980.0000000000001."""
    rig = AlipayRig()
    request = replace(rig.request(ORDER), amount_fen=amount_fen)
    assert b"total_amount%22%3A%22" + yuan.encode() in build_pay(request, rig.account, NOW_MS).body
    said = HttpResponse(200, {}, alipay_answer("pay", paid(ORDER, yuan)))
    assert read_pay(said, rig.account, ORDER).amount_fen == amount_fen
    number = alipay_answer("pay", paid(ORDER, yuan) | {"total_amount": 19.9})
    assert read_pay(HttpResponse(200, {}, number), rig.account, ORDER).verdict is Verdict.UNKNOWN
    with pytest.raises(MoneyError):
        build_pay(replace(request, amount_fen=19.9), rig.account, NOW_MS)  # type: ignore[arg-type]


async def test_7_every_repeat_has_the_same_number() -> None:
    """A lost answer, its query, its cancel, a refund and its repeat: no number is made anew."""
    peer = Peer(KEYED)
    request = peer.request()
    ref = ref_of(request)
    refund = RefundRequest(
        refund_no="R1", payment=ref, amount_fen=5, currency="CNY", reason="", created_at_ms=0
    )
    seen: list[object] = []

    def cut(_: HttpResponse) -> HttpResponse:
        seen.append((peer.content["out_trade_no"], peer.content.get("out_request_no")))
        raise AnswerLost("cut")

    peer.mutate = cut
    refunds = refunds_of(peer.channel)
    assert refunds is not None
    for _ in range(2):
        await peer.channel.pay(request)
        await peer.channel.query(ref)
        await peer.channel.cancel(ref)
        await refunds.refund(refund)
        await refunds.query_refund(refund)
    assert set(seen) == {(ORDER, None), (ORDER, "R1")}


def test_10_nothing_is_sent_that_the_method_does_not_know() -> None:
    rig = AlipayRig()
    request = replace(rig.request(ORDER), store_id="S1", terminal_id="T1")
    built = build_pay(request, rig.account, NOW_MS)
    form = dict(part.split("=", 1) for part in built.body.decode().split("&"))
    assert set(form) == {
        "app_id", "method", "format", "charset", "sign_type", "timestamp", "version",
        "biz_content", "sign",
    }  # fmt: skip


async def test_10_of_a_payment_only_the_vendors_fields() -> None:
    peer = Peer(KEYED)
    await peer.channel.pay(replace(peer.request(), store_id="S1", terminal_id="T1"))
    assert set(peer.content) == {
        "out_trade_no", "scene", "auth_code", "subject", "total_amount", "product_code",
        "store_id", "terminal_id",
    }  # fmt: skip


@pytest.mark.parametrize("change", [b" ", b"\n", b"\\u00e9"], ids=repr)
def test_12_only_the_bytes_as_they_came_are_verified(change: bytes) -> None:
    """Written anew by whoever stands between, the same JSON is another text."""
    rig = AlipayRig()
    body = alipay_answer("pay", paid(ORDER, "19.90", note="é / \\/"))
    assert read_pay(HttpResponse(200, {}, body), rig.account, ORDER).verdict is Verdict.SUCCEEDED
    outer = orjson.loads(body)
    key = "alipay_trade_pay_response"
    again = json.dumps(outer, separators=(", ", ": ")).encode()
    assert read_pay(HttpResponse(200, {}, again), rig.account, ORDER).verdict is Verdict.UNKNOWN
    changed = body.replace(b'"19.90"', b'"19.90"' + change.replace(b"\\u00e9", b" "), 1)
    assert key in outer
    assert read_pay(HttpResponse(200, {}, changed), rig.account, ORDER).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("sign_type", ["RSA", "MD5", "HMAC-SHA256", "rsa2", ""])
def test_16_no_weaker_signature_is_taken(sign_type: str) -> None:
    """RSA2 is pinned: the text that names another hash decides nothing."""
    body = signed({**PAID, "sign_type": sign_type})
    request = InboundRequest(method="POST", path_and_query="/", headers={}, body=body)
    with pytest.raises(NoticeRefused):
        read_notice(request, OURS)


@pytest.mark.parametrize("dress", DRESSES)
async def test_18_no_secret_and_no_payment_code_is_in_any_text(dress: str) -> None:
    """Of account, request, answers, faults: what could reach a log."""
    secrets, settings = DRESSES[dress]
    peer = Peer({**secrets, "app_auth_token": b"SECRET-TOKEN"}, **settings)
    peer.fields = {**FIELDS}
    request = peer.request()
    answer = await peer.channel.pay(request)
    account = peer.channel._account  # type: ignore[attr-defined]
    texts = [repr(request), repr(answer), repr(account), str(account), repr(peer.channel)]
    texts += [repr(one) for one in peer.requests]
    peer.fields = {"code": "40004", "sub_code": "ACQ.X", "sub_msg": f"code {request.auth_code}"}
    texts.append(repr(await peer.channel.pay(request)))
    token = sign({"a": "b"}, rsa_key("app"))
    for text in texts:
        for secret in (request.auth_code, "SECRET-TOKEN", token, "PRIVATE KEY"):
            assert secret not in text

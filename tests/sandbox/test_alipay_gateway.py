"""The simulated Alipay in process: what it refuses, what it repeats, what it remembers."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from sandbox.scenarios import ALIPAY_CODES, Scenario
from sandbox.world import World

Params = dict[str, str]
Call = Callable[..., Any]
PAY = "alipay.trade.pay"
NOON_MS = 1_795_320_000_000
OTHER_CODE = "301234567890123456789012"


def common(method: str, biz: object) -> Params:
    return {
        "app_id": "2021000000000001",
        "method": method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": "2026-11-22 12:00:00",
        "version": "1.0",
        "notify_url": "",
        "biz_content": biz if isinstance(biz, str) else json.dumps(biz, ensure_ascii=False),
    }


def pay_biz(number: str = "A1", **changes: object) -> dict[str, object]:
    biz: dict[str, object] = {
        "out_trade_no": number,
        "auth_code": ALIPAY_CODES[Scenario.APPROVED],
        "subject": "咖啡",
        "total_amount": "0.01",
        "scene": "bar_code",
    }
    return biz | changes


@pytest.fixture
def signed(app_keys: Any) -> Callable[..., bytes]:
    """Sign parameters as a merchant does and make them a form body."""

    def sign(params: Params, digest: SHA256 | SHA1 | None = None) -> bytes:
        text = "&".join(f"{k}={v}" for k, v in sorted(params.items()) if v)
        signature = app_keys.pair.sign(text.encode(), PKCS1v15(), digest or SHA256())
        return urlencode({**params, "sign": base64.b64encode(signature).decode()}).encode()

    return sign


@pytest.fixture
def call(world: World, signed: Callable[..., bytes]) -> Call:
    """``call(method, biz, now_ms)`` → the node of a properly signed call, ``None`` for hang-up."""

    def do(method: str, biz: object, now_ms: int = NOON_MS) -> Any:
        effect = world.alipay(b"", signed(common(method, biz)), now_ms)
        if not effect.answer:
            assert effect.close
            return None
        return json.loads(effect.answer)[method.replace(".", "_") + "_response"]

    return do


def sub_code(node: Any) -> Any:
    return node.get("sub_code", node["code"])


def test_the_signature_covers_exactly_the_bytes_of_the_node(
    world: World, signed: Callable[..., bytes], alipay_keys: Any
) -> None:
    """The raw substring verifies; slashes inside it are escaped as the vendor writes them."""
    biz = {"out_trade_no": "Q1", "subject": "茶", "total_amount": "1"}
    answer = world.alipay(b"", signed(common("alipay.trade.precreate", biz)), NOON_MS).answer
    start, end = answer.index(b":") + 1, answer.rindex(b',"sign":"')
    signature = base64.b64decode(json.loads(answer)["sign"])
    alipay_keys.pair.public_key().verify(signature, answer[start:end], PKCS1v15(), SHA256())
    assert rb"https:\/\/qr.alipay.com\/" in answer


@pytest.mark.parametrize(
    ("change", "code", "expected", "is_signed"),
    [
        ({"app_id": "2021000000000002"}, "40002", "isv.invalid-app-id", False),
        ({"app_id": ""}, "40001", "isv.missing-app-id", False),
        ({"timestamp": ""}, "40001", "isv.missing-timestamp", True),
        ({"timestamp": "2026-11-22T12:00:00Z"}, "40002", "isv.invalid-timestamp", True),
        ({"version": ""}, "40001", "isv.missing-version", True),
        ({"sign_type": ""}, "40001", "isv.missing-signature-type", True),
        ({"sign_type": "RSA"}, "40002", "isv.invalid-signature-type", True),
        ({"charset": "GBK"}, "40002", "isv.invalid-charset", True),
        ({"format": "XML"}, "40002", "isv.invalid-format", True),
        ({"biz_content": ""}, "40001", "isv.missing-parameter", True),
        ({"biz_content": "[1]"}, "40002", "isv.invalid-parameter", True),
        ({"biz_content": "{"}, "40002", "isv.invalid-parameter", True),
    ],
)
def test_a_call_that_is_not_in_order_changes_nothing(
    world: World,
    signed: Callable[..., bytes],
    change: Params,
    code: str,
    expected: str,
    is_signed: bool,
) -> None:
    """Each fault has its sub_code in the method's node, signed where a key is known."""
    params = common(PAY, pay_biz()) | change
    answer = json.loads(world.alipay(b"", signed(params), NOON_MS).answer)
    node = answer["alipay_trade_pay_response"]
    assert (node["code"], node["sub_code"], "sign" in answer) == (code, expected, is_signed)
    assert world.charges(NOON_MS) == []


@pytest.mark.parametrize(("method", "sub"), [("", "missing"), ("alipay.trade.gift", "invalid")])
def test_no_usable_method_is_an_error_response(
    world: World, signed: Callable[..., bytes], method: str, sub: str
) -> None:
    """Without a method there is no node to answer in."""
    answer = json.loads(world.alipay(b"", signed(common(method, pay_biz())), NOON_MS).answer)
    assert answer["error_response"]["sub_code"] == f"isv.{sub}-method"


def forgeries() -> list[tuple[str, Callable[[bytes], bytes]]]:
    return [
        ("amount", lambda form: form.replace(b"0.01", b"0.02")),
        ("added parameter", lambda form: form + b"&app_auth_token=x"),
        ("no signature bytes", lambda form: form[: form.index(b"&sign=")] + b"&sign=AAAA"),
        ("not base64", lambda form: form[: form.index(b"&sign=")] + b"&sign=%E4%B8%AD"),
    ]


@pytest.mark.parametrize(("name", "forge"), forgeries())
def test_a_tampered_call_is_refused(
    world: World, signed: Callable[..., bytes], name: str, forge: Callable[[bytes], bytes]
) -> None:
    """One changed letter and the signature no longer holds."""
    answer = json.loads(world.alipay(b"", forge(signed(common(PAY, pay_biz()))), NOON_MS).answer)
    node = answer["alipay_trade_pay_response"]
    assert (node["code"], node["sub_code"]) == ("40002", "isv.invalid-signature"), name
    assert world.charges(NOON_MS) == []


def test_a_sha1_signature_is_refused(world: World, signed: Callable[..., bytes]) -> None:
    """RSA2 means SHA-256, whatever hash the signature itself names."""
    answer = world.alipay(b"", signed(common(PAY, pay_biz()), SHA1()), NOON_MS).answer
    assert b"isv.invalid-signature" in answer


def test_a_repeated_parameter_is_refused(world: World, signed: Callable[..., bytes]) -> None:
    """Two values under one name would let signer and reader mean different things."""
    form = signed(common(PAY, pay_biz())) + b"&version=1.0"
    assert b"isv.invalid-parameter" in world.alipay(b"", form, NOON_MS).answer
    assert world.charges(NOON_MS) == []


def test_parameters_may_come_in_the_url(world: World, signed: Callable[..., bytes]) -> None:
    """Common parameters in the query string and biz_content in the body, as SDKs do it."""
    form = signed(common(PAY, pay_biz()))
    pairs = form.split(b"&")
    body = next(pair for pair in pairs if pair.startswith(b"biz_content="))
    query = b"&".join(pair for pair in pairs if pair is not body)
    assert b'"code":"10000"' in world.alipay(query, body, NOON_MS).answer


def test_paying_twice_charges_once(call: Call, world: World) -> None:
    """The same pay again is TRADE_HAS_SUCCESS, another content CONTEXT_INCONSISTENT."""
    assert call(PAY, pay_biz())["code"] == "10000"
    assert sub_code(call(PAY, pay_biz())) == "ACQ.TRADE_HAS_SUCCESS"
    for change in ({"total_amount": "0.02"}, {"subject": "茶"}, {"auth_code": OTHER_CODE}):
        assert sub_code(call(PAY, pay_biz(**change))) == "ACQ.CONTEXT_INCONSISTENT"
    [charge] = world.charges(NOON_MS)
    assert (charge["charged_fen"], charge["returned_fen"]) == (1, 0)


def test_repeating_while_the_payer_acts(call: Call) -> None:
    """10003 again, under the same trade number."""
    biz = pay_biz(auth_code=ALIPAY_CODES[Scenario.USER_PAYING])
    first, again = call(PAY, biz), call(PAY, biz)
    assert first["code"] == again["code"] == "10003"
    assert first["trade_no"] == again["trade_no"]


def test_cancelled_before_the_payer_paid_stays_unpaid(call: Call, world: World) -> None:
    """A payer who was still acting cannot pay a cancelled trade any more."""
    call(PAY, pay_biz(auth_code=ALIPAY_CODES[Scenario.USER_PAYING]))
    assert call("alipay.trade.cancel", {"out_trade_no": "A1"})["action"] == "close"
    later = NOON_MS + 60_000
    node = call("alipay.trade.query", {"out_trade_no": "A1"}, later)
    assert node["trade_status"] == "TRADE_CLOSED"
    assert sub_code(call(PAY, pay_biz(), later)) == "ACQ.TRADE_HAS_CLOSE"
    assert world.charges(later) == []


def test_a_payer_who_never_pays(call: Call, world: World) -> None:
    """WAIT_BUYER_PAY for ever, until a cancel closes it."""
    call(PAY, pay_biz(auth_code=ALIPAY_CODES[Scenario.NEVER_PAYS]))
    later = NOON_MS + 23 * 3_600_000
    node = call("alipay.trade.query", {"out_trade_no": "A1"}, later)
    assert node["trade_status"] == "WAIT_BUYER_PAY"
    assert call("alipay.trade.cancel", {"out_trade_no": "A1"}, later)["action"] == "close"
    assert world.charges(later) == []


def test_a_declined_number_may_be_used_again(call: Call) -> None:
    """A declined pay leaves no trade behind."""
    biz = pay_biz(auth_code=ALIPAY_CODES[Scenario.DECLINED])
    assert sub_code(call(PAY, biz)) == "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    assert sub_code(call("alipay.trade.query", {"out_trade_no": "A1"})) == "ACQ.TRADE_NOT_EXIST"
    assert call(PAY, pay_biz())["code"] == "10000"


def test_a_cancel_comes_too_late_after_a_day(call: Call, world: World) -> None:
    """The window is 24 hours; a repeat of a cancel in time still answers."""
    call(PAY, pay_biz("IN_TIME"))
    call(PAY, pay_biz("TOO_LATE"))
    day_ms = 24 * 3_600_000
    cancel = "alipay.trade.cancel"
    assert call(cancel, {"out_trade_no": "IN_TIME"}, NOON_MS + day_ms)["action"] == "refund"
    late = NOON_MS + day_ms + 1
    assert call(cancel, {"out_trade_no": "IN_TIME"}, late)["action"] == "refund"
    assert sub_code(call(cancel, {"out_trade_no": "TOO_LATE"}, late)) == "ACQ.TRADE_CANCEL_TIME_OUT"


def test_cancel_after_a_partial_refund_returns_the_rest(call: Call, world: World) -> None:
    """Never more than was charged goes back."""
    call(PAY, pay_biz(total_amount="10"))
    call("alipay.trade.refund", {"out_trade_no": "A1", "refund_amount": "4.00"})
    call("alipay.trade.cancel", {"out_trade_no": "A1"})
    [charge] = world.charges(NOON_MS)
    assert charge["returned_fen"] == charge["charged_fen"] == 1000
    node = call(
        "alipay.trade.refund", {"out_trade_no": "A1", "refund_amount": "1", "out_request_no": "R2"}
    )
    assert sub_code(node) == "ACQ.REASON_TRADE_REFUND_FEE_ERR"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"auth_code": "181234567890123456"}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
        ({"auth_code": "2812345678901234567890123"}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
        ({"auth_code": "２８１２３４５６７８９０１２３４５６"}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
        ({"total_amount": "0"}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": "0.001"}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": 19.9}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": "-1"}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": "100000000.01"}, "ACQ.TOTAL_FEE_EXCEED"),
        ({"subject": "a/b"}, "ACQ.INVALID_PARAMETER"),
        ({"subject": ""}, "ACQ.INVALID_PARAMETER"),
        ({"out_trade_no": "a-b"}, "ACQ.INVALID_PARAMETER"),
        ({"out_trade_no": None}, "ACQ.INVALID_PARAMETER"),
        ({"scene": "security_code"}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
        ({"scene": "wave_code"}, "ACQ.INVALID_PARAMETER"),
    ],
)
def test_bad_business_parameters(
    call: Call, world: World, change: dict[str, object], expected: str
) -> None:
    """Each is a business failure, and nothing is charged."""
    node = call(PAY, pay_biz() | change)
    assert (node["code"], node["sub_code"]) == ("40004", expected)
    assert world.charges(NOON_MS) == []


def test_a_lost_answer_that_charged_nothing_never_charges(call: Call, world: World) -> None:
    """However often it is repeated; after a cancel the number is closed for good."""
    biz = pay_biz(auth_code=ALIPAY_CODES[Scenario.LOST_RESPONSE_NOT_CHARGED])
    assert call(PAY, biz) is None
    assert call(PAY, biz) is None
    assert call("alipay.trade.cancel", {"out_trade_no": "A1"})["code"] == "10000"
    assert sub_code(call(PAY, biz)) == "ACQ.TRADE_HAS_CLOSE"
    assert world.charges(NOON_MS) == []


def test_full_books_refuse_and_forget_nothing(
    change: Callable[..., Any], signed: Callable[..., bytes]
) -> None:
    """At the bound a new number is 20000 (unknown result), old ones answer as before."""
    world = World(change(max_orders=2), bytes)

    def answer(method: str, biz: object) -> Any:
        raw = world.alipay(b"", signed(common(method, biz)), NOON_MS).answer
        return json.loads(raw)[method.replace(".", "_") + "_response"]

    assert answer(PAY, pay_biz("A1"))["code"] == "10000"
    assert answer("alipay.trade.cancel", {"out_trade_no": "A2"})["code"] == "10000"
    assert answer(PAY, pay_biz("A3"))["code"] == "20000"
    assert answer("alipay.trade.cancel", {"out_trade_no": "A4"})["code"] == "20000"
    assert answer("alipay.trade.query", {"out_trade_no": "A1"})["trade_status"] == "TRADE_SUCCESS"
    assert len(world.charges(NOON_MS)) == 1

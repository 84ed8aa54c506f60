"""The simulated APIv2, call by call."""

import gzip
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sandbox.config import SandboxConfig
from sandbox.effects import HANG_UP
from sandbox.faults import parse_rules
from sandbox.scenarios import WECHAT_CODES, Scenario
from sandbox.wechat_xml import HMAC_SHA256, XmlError, read_xml, sign_v2, write_xml
from sandbox.world import World
from tests.conftest import samples_folder
from tests.sandbox.conftest import NOON_MS
from tests.sandbox.wechat_rig import (
    APPID,
    MCHID,
    SUB_MCHID,
    HttpReply,
    WeChatMerchant,
    reply_of,
    wechat_kit,
)

CODES = WECHAT_CODES


def merchant_at(config: SandboxConfig, **wechat: Any) -> WeChatMerchant:
    kit = wechat_kit()
    world = World(replace(config, wechat=replace(kit.config, **wechat)), Random(1).randbytes)
    return WeChatMerchant(world, kit, NOON_MS)


@pytest.fixture
def merchant(config: SandboxConfig) -> WeChatMerchant:
    return merchant_at(config)


def paid(merchant: WeChatMerchant, number: str, fen: int = 100, **more: str) -> dict[str, str]:
    answer = merchant.micropay(number, CODES[Scenario.APPROVED], fen, **more)
    assert answer["result_code"] == "SUCCESS"
    return answer


def reverse(merchant: WeChatMerchant, number: str) -> dict[str, str]:
    return merchant.v2("/secapi/pay/reverse", True, out_trade_no=number)


def query(merchant: WeChatMerchant, number: str) -> dict[str, str]:
    return merchant.v2("/pay/orderquery", out_trade_no=number)


def charges(merchant: WeChatMerchant) -> list[tuple[str, int, int]]:
    return [
        (c["order_no"], c["charged_fen"], c["returned_fen"])
        for c in merchant.world.charges(merchant.now_ms)
    ]


@pytest.mark.parametrize("sign_type", ["MD5", HMAC_SHA256])
def test_an_approved_code(merchant: WeChatMerchant, sign_type: str) -> None:
    """What the vendor's documents list, in its formats; the query says the same."""
    merchant.sign_type = sign_type
    answer = paid(merchant, "T0000001", 1990, attach="till 7")
    assert (answer["total_fee"], answer["cash_fee"], answer["fee_type"]) == ("1990", "1990", "CNY")
    assert (answer["trade_type"], answer["time_end"]) == ("MICROPAY", "20261122120000")
    assert len(answer["transaction_id"]) == 28 and answer["transaction_id"].startswith("4200")
    assert len(answer["openid"]) == 28 and answer["attach"] == "till 7"
    asked = query(merchant, "T0000001")
    assert asked["trade_state"] == "SUCCESS"
    assert {k: asked[k] for k in ("total_fee", "transaction_id", "openid", "time_end")} == {
        k: answer[k] for k in ("total_fee", "transaction_id", "openid", "time_end")
    }
    by_theirs = merchant.v2("/pay/orderquery", transaction_id=answer["transaction_id"])
    assert by_theirs["out_trade_no"] == "T0000001"
    assert charges(merchant) == [("T0000001", 1990, 0)]


@pytest.mark.parametrize("scene", ['{"id": "S1"}', "S1", "[]", '{"store_info": "S1"}'])
def test_a_scene_that_is_no_shops_is_refused(merchant: WeChatMerchant, scene: str) -> None:
    """Its shop stands inside of ``store_info``."""
    code = CODES[Scenario.APPROVED]
    assert merchant.micropay("T0000016", code, scene_info=scene)["err_code"] == "PARAM_ERROR"
    good = '{"store_info": {"id": "S1"}}'
    assert merchant.micropay("T0000016", code, scene_info=good)["result_code"] == "SUCCESS"


def test_a_payer_who_types_and_then_pays(merchant: WeChatMerchant) -> None:
    """USERPAYING until the time comes; a repeat of the pay is no second payment."""
    code = CODES[Scenario.USER_PAYING]
    assert merchant.micropay("T0000002", code)["err_code"] == "USERPAYING"
    assert query(merchant, "T0000002")["trade_state"] == "USERPAYING"
    assert merchant.micropay("T0000002", code)["err_code"] == "USERPAYING"
    merchant.now_ms += 8_000
    assert query(merchant, "T0000002")["trade_state"] == "SUCCESS"
    assert merchant.micropay("T0000002", code)["err_code"] == "ORDERPAID"
    assert charges(merchant) == [("T0000002", 100, 0)]


def test_a_payer_who_never_pays(merchant: WeChatMerchant) -> None:
    """No reversal within 15 s, none while the payer may still type; then it closes."""
    merchant.micropay("T0000003", CODES[Scenario.NEVER_PAYS])
    merchant.now_ms += 14_999
    early = reverse(merchant, "T0000003")
    assert (early["result_code"], early["recall"]) == ("FAIL", "Y")
    merchant.now_ms += 1
    typing = reverse(merchant, "T0000003")
    assert (typing["err_code"], typing["recall"]) == ("USERPAYING", "Y")
    merchant.now_ms += 35_000
    assert query(merchant, "T0000003")["trade_state"] == "PAYERROR"
    done = reverse(merchant, "T0000003")
    assert (done["result_code"], done["recall"]) == ("SUCCESS", "N")
    assert query(merchant, "T0000003")["trade_state"] == "REVOKED"
    assert charges(merchant) == []


def test_a_declined_code(merchant: WeChatMerchant) -> None:
    """The same no however often it is asked, and no money."""
    for _ in range(2):
        answer = merchant.micropay("T0000004", CODES[Scenario.DECLINED])
        assert (answer["result_code"], answer["err_code"]) == ("FAIL", "NOTENOUGH")
    assert query(merchant, "T0000004")["trade_state"] == "PAYERROR"
    assert charges(merchant) == []


def test_lost_answers(merchant: WeChatMerchant) -> None:
    """Charged or not, the caller hears nothing; the query tells."""
    fields = {"body": "x", "total_fee": "5", "spbill_create_ip": "::1"}
    for number, scenario in (
        ("T0000005", Scenario.LOST_RESPONSE_CHARGED),
        ("T0000006", Scenario.LOST_RESPONSE_NOT_CHARGED),
    ):
        lost = merchant.v2_raw(
            "/pay/micropay", out_trade_no=number, auth_code=CODES[scenario], **fields
        )
        assert lost == HANG_UP
    assert query(merchant, "T0000005")["trade_state"] == "SUCCESS"
    assert query(merchant, "T0000006")["err_code"] == "ORDERNOTEXIST"
    assert charges(merchant) == [("T0000005", 5, 0)]
    assert reverse(merchant, "T0000006")["result_code"] == "SUCCESS"
    late = merchant.micropay("T0000006", CODES[Scenario.APPROVED])
    assert late["err_code"] == "ORDERREVERSED"


def test_a_reversal_returns_the_money_once(merchant: WeChatMerchant) -> None:
    """Repeats say the same; a refund of it is refused; after seven days it is too late."""
    paid(merchant, "T0000007")
    merchant.now_ms += 15_000
    assert [reverse(merchant, "T0000007")["recall"] for _ in range(2)] == ["N", "N"]
    assert charges(merchant) == [("T0000007", 100, 100)]
    assert refund(merchant, "T0000007", "R0000007", 100)["err_code"] == "TRADE_STATE_ERROR"
    paid(merchant, "T0000008")
    merchant.now_ms += 7 * 86_400_000 + 1
    late = reverse(merchant, "T0000008")
    assert (late["err_code"], late["recall"]) == ("REVERSE_EXPIRE", "N")


def refund(
    merchant: WeChatMerchant, number: str, refund_no: str, fen: int, total: int = 100
) -> dict[str, str]:
    return merchant.v2(
        "/secapi/pay/refund", True, out_trade_no=number, out_refund_no=refund_no,
        total_fee=str(total), refund_fee=str(fen),
    )  # fmt: skip


def test_refunds(merchant: WeChatMerchant) -> None:
    """Accepted at once, done a second later; one number returns once; never more than paid."""
    paid(merchant, "T0000009")
    first = refund(merchant, "T0000009", "R1", 60)
    assert (first["result_code"], first["refund_fee"]) == ("SUCCESS", "60")
    asked = merchant.v2("/pay/refundquery", out_refund_no="R1")
    assert asked["refund_status_0"] == "PROCESSING" and "refund_success_time_0" not in asked
    assert charges(merchant) == [("T0000009", 100, 0)]
    merchant.now_ms += 1000
    asked = merchant.v2("/pay/refundquery", out_refund_no="R1")
    assert (asked["refund_status_0"], asked["refund_fee_0"]) == ("SUCCESS", "60")
    assert asked["refund_success_time_0"] == "2026-11-22 12:00:01"
    assert charges(merchant) == [("T0000009", 100, 60)]
    assert refund(merchant, "T0000009", "R1", 60)["refund_id"] == first["refund_id"]
    assert refund(merchant, "T0000009", "R1", 61)["err_code"] == "INVALID_REQUEST"
    assert refund(merchant, "T0000009", "R2", 41)["err_code"] == "INVALID_REQUEST"
    assert refund(merchant, "T0000009", "R2", 40, 99)["err_code"] == "REFUND_FEE_MISMATCH"
    assert refund(merchant, "T0000009", "R2", 40)["result_code"] == "SUCCESS"
    both = merchant.v2("/pay/refundquery", out_trade_no="T0000009")
    assert (both["refund_count"], both["out_refund_no_1"]) == ("2", "R2")
    assert merchant.v2("/pay/refundquery", refund_id=first["refund_id"])["out_refund_no_0"] == "R1"
    assert query(merchant, "T0000009")["trade_state"] == "REFUND"
    assert merchant.v2("/pay/refundquery", out_refund_no="R9")["err_code"] == "REFUNDNOTEXIST"
    assert refund(merchant, "T9999999", "R3", 1)["err_code"] == "ORDERNOTEXIST"


def test_the_same_number_with_other_content(merchant: WeChatMerchant) -> None:
    """INVALID_REQUEST, and nothing is charged twice."""
    paid(merchant, "T0000010")
    for change in ({"fen": 101}, {"body": "coffee"}, {"attach": "more"}):
        again = merchant.micropay("T0000010", CODES[Scenario.APPROVED], **change)
        assert again["err_code"] == "INVALID_REQUEST"
    other = merchant.micropay("T0000010", "131234567890123456")
    assert other["err_code"] == "INVALID_REQUEST"
    assert charges(merchant) == [("T0000010", 100, 0)]


def test_a_service_providers_merchants_do_not_meet(merchant: WeChatMerchant) -> None:
    """The same number is another order under sub_mch_id; a stranger is refused."""
    paid(merchant, "T0000011", 1)
    answer = paid(merchant, "T0000011", 2, sub_mch_id=SUB_MCHID)
    assert answer["sub_mch_id"] == SUB_MCHID
    assert query(merchant, "T0000011")["total_fee"] == "1"
    mixed = merchant.v2("/pay/orderquery", transaction_id=answer["transaction_id"])
    assert mixed["err_code"] == "ORDERNOTEXIST"
    assert failed(merchant.v2_raw("/pay/orderquery", sub_mch_id="1999999999", out_trade_no="T1"))


def failed(effect: Any) -> str:
    """The return_msg of an answer that is no answer to us: unsigned."""
    answer = read_xml(reply_of(effect).body)
    assert answer["return_code"] == "FAIL" and "sign" not in answer
    return answer["return_msg"]


def test_what_is_refused_before_any_operation(merchant: WeChatMerchant) -> None:
    """return_code FAIL, unsigned: signature, merchant, application, XML, method."""
    base = {"appid": APPID, "mch_id": MCHID, "nonce_str": "n", "out_trade_no": "T1234567"}
    good = {**base, "sign": sign_v2(base, wechat_kit().config.api_v2_key, "MD5")}

    def ask(values: dict[str, str]) -> str:
        return failed(merchant.send("POST", "/pay/orderquery", write_xml(values)))

    assert ask({**good, "out_trade_no": "T1234568"}) == "签名错误"
    assert ask({**good, "sign": good["sign"].lower()}) == "签名错误"
    assert ask({k: v for k, v in good.items() if k != "sign"}) == "缺少参数:sign"
    assert ask({**good, "mch_id": "1900000009"}) == "商户号不存在"
    assert ask({**good, "appid": "wxother"}) == "appid和mch_id不匹配"
    assert ask({**good, "sign_type": "SHA1"}) == "签名类型错误"
    assert failed(merchant.send("POST", "/pay/orderquery", b"{}")) == "XML格式错误"
    assert failed(merchant.send("GET", "/pay/orderquery")) == "请使用post方法"


@pytest.mark.parametrize(
    "path", ["/secapi/pay/refund", "/secapi/pay/reverse", "/pay/downloadfundflow"]
)
def test_what_demands_a_clients_certificate(merchant: WeChatMerchant, path: str) -> None:
    """Without the merchant's own, 400 before anything is read."""
    merchant.sign_type = HMAC_SHA256
    assert reply_of(merchant.v2_raw(path, out_trade_no="T1234567")).status == 400


def test_openid_and_faces(merchant: WeChatMerchant) -> None:
    """A code tells its payer; a face's token pays, plays scenarios and is undone like a code."""
    code = CODES[Scenario.APPROVED]
    openid = merchant.v2("/tools/authcodetoopenid", auth_code=code)["openid"]
    assert openid == paid(merchant, "T0000012")["openid"]
    begun = merchant.v2(
        "/face/get_wxpayface_authinfo", store_id="S1", store_name="Tea", device_id="D1",
        rawdata="raw", now=str(NOON_MS // 1000), version="1",
    )  # fmt: skip
    assert begun["expires_in"] == "3600" and begun["authinfo"]
    face = {
        "body": "tea", "total_fee": "7", "spbill_create_ip": "::1", "openid": openid,
        "out_trade_no": "T0000013",
    }  # fmt: skip
    answer = merchant.v2("/pay/facepay", face_code="face0123456789", **face)
    assert (answer["trade_type"], answer["openid"]) == ("FACEPAY", openid)
    face["out_trade_no"] = "T0000014"
    no = merchant.v2("/pay/facepay", face_code="sandbox-face-declined", **face)
    assert no["err_code"] == "NOTENOUGH"
    merchant.now_ms += 20_000
    undone = merchant.v2("/secapi/pay/facepayreverse", True, out_trade_no="T0000013")
    assert undone["recall"] == "N"
    assert charges(merchant) == [("T0000012", 100, 0), ("T0000013", 7, 7)]


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"<xml></xml>", {}),
        (b"<xml><a>1</a>\n <b><![CDATA[x<y&z]]></b><c/></xml>", {"a": "1", "b": "x<y&z", "c": ""}),
        (b'<?xml version="1.0"?><xml><a>&lt;&amp;&#33;&#x4E2D;</a></xml>', {"a": "<&!中"}),
    ],
)
def test_xml_that_is_read(raw: bytes, values: dict[str, str]) -> None:
    """Text, CDATA, empty elements and the five entities that need no definition."""
    assert read_xml(raw) == values


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"<a/>", b"<xml><a>1</a>", b"<xml><a>1</b></xml>", b"<xml><a>1</a><a>2</a></xml>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>',
        b"<xml><a>&e;</a></xml>", b"<xml><a><b>1</b></a></xml>", b"<xml><!-- c --><a>1</a></xml>",
        b'<xml><a x="1">1</a></xml>', b"<xml><a>&#0;</a></xml>", b"<xml><a>\xff</a></xml>",
        b"<xml>" + b"".join(b"<a%d>1</a%d>" % (n, n) for n in range(65)) + b"</xml>",
    ],
)  # fmt: skip
def test_xml_that_is_refused(raw: bytes) -> None:
    """No definition of anything, nothing twice, nothing nested."""
    with pytest.raises(XmlError):
        read_xml(raw)


def test_what_is_written_reads_back() -> None:
    """A value cannot leave its CDATA."""
    values = {"a": "x]]><b>1</b>", "b": "123", "c": "01234567890", "d": "]]>"}
    assert read_xml(write_xml(values)) == values


@pytest.mark.samples
def test_hostile_and_real_samples() -> None:
    """The hostile notifies are refused, the real answers read."""
    folder = samples_folder() / "wechat"
    for name in ("v2_invalid.bad_entity.sample.xml", "v2_invalid.xxe_injection.sample.xml"):
        with pytest.raises(XmlError):
            read_xml((folder / "notify" / name).read_bytes())
    read = [read_xml(file.read_bytes()) for file in (folder / "responses").glob("v2_micropay_*")]
    assert len(read) == 9
    assert {answer["return_code"] for answer in read} == {"SUCCESS"}


def a_days_business(merchant: WeChatMerchant) -> None:
    """Three payments of 1.00, 19.90 (with a comma in its text) and 3.00; a refund, a reversal."""
    paid(merchant, "B0000001")
    paid(merchant, "B0000002", 1990, body="tea, `hot`", attach="a,b")
    paid(merchant, "B0000003", 300)
    merchant.now_ms += 1_000
    refund(merchant, "B0000002", "BR1", 990, 1990)
    merchant.now_ms += 20_000
    reverse(merchant, "B0000003")


def rows_of(text: str) -> tuple[list[dict[str, str]], list[str]]:
    """Rows by column and the totals, as a careful reader cuts them."""
    assert text.endswith("\n") and "\r" not in text
    header, *lines = text.removesuffix("\n").split("\n")
    columns = header.split(",")
    rows = [line.removeprefix("`").split(",`") for line in lines[:-2]]
    assert {len(row) for row in rows} == {len(columns)}
    return [dict(zip(columns, row, strict=True)) for row in rows], lines[-1][1:].split(",`")


def bill(merchant: WeChatMerchant, **fields: str) -> HttpReply:
    return reply_of(merchant.v2_raw("/pay/downloadbill", **fields))


def test_bills(merchant: WeChatMerchant) -> None:
    """Its own charges, by kind; text with BOM and CRLF, or GZIP; refusals are XML."""
    a_days_business(merchant)
    day = {"bill_date": "20261122"}
    assert failed_bill(bill(merchant, **day)) == "Bill Creating"
    merchant.now_ms += 86_400_000
    raw = bill(merchant, **day, bill_type="ALL").body
    assert raw.startswith(b"\xef\xbb\xbf") and raw.count(b"\r\n") == raw.count(b"\n") == 8
    assert gzip.decompress(bill(merchant, **day, tar_type="GZIP").body) == raw
    rows, totals = rows_of(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    assert [row["交易状态"] for row in rows] == ["SUCCESS"] * 3 + ["REFUND", "REVOKED"]
    assert len(rows[0]) == 27
    assert rows[1]["商品名称"] == "tea, 'hot'" and rows[1]["手续费"] == "0.12000"
    assert (rows[3]["退款金额"], rows[3]["手续费"]) == ("9.90", "-0.06000")
    assert totals == ["5", "23.90", "12.90", "0.00", "0.07000", "23.90", "12.90"]
    for kind, columns, count in (("SUCCESS", 20, 3), ("REFUND", 29, 2)):
        text = bill(merchant, **day, bill_type=kind).body.decode("utf-8-sig")
        rows, _ = rows_of(text.replace("\r\n", "\n"))
        assert (len(rows[0]), len(rows)) == (columns, count)
    assert failed_bill(bill(merchant, bill_date="20261121")) == "No Bill Exist"
    assert "invalid" in failed_bill(bill(merchant, bill_date="2026-11-21"))


def failed_bill(reply: HttpReply) -> str:
    return read_xml(reply.body)["return_msg"]


def test_the_fund_flow(config: SandboxConfig) -> None:
    """In and out with a running balance; HMAC-SHA256 and the certificate only."""
    merchant = merchant_at(config, bills_at_once=True)
    a_days_business(merchant)
    fields = {"bill_date": "20261122", "account_type": "Basic"}
    assert failed(merchant.v2_raw("/pay/downloadfundflow", True, **fields))
    merchant.sign_type = HMAC_SHA256
    raw = reply_of(merchant.v2_raw("/pay/downloadfundflow", True, **fields)).body
    rows, totals = rows_of(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    money = [int(row["收支金额(元)"].replace(".", "")) for row in rows]
    signed = [m if row["收支类型"] == "收入" else -m for m, row in zip(money, rows, strict=True)]
    assert sum(signed) == int(rows[-1]["账户结余(元)"].replace(".", ""))
    assert totals[0] == str(len(rows)) and totals[2] == "23.90"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"code": "SYSTEMERROR", "stage": "before"}, "SYSTEMERROR"),
        ({"code": "BANKERROR", "stage": "after"}, "BANKERROR"),
    ],
)
def test_refusals_on_demand(merchant: WeChatMerchant, rule: dict[str, str], says: str) -> None:
    """The channel's own code, signed, before or after the money moved."""
    rules = parse_rules([{"kind": "refuse", "match": "/pay/micropay", "limit": 1, **rule}])
    merchant.world.faults["wechat"].replace(rules)
    assert merchant.micropay("T0000015", CODES[Scenario.APPROVED])["err_code"] == says
    expected = "ORDERNOTEXIST" if rule["stage"] == "before" else None
    assert query(merchant, "T0000015").get("err_code") == expected

"""Alipay's wire is in Beijing time, wherever the machine believes to be."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from urllib.parse import parse_qs

import orjson
import pytest

from channels.alipay.bill_fetch import AlipayBillFetch, build_bill_url
from channels.alipay.notice import read_notice
from channels.alipay.orders_wire import build_create, build_face, build_precreate, build_token
from channels.alipay.refund_wire import build_refund, build_refund_query
from channels.alipay.royalty import build_settle
from channels.alipay.wire import build_cancel, build_close, build_pay, build_query, read_pay
from channels.inbound import InboundRequest, PaymentWord
from channels.payer_orders import FaceRequest, pages_of
from channels.port import HttpResponse, RefundRequest
from channels.royalty import RoyaltyRequest, Share
from tests.channels.rigs import AlipayRig, alipay_answer, paid, ref_of, services
from tests.channels.test_alipay_notice import OURS, PAID, signed
from tests.channels.test_alipay_orders import ORDER
from tests.channels.test_alipay_transports import KEYED, Peer

ZONES = ["UTC", "Asia/Shanghai", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
FACE = FaceRequest(device_data="{}", device_id="D1", store_id="S1", store_name="x")
NOW_MS = 1_795_331_737_042  # 2026-11-22T07:15:37Z
NEW_YEAR_MS = 1_798_732_800_000  # 2026-12-31T16:00:00Z: the next year begins in Beijing


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's zone, as the C library sees it."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_the_zone_is_really_set(zone: str) -> None:
    """A self-test: local time differs, so what does not is ours."""
    shown = time.strftime("%H", time.localtime(NOW_MS / 1000))
    assert (shown == "15") == (zone == "Asia/Shanghai")


def test_every_request_is_stamped_in_beijing(zone: str) -> None:
    rig = AlipayRig()
    request = rig.request("ORDER00001")
    ref = ref_of(request)
    refund = RefundRequest(
        refund_no="R1", payment=ref, amount_fen=5, currency="CNY", reason="", created_at_ms=0
    )
    share = Share(receiver="2088000000000002", amount_fen=5)
    payment = replace(ref, trade_no="T1")
    shares = RoyaltyRequest(request_no="S1", payment=payment, shares=(share,))
    for now_ms, shown in ((NOW_MS, "2026-11-22 15:15:37"), (NEW_YEAR_MS, "2027-01-01 00:00:00")):
        for built in (
            build_pay(request, rig.account, now_ms),
            build_query(ref, rig.account, now_ms),
            build_cancel(ref, rig.account, now_ms),
            build_close(ref, rig.account, now_ms),
            build_refund(refund, rig.account, now_ms),
            build_precreate(ORDER, rig.account, now_ms),
            build_create(ORDER, rig.account, now_ms),
            build_refund_query(refund, rig.account, now_ms),
            build_settle(shares, rig.account, now_ms),
            build_face(FACE, rig.account, now_ms),
            build_token("code", rig.account, now_ms),
            build_bill_url("trade", date(2026, 11, 22), rig.account, now_ms),
        ):
            form = parse_qs(built.body.decode("ascii"))
            assert form["timestamp"] == [shown]
            content = orjson.loads(form.get("biz_content", ["{}"])[0])
            assert content.get("time_expire", "2026-11-22 15:17:07") == "2026-11-22 15:17:07"


async def test_version_3_tells_the_moment_and_the_order_its_end(zone: str) -> None:
    """There a request has milliseconds of no zone; the time in its order is Beijing's."""
    peer = Peer(KEYED, transport="v3")
    pages = pages_of(peer.channel)
    assert pages is not None
    await pages.create_page_order(ORDER)
    assert peer.forms[0]["timestamp"] == str(NOW_MS)
    assert peer.content["time_expire"] == "2026-11-22 15:17:07"


def test_what_alipay_says_is_read_in_beijing(zone: str) -> None:
    rig = AlipayRig()
    said = paid("ORDER00001", "19.90") | {"gmt_payment": "2026-11-22 15:15:38"}
    answer = read_pay(HttpResponse(200, {}, alipay_answer("pay", said)), rig.account, "ORDER00001")
    assert answer.paid_at_ms == 1_795_331_738_000
    request = InboundRequest(method="POST", headers={}, body=signed(PAID))
    word = read_notice(request, OURS)
    assert isinstance(word, PaymentWord)
    assert word.answer.paid_at_ms == 1_795_331_738_000


def test_a_bill_is_due_in_beijing(zone: str) -> None:
    async def never(_: object) -> HttpResponse:
        raise AssertionError

    fetch = AlipayBillFetch(OURS, services(send=never))
    assert fetch.bill_due_ms(date(2026, 11, 22)) == 1_795_395_600_000

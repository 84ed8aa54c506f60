"""What WeChat Pay tells unasked: payments and refunds, APIv3 and APIv2. Pure.

Rules (reference ``channels.md`` B2, holes 1-4):

* APIv3: the signature over the exact body first (both verification modes, five minutes, probes
  refused with 401), then the resource is opened, then read. It must name our numbers.
* APIv2: the payment's notification is signed like an answer. A refund's has no signature at
  all (its details are encrypted under the API key), so it is asked about before it is booked.
* Only a payment that succeeded and a refund's end are ours to book; whatever else is truly
  WeChat Pay's is taken and told apart by its kind alone.
* Taken is 204 (APIv3 takes any 2xx), for APIv2 its XML; a refusal is 401 or 400.
"""

from typing import Final

from channels.inbound import (
    InboundReply,
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
)
from channels.port import RefundAnswer, Verdict
from channels.wechat import v2, v3
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.v2_wire import read_notified
from channels.wechat.v2_xml import MOST_BYTES, XmlRefused, read_fields, write_fields
from channels.wechat.v3_refund_wire import refund_answer
from channels.wechat.v3_wire import trade_answer
from domain.ids import is_channel_number
from signing.wechat import (
    Stamp,
    WechatCipherError,
    WechatSignatureError,
    open_resource,
    verify_message,
)
from signing.wechat_v2 import V2CipherError, open_req_info

_JSON: Final = "application/json"
_XML: Final = "text/xml; charset=utf-8"
_EVENT_LENGTH: Final = 64
_PAID: Final = "TRANSACTION.SUCCESS"
_REFUNDED: Final = "REFUND."


class _Foreign(Exception):
    """About an order or a refund that no number of ours names."""


class UnknownSerial(NoticeRefused):
    """Signed under a key that we do not hold: it may be a new certificate's."""


def read_notice(
    request: InboundRequest, account: WechatAccount, keys: PlatformKeys, now_ms: int
) -> Word:
    """The verified word.

    Raises:
        NoticeRefused: it is not believed; nothing else is raised.
    """
    if request.method != "POST" or len(request.body) > MOST_BYTES:
        raise _refused("not a notification", 400)
    try:
        if request.body.lstrip()[:1] == b"<":
            return _read_v2(request.body, account)
        return _read_v3(request, account, keys, now_ms)
    except _Foreign:
        return OtherNotice(about="a number that is not ours")
    except (v2.Distrusted, v3.Distrusted) as fault:
        raise _refused(fault.why, 400) from None


def _read_v3(
    request: InboundRequest, account: WechatAccount, keys: PlatformKeys, now_ms: int
) -> Word:
    try:
        verify_message(Stamp.of(request.headers), request.body, keys.known, now_ms)
    except WechatSignatureError as fault:
        if fault.unknown_serial:
            raise UnknownSerial(str(fault), _reply(str(fault), 401)) from None
        raise _refused(str(fault), 401) from None
    envelope = v3.json_object(request.body)
    event = v3.text_of(envelope, "event_type")
    if event != _PAID and not event.startswith(_REFUNDED):
        return OtherNotice(about=event[:_EVENT_LENGTH])
    resource = envelope.get("resource")
    try:
        opened = open_resource(resource if isinstance(resource, dict) else {}, account.apiv3_key)
    except WechatCipherError as fault:
        raise _refused(str(fault), 400) from None
    fields = v3.json_object(opened)
    if event == _PAID:
        return _payment(fields, account)
    return _refund(fields, account)


def _payment(fields: v3.Fields, account: WechatAccount) -> Word:
    if "combine_out_trade_no" in fields:
        return OtherNotice(about="a combined order")
    order_no = _number(v3.text_of(fields, "out_trade_no"))
    return PaymentWord(order_no=order_no, answer=trade_answer(fields, account, order_no))


def _refund(fields: v3.Fields, account: WechatAccount) -> Word:
    mchid = "sp_mchid" if account.is_partner else "mchid"
    if v3.text_of(fields, mchid) != account.mchid:
        raise _refused("the notification does not name our merchant number", 400)
    if account.is_partner and v3.text_of(fields, "sub_mchid") != account.sub_mchid:
        raise _refused("the notification does not name our shop", 400)
    order_no = _number(v3.text_of(fields, "out_trade_no"))
    refund_no = _number(v3.text_of(fields, "out_refund_no"))
    state = v3.text_of(fields, "refund_status")
    answer = refund_answer(fields, order_no, refund_no, state)
    return RefundWord(order_no=order_no, refund_no=refund_no, answer=answer)


def _read_v2(body: bytes, account: WechatAccount) -> Word:
    if not account.api_v2_key:
        raise _refused("the account has no APIv2 key", 401)
    try:
        fields = read_fields(body)
    except XmlRefused as fault:
        raise _refused(str(fault), 400) from None
    if "req_info" in fields:
        return _refund_v2(fields, account)
    try:
        v2.believe(fields, account)
    except v2.Distrusted as fault:
        raise _refused(fault.why, 401) from None
    order_no = _number(fields.get("out_trade_no", ""))
    return PaymentWord(order_no=order_no, answer=read_notified(fields, account, order_no))


def _refund_v2(fields: v2.Fields, account: WechatAccount) -> Word:
    if (fields.get("appid"), fields.get("mch_id")) != (account.appid, account.mchid):
        raise _refused("the notification does not name us", 400)
    try:
        details = read_fields(open_req_info(fields["req_info"], account.api_v2_key))
    except (V2CipherError, XmlRefused) as fault:
        raise _refused(str(fault), 401) from None
    return RefundWord(
        order_no=_number(details.get("out_trade_no", "")),
        refund_no=_number(details.get("out_refund_no", "")),
        answer=RefundAnswer(verdict=Verdict.UNKNOWN, answered=True),
        ask_first=True,
    )


def taken(*, v2_too: bool) -> InboundReply:
    """What says: it is booked. One answer that both versions understand, where both come."""
    if v2_too:
        body = write_fields({"return_code": "SUCCESS", "return_msg": "OK"})
        return InboundReply(status=200, body=body, content_type=_XML)
    return InboundReply(status=204)


def not_taken() -> InboundReply:
    """What says: not now."""
    return _reply("not now", 503)


def _number(text: str) -> str:
    if not is_channel_number(text):
        raise _Foreign
    return text


def _reply(why: str, status: int) -> InboundReply:
    body = b'{"code":"FAIL","message":"%s"}' % why.encode("ascii", "replace").replace(b'"', b"'")
    return InboundReply(status=status, body=body, content_type=_JSON)


def _refused(why: str, status: int) -> NoticeRefused:
    return NoticeRefused(why, _reply(why, status))

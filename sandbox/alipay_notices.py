"""What Alipay tells a merchant's ``notify_url`` (reference ``channels.md`` A5).

Rules: a form, signed by rule V1: every parameter but ``sign`` and ``sign_type``, sorted,
decoded once. A notice of a refund says ``TRADE_SUCCESS`` while a part is left and
``TRADE_CLOSED`` when nothing is; ``refund_fee`` is what went back in all, ``out_biz_no``
which refund it is about. The body ``success``, and nothing else, takes it.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from domain.clock import beijing
from domain.money import format_yuan
from sandbox.alipay_books import Trade
from sandbox.notifier import Notice, NoticeRequest, Spoil
from signing.rsa import sign_sha256

CHANNEL: Final = "alipay"
SCHEDULE_S: Final = (240, 600, 600, 3600, 7200, 21_600, 54_000)
"""4 m, 10 m, 10 m, 1 h, 2 h, 6 h, 15 h after the attempt before."""
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSender:
    """Who tells: the app's id, the merchant and the key that signs."""

    app_id: str
    seller_id: str
    key: RSAPrivateKey = field(repr=False)

    def of(self, trade: Trade, event: str, refund_no: str, now_ms: int) -> Notice:
        """The notice about ``trade`` as it is now."""
        fields = self._fields(trade, event, refund_no, now_ms)

        def write(at_ms: int, spoil: Spoil) -> NoticeRequest:
            return NoticeRequest(_HEADERS, self._signed(fields, at_ms, spoil))

        return Notice(
            channel=CHANNEL,
            order_no=trade.out_trade_no,
            event=event,
            url=trade.notify_url,
            write=write,
            is_taken=lambda status, body: status == 200 and body.strip() == b"success",
        )

    def _fields(self, trade: Trade, event: str, refund_no: str, now_ms: int) -> dict[str, str]:
        total = format_yuan(trade.total_fen)
        about = f"{trade.trade_no}{trade.status.value}{event}{refund_no}"
        fields = {
            "app_id": self.app_id,
            "auth_app_id": self.app_id,
            "buyer_id": trade.buyer_id,
            "buyer_logon_id": trade.buyer_logon_id,
            "charset": "utf-8",
            "gmt_create": _text(trade.created_at_ms),
            "notify_id": hashlib.sha256(about.encode()).hexdigest()[:34],
            "notify_type": "trade_status_sync",
            "out_trade_no": trade.out_trade_no,
            "seller_id": self.seller_id,
            "subject": trade.subject,
            "total_amount": total,
            "trade_no": trade.trade_no,
            "trade_status": trade.status.value,
            "version": "1.0",
        }
        if trade.paid_at_ms:
            fields |= dict.fromkeys(("buyer_pay_amount", "invoice_amount", "receipt_amount"), total)
            fields |= {
                "fund_bill_list": f'[{{"amount":"{total}","fundChannel":"ALIPAYACCOUNT"}}]',
                "gmt_payment": _text(trade.paid_at_ms),
                "point_amount": "0.00",
            }
        if refund_no:
            fields |= {
                "gmt_refund": f"{_text(now_ms)}.000",
                "out_biz_no": refund_no,
                "refund_fee": format_yuan(trade.returned_fen),
            }
        if trade.closed:
            fields["gmt_close"] = _text(now_ms)
        return fields

    def _signed(self, fields: Mapping[str, str], at_ms: int, spoil: Spoil) -> bytes:
        told = {**fields, "notify_time": _text(at_ms)}
        if spoil is Spoil.WRONG_AMOUNT:
            told["total_amount"] = "0.01" if told["total_amount"] != "0.01" else "0.02"
        text = "&".join(f"{name}={value}" for name, value in sorted(told.items()) if value)
        if spoil is Spoil.FORGED:
            text += "&by=somebody"
        signature = base64.b64encode(sign_sha256(self.key, text.encode())).decode()
        return urlencode({**told, "sign": signature, "sign_type": "RSA2"}).encode()


def _text(time_ms: int) -> str:
    return f"{beijing(time_ms):%Y-%m-%d %H:%M:%S}"

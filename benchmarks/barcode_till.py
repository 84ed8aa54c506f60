"""Payments by scanned code over HTTPS: signed, kept alive, one at a time per connection.

Rules: codes are Alipay's in form and none of the sandbox's scenarios; every request has
a number and a nonce of its own and is signed when it is built, well inside the window.
"""

import time
from typing import Final

import orjson

from signing.merchant import answer_string, authorization, request_string, sign, verify

PATH: Final = "/v1/payments"
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\nContent-Length: "


class BarcodeTill:
    """See :class:`benchmarks.tills.Till`."""

    def __init__(
        self,
        number: int,
        host: str,
        key_id: str,
        secret: bytes,
        run: str,
        wait_s: int | None = None,
        orders: int = 0,
    ) -> None:
        """``wait_s``: how long an answer may wait for the payment; ``None`` does not say.

        ``orders``: it sends so many payments again and again; 0: each is another.
        """
        self._orders = orders
        self._sold: set[str] = set()
        self._wait = "" if wait_s is None else f',"wait_s":{wait_s}'
        self._prefix = f"{run}-{number}"
        self._number = number
        self._key_id = key_id
        self._secret = secret
        self._count = 0
        self._head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"

    def build(self) -> bytes:
        """A payment of another amount under another number, or one of the few again."""
        self._count += 1
        count = self._count % self._orders if self._orders else self._count
        number = f"{self._prefix}-{count}"
        code = f"2811{self._number:05d}{count:09d}"
        body = (
            f'{{"merchant_order_no":"{number}","amount":{100 + count % 100_000},'
            f'"currency":"CNY","subject":"Benchmark sale",'
            f'"method":{{"type":"auth_code","auth_code":"{code}"}}{self._wait}}}'
        ).encode()
        timestamp, nonce = str(int(time.time())), f"nonce-{self._prefix}-{self._count}"
        signature = sign(self._secret, request_string("POST", PATH, timestamp, nonce, body))
        credentials = authorization(self._key_id, timestamp, nonce, signature)
        head = f"{self._head}Authorization: {credentials}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def cut(self, data: bytes) -> int:
        """Head, then as many bytes as ``Content-Length`` says."""
        end = data.find(_END)
        if end < 0:
            return 0
        start = data.index(_LENGTH) + len(_LENGTH)
        size = end + len(_END) + int(data[start : data.index(b"\r", start)])
        return size if len(data) >= size else 0

    def judge(self, request: bytes, answer: bytes) -> str:
        """201 (a repeat: 200), succeeded, this number and amount, and the gateway's signature."""
        head, _, body = answer.partition(_END)
        asked = orjson.loads(request.partition(_END)[2])
        status, *lines = head.decode("latin-1").split("\r\n")
        if not status.startswith(self._believed(asked["merchant_order_no"])):
            return f"{status[9:12]} {body[:80].decode(errors='replace')}"
        headers = dict(line.split(": ", 1) for line in lines)
        told = orjson.loads(body)
        if told["status"] != "succeeded":
            return f"status {told['status']}"
        if (told["merchant_order_no"], told["amount"]) != (
            asked["merchant_order_no"],
            asked["amount"],
        ):
            return "another number or amount"
        signed = answer_string(headers["Posgate-Timestamp"], headers["Posgate-Nonce"], body)
        return "" if verify(self._secret, signed, headers["Posgate-Signature"]) else "signature"

    def _believed(self, number: str) -> str:
        """What the answer of a payment must begin with: one that was heard before is made once."""
        if number in self._sold:
            return "HTTP/1.1 200 "
        if self._orders:
            self._sold.add(number)
        return "HTTP/1.1 201 "

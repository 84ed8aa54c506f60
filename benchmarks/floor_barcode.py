"""The floor of a payment by scanned code: only the work that no gateway can avoid.

``python -m benchmarks.floor_barcode SPEC``. Per payment: an HTTP/1.1 request over TLS,
its HMAC checked, its JSON read, a row inserted durably, one RSA2 signature, one HTTP
round trip to the sandbox's Alipay on a kept-alive connection, the answer's RSA2
signature verified and code, number and amount read, the row updated durably, a signed
201.

Left out: every other route and answer, an HTTP server's generality (requests are cut by
``Content-Length`` alone), nonces, time window, repeats, declines, pending payers,
time-outs, events, ledger, channel detection, logs, metrics, bounds. Whatever is not as
expected closes the connection, and the benchmark counts an error.
"""

import asyncio
import base64
import os
import ssl
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

import orjson
import uvloop

from benchmarks.books import FLOOR_PREFIX
from benchmarks.floor_store import FloorStore
from channels.shared_buffer import ReadInto, shared_buffer
from domain.money import format_yuan
from gateway.cli.ready_file import write_atomically
from signing.merchant import (
    MerchantSecret,
    answer_string,
    parse_authorization,
    request_string,
)
from signing.rsa import load_private_key, load_public_key, sign_sha256, verify_sha256

_END: Final = b"\r\n\r\n"
_OPENING: Final = b'{"alipay_trade_pay_response":'
_MIDDLE: Final = b',"sign":"'


class _Payment:
    __slots__ = ("amount_fen", "client", "merchant_no", "order_no")

    def __init__(self, client: "_Client", merchant_no: str, amount_fen: int, order_no: str) -> None:
        self.client = client
        self.merchant_no = merchant_no
        self.amount_fen = amount_fen
        self.order_no = order_no


def _body_of(data: bytes) -> tuple[int, int] | None:
    """Where the body of the first HTTP message begins and ends, ``None`` if it is not whole."""
    end = data.find(_END)
    if end < 0:
        return None
    start = data.index(b"Content-Length: ") + 16
    begin = end + 4
    size = begin + int(data[start : data.index(b"\r", start)])
    return (begin, size) if len(data) >= size else None


class _Alipay(asyncio.Protocol):
    """One kept-alive connection to the sandbox, one call at a time."""

    def __init__(self, floor: "Floor") -> None:
        self._floor = floor
        self._received = b""
        self._payment: _Payment | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, payment: _Payment, request: bytes) -> None:
        self._payment = payment
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        found = _body_of(data)
        if found is None or self._payment is None:
            self._received = data
            return
        self._received = b""
        payment, self._payment = self._payment, None
        self._floor.idle.append(self)
        self._floor.answered(payment, data[found[0] : found[1]])


class _Client(asyncio.Protocol):
    """One merchant's connection, one request at a time."""

    def __init__(self, floor: "Floor") -> None:
        self._floor = floor
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def answer(self, raw: bytes) -> None:
        if self._transport is not None:
            self._transport.write(raw)

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        found = _body_of(data)
        if found is None:
            self._received = data
            return
        begin, end = found
        self._received = data[end:]
        self._floor.asked(self, data[:begin], data[begin:end])


class Floor:
    """What the connections share."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._secret = MerchantSecret(spec["secret"].encode())
        self._key = load_private_key(Path(spec["app_private_key_file"]).read_bytes())
        self._alipay_key = load_public_key(Path(spec["alipay_public_key_file"]).read_bytes())
        self._url = urlsplit(spec["gateway_url"])
        self._second = 0
        self._timestamp = ""
        self._count = 0
        self.store = FloorStore()
        self.idle: list[_Alipay] = []

    async def start(self) -> int:
        """Connect everything and listen; returns the port."""
        spec, loop = self._spec, asyncio.get_running_loop()
        await self.store.open(spec["dsn"])
        for _ in range(spec["callers"]):
            _, alipay = await loop.create_connection(
                lambda: _Alipay(self), self._url.hostname, self._url.port
            )
            self.idle.append(alipay)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(spec["certificate_file"], spec["key_file"])
        buffer = shared_buffer()
        server = await loop.create_server(
            lambda: ReadInto(buffer, _Client(self)), "127.0.0.1", 0, ssl=tls, backlog=1024
        )
        return int(server.sockets[0].getsockname()[1])

    def asked(self, client: _Client, head: bytes, body: bytes) -> None:
        """Check a request and insert its row."""
        start = head.index(b"Authorization: ") + 15
        given = parse_authorization(head[start : head.index(b"\r", start)].decode())
        message = request_string("POST", "/v1/payments", given.timestamp, given.nonce, body)
        if not self._secret.verify(message, given.signature):
            client.hang_up()
            return
        asked = orjson.loads(body)
        self._count += 1
        order_no = f"{FLOOR_PREFIX}{self._count:027d}"
        payment = _Payment(client, asked["merchant_order_no"], asked["amount"], order_no)
        code = asked["method"]["auth_code"]
        self.store.insert(order_no, str(asked["amount"]), partial(self._pay, payment, code))

    def _pay(self, payment: _Payment, code: str) -> None:
        amount, now = format_yuan(payment.amount_fen), int(time.time())
        if now != self._second:
            local = time.gmtime(now + 8 * 3600)
            self._second, self._timestamp = now, time.strftime("%Y-%m-%d %H:%M:%S", local)
        content = (
            f'{{"out_trade_no":"{payment.order_no}","scene":"bar_code","auth_code":"{code}",'
            f'"subject":"Corner Shop","total_amount":"{amount}",'
            '"product_code":"FACE_TO_FACE_PAYMENT"}'
        )
        app_id, stamp = self._spec["app_id"], self._timestamp
        signed = (
            f"app_id={app_id}&biz_content={content}&charset=utf-8&format=JSON"
            f"&method=alipay.trade.pay&sign_type=RSA2&timestamp={stamp}&version=1.0"
        ).encode()
        signature = base64.b64encode(sign_sha256(self._key, signed)).decode()
        form = (
            f"app_id={app_id}&biz_content={quote(content)}&charset=utf-8&format=JSON"
            f"&method=alipay.trade.pay&sign_type=RSA2&timestamp={quote(stamp)}&version=1.0"
            f"&sign={signature.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}"
        )
        head = (
            f"POST {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\n"
            "Content-Type: application/x-www-form-urlencoded;charset=utf-8\r\n"
            f"Content-Length: {len(form)}\r\n\r\n"
        )
        self.idle.pop().send(payment, (head + form).encode())

    def answered(self, payment: _Payment, body: bytes) -> None:
        """Verify Alipay's answer and update the row."""
        middle = body.rfind(_MIDDLE)
        content = body[len(_OPENING) : middle]
        signature = base64.b64decode(body[middle + len(_MIDDLE) : -2].replace(b"\\/", b"/"))
        if not body.startswith(_OPENING) or not verify_sha256(self._alipay_key, content, signature):
            payment.client.hang_up()
            return
        told = orjson.loads(content)
        if (told["code"], told.get("out_trade_no"), told.get("total_amount")) != (
            "10000",
            payment.order_no,
            format_yuan(payment.amount_fen),
        ):
            payment.client.hang_up()
            return
        trade_no = told["trade_no"]
        self.store.update(payment.order_no, trade_no, partial(self._told, payment, trade_no))

    def _told(self, payment: _Payment, trade_no: str) -> None:
        body = orjson.dumps(
            {
                "merchant_order_no": payment.merchant_no,
                "status": "succeeded",
                "amount": payment.amount_fen,
                "channel_order_no": payment.order_no,
                "channel_trade_no": trade_no,
            }
        )
        timestamp, nonce = str(self._second), payment.order_no
        signature = self._secret.sign(answer_string(timestamp, nonce, body))
        head = (
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
            f"Posgate-Timestamp: {timestamp}\r\nPosgate-Nonce: {nonce}\r\n"
            f"Posgate-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        payment.client.answer(head.encode() + body)


async def _main(spec: dict[str, Any]) -> None:
    port = await Floor(spec).start()
    write_atomically(Path(spec["ready_file"]), {"port": port, "pid": os.getpid()})
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(_main(orjson.loads(Path(sys.argv[1]).read_bytes())))

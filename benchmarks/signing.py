"""The metric ``signing``: a whole call's work beside its two bare RSA operations.

Rules: ours is what an adapter does with one payment, network left out: the request built,
signed and ready to send, the answer read, verified and judged. Beside it, in turn with it
call by call (so that neither finds the caches warmer), one signature and one verification
with the same keys over texts of the same length. Time is this thread's own CPU; the
quietest round of each counts, for what else the machine does only ever adds, and more to
the one than to the other. A channel is one entry of :data:`SIDES`. The national algorithms have
figures of their own: how often a core signs and verifies with SM2, the quietest round alike.
"""

import base64
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from benchmarks.postgres import PostgresServer
from benchmarks.windows import Plan
from channels.alipay.plugin import PLUGIN as ALIPAY
from channels.port import (
    Answer,
    ByteLink,
    ChannelAccount,
    ChannelServices,
    HttpRequest,
    HttpResponse,
    LinkReceiver,
    NotSent,
    PayRequest,
    Verdict,
)
from channels.wechat.plugin import PLUGIN as WECHAT
from gateway.sources import RandomIds, SystemClock
from signing.alipay_aes import encrypt
from signing.sm import Sm2PrivateKey, Sm2PublicKey

_WECHAT_KEY_ID: Final = "PUB_KEY_ID_0119000000012026091600000001"
_ROUNDS: Final = 200
_SM2_ROUNDS: Final = 100
_CALLS: Final = 10
_NUMBER: Final = "0123456789abcdef0123456789abcdef"
_REQUEST_CHARACTERS: Final = 600
"""About what a request signs; an answer is measured by its own length."""


@dataclass(frozen=True, slots=True)
class Side:
    """One channel: its whole call, and the keys and answer that the bare operations use."""

    call: Callable[[], Awaitable[Answer]]
    our_key: rsa.RSAPrivateKey
    their_key: rsa.RSAPrivateKey
    answer: bytes


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """A private key as an account holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Its public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signature(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """RSA with SHA-256 and nothing else."""
    return key.sign(data, PKCS1v15(), SHA256())


def services(response: HttpResponse) -> ChannelServices:
    """A network that answers everything with ``response``."""

    async def send(_: HttpRequest) -> HttpResponse:
        return response

    async def connect(_host: str, _port: int, _receiver: LinkReceiver) -> ByteLink:
        raise NotSent("not here")

    async def take_sequence(_name: str, _count: int) -> int:
        return 1

    return ChannelServices(
        clock=SystemClock(),
        ids=RandomIds(),
        send=send,
        connect=connect,
        take_sequence=take_sequence,
    )


def payment() -> PayRequest:
    """A payment like any other."""
    return PayRequest(
        order_no=_NUMBER,
        amount_fen=1990,
        currency="CNY",
        subject="一杯咖啡和两块饼干",
        created_at_ms=SystemClock().now_ms(),
        auth_code="280000000000000001",
        store_id="S0001",
        terminal_id="T0001",
    )


def alipay(aes_key: bytes = b"") -> Side:
    """``alipay.trade.pay`` in key mode; with a key its contents are encrypted both ways."""
    ours, theirs = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    node = (
        '{"code":"10000","msg":"Success","buyer_logon_id":"139******01",'
        '"buyer_pay_amount":"19.90","buyer_user_id":"2088100000000001",'
        '"fund_bill_list":[{"amount":"19.90","fund_channel":"ALIPAYACCOUNT"}],'
        '"gmt_payment":"2026-09-16 12:00:00","invoice_amount":"19.90",'
        f'"out_trade_no":"{_NUMBER}","point_amount":"0.00","receipt_amount":"19.90",'
        '"total_amount":"19.90","trade_no":"2026091622001400000000000001"}'
    ).encode()
    if aes_key:
        node = b'"%b"' % encrypt(aes_key, node).encode()
    signed = base64.b64encode(signature(theirs, node))
    body = b'{"alipay_trade_pay_response":%b,"sign":"%b"}' % (node, signed)
    account = ChannelAccount(
        account_id="ali1",
        channel="alipay",
        settings={"app_id": "2021000000000001"},
        secrets={
            "app_private_key": pem(ours),
            "alipay_public_key": public_pem(theirs),
            "aes_key": base64.b64encode(aes_key),
        },
    )
    channel = ALIPAY.build(account, services(HttpResponse(200, {}, body)))
    request = payment()
    return Side(lambda: channel.pay(request), ours, theirs, node)


def wechat() -> Side:
    """APIv3's codepay, answered under WeChat Pay's public key."""
    ours, theirs = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    body = (
        '{"amount":{"currency":"CNY","payer_currency":"CNY","payer_total":1990,"total":1990},'
        '"appid":"wx0000000000000001","attach":"","bank_type":"OTHERS","mchid":"1900000001",'
        f'"out_trade_no":"{_NUMBER}","payer":{{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}},'
        '"success_time":"2026-09-16T12:00:00+08:00","trade_state":"SUCCESS",'
        '"trade_state_desc":"支付成功","trade_type":"MICROPAY",'
        '"transaction_id":"4200000000202609160000000001"}'
    ).encode()
    timestamp, nonce = str(SystemClock().now_ms() // 1000), "0123456789abcdef0123456789abcdef"
    signed = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    headers = {
        "wechatpay-serial": _WECHAT_KEY_ID,
        "wechatpay-timestamp": timestamp,
        "wechatpay-nonce": nonce,
        "wechatpay-signature": base64.b64encode(signature(theirs, signed)).decode(),
    }
    account = ChannelAccount(
        account_id="wx1",
        channel="wechat",
        settings={
            "appid": "wx0000000000000001",
            "mchid": "1900000001",
            "merchant_serial": "63BE98CDB0E3A7D4",
            "platform_public_key_id": _WECHAT_KEY_ID,
            "certificates_refresh_s": "0",
            "codepay": "true",
        },
        secrets={
            "merchant_private_key": pem(ours),
            "apiv3_key": b"0123456789abcdef0123456789abcdef",
            "platform_public_key": public_pem(theirs),
        },
    )
    channel = WECHAT.build(account, services(HttpResponse(200, headers, body)))
    request = replace(payment(), auth_code="130000000000000001")
    return Side(lambda: channel.pay(request), ours, theirs, signed)


SIDES: Final[Mapping[str, Callable[[], Side]]] = MappingProxyType(
    {"alipay": alipay, "alipay_encrypted": partial(alipay, bytes(range(16))), "wechat": wechat}
)


async def signing(_postgres: PostgresServer, _plan: Plan, notes: list[str]) -> dict[str, float]:
    """``<channel>_ratio_to_rsa`` of every channel that signs with RSA."""
    figures: dict[str, float] = {}
    for channel, make in SIDES.items():
        side = make()
        if (await side.call()).verdict is not Verdict.SUCCEEDED:
            notes.append(f"signing: {channel} does not take its answer")
        rounds = [await _round_us(side) for _ in range(_ROUNDS)]
        whole, bare = (min(one) for one in zip(*rounds, strict=True))
        figures[f"{channel}_ratio_to_rsa"] = round(whole / bare, 3)
        figures[f"{channel}_call_us"] = round(whole, 1)
        figures[f"{channel}_rsa_us"] = round(bare, 1)
    figures |= sm2_per_s(_SM2_ROUNDS)
    figures["errors"] = len(notes)
    return figures


def sm2_per_s(rounds: int) -> dict[str, float]:
    """Signatures and verifications of one core in a second, over a request's usual length."""
    secret = _openssl("genpkey", "-algorithm", "SM2")
    key, public = Sm2PrivateKey(secret), Sm2PublicKey(_openssl("pkey", "-pubout", given=secret))
    message = b"x" * _REQUEST_CHARACTERS
    signed = key.sign(message)
    best_ns = {"sm2_signs_per_s": 0, "sm2_verifies_per_s": 0}
    acts: tuple[Callable[[], object], ...] = (
        lambda: key.sign(message),
        lambda: public.verify(message, signed),
    )
    for _ in range(rounds):
        for name, act in zip(best_ns, acts, strict=True):
            begun_ns = time.thread_time_ns()
            for _ in range(_CALLS):
                act()
            took_ns = time.thread_time_ns() - begun_ns
            best_ns[name] = min(best_ns[name] or took_ns, took_ns)
    return {name: round(_CALLS * 1e9 / took_ns, 1) for name, took_ns in best_ns.items()}


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    command = ["openssl", *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=given).stdout


async def _round_us(side: Side) -> tuple[float, float]:
    """A whole call and the bare operations, one after the other, in microseconds each."""
    request, padding, digest = b"x" * _REQUEST_CHARACTERS, PKCS1v15(), SHA256()
    signed, public = signature(side.their_key, side.answer), side.their_key.public_key()
    whole_ns = bare_ns = 0
    for _ in range(_CALLS):
        begun = time.thread_time_ns()
        await side.call()
        between = time.thread_time_ns()
        side.our_key.sign(request, padding, digest)
        public.verify(signed, side.answer, padding, digest)
        bare_ns += time.thread_time_ns() - between
        whole_ns += between - begun
    return whole_ns / _CALLS / 1000, bare_ns / _CALLS / 1000

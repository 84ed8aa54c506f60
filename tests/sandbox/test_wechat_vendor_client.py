"""A WeChat Pay client that we did not write (``wechatpayv3``) talks to the sandbox over real TLS.

It is unmodified; only its gateway's address is the sandbox's. In certificate mode it asks for
``/v3/certificates`` while it is made, at an address that is fixed then: a proxy would have to
be told, so the mode is entered with the platform certificate in its ``cert_dir`` and its own
refresh is called afterwards.
"""

import asyncio
import contextlib
import gzip
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from wechatpayv3 import WeChatPay, WeChatPayType  # type: ignore[import-untyped]  # has none

from gateway.cli.local_ca import LocalCa
from sandbox.config import BoundPorts, SandboxConfig, ServerTls
from sandbox.server import serve, wall_clock_ms
from sandbox.wechat_books import Happened
from sandbox.wechat_notices import write_notice
from sandbox.wechat_xml import read_xml, sign_v2, write_xml
from sandbox.world import World
from tests.sandbox.wechat_rig import (
    API_V2_KEY,
    APIV3_KEY,
    APPID,
    MCHID,
    PUBLIC_KEY_ID,
    SUB_MCHID,
    private,
    wechat_kit,
)

MODES = ("certificate", "public key")


@dataclass(frozen=True)
class Running:
    """A sandbox on real TLS, and the files of the merchant."""

    base_url: str
    folder: Path
    world: World

    def pay(self, number: str, sub_mchid: str = "") -> None:
        state = self.world.wechat_state
        assert state is not None
        order = state.books.find(sub_mchid, number, wall_clock_ms())
        assert order is not None and order.pay("oSomebody", wall_clock_ms())


@pytest.fixture
async def running(
    config: SandboxConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    kit, worlds = wechat_kit(), list[World]()
    kit.ca.write_server_certificate(tmp_path)
    (tmp_path / "client.pem").write_bytes(kit.merchant_pem + private(kit.merchant))
    (tmp_path / "certificates").mkdir()
    (tmp_path / "certificates" / "platform.pem").write_bytes(kit.platform_certificate)
    files = [str(tmp_path / name) for name in ("server.pem", "server-key.pem", "ca.pem")]
    tls = ServerTls(certificate_file=files[0], key_file=files[1], client_ca_file=files[2])
    wechat = replace(kit.config, tls=tls, bills_at_once=True)

    def world(*arguments: Any) -> World:
        worlds.append(World(*arguments))
        return worlds[-1]

    monkeypatch.setattr("sandbox.server.World", world)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", files[2])
    ready: asyncio.Future[BoundPorts] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(replace(config, wechat=wechat), ready.set_result))
    waiting: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield Running(f"https://127.0.0.1:{ready.result().wechat}", tmp_path, worlds[0])
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def client(running: Running, mode: str, kind: Any, *, partner: bool = False) -> Any:
    kit = wechat_kit()
    keys: dict[str, Any] = {"cert_dir": str(running.folder / "certificates")}
    if mode == "public key":
        keys = {"public_key": kit.public_key.decode(), "public_key_id": PUBLIC_KEY_ID}
    made = WeChatPay(
        wechatpay_type=kind, mchid=MCHID, private_key=private(kit.merchant).decode(),
        cert_serial_no=kit.serial, appid=APPID, apiv3_key=APIV3_KEY, partner_mode=partner,
        notify_url="https://shop.example/notify", timeout=(5, 20), **keys,
    )  # fmt: skip
    made._core._gate_way = running.base_url
    return made


async def ask(call: Callable[..., Any], **arguments: Any) -> tuple[int, Any]:
    """A call of the client, which blocks, in a thread; JSON read."""
    status, said = await asyncio.to_thread(call, **arguments)
    return status, json.loads(said) if isinstance(said, str) and said else said


@pytest.mark.parametrize("mode", MODES)
async def test_native_query_refund_close(running: Running, mode: str) -> None:
    """Every answer verifies; the money is where both say that it is."""
    sdk = client(running, mode, WeChatPayType.NATIVE)
    status, made = await ask(
        sdk.pay, description="茶", out_trade_no="SDK00001", amount={"total": 100}
    )
    assert (status, made["code_url"][:9]) == (200, "weixin://")
    assert (await ask(sdk.query, out_trade_no="SDK00001"))[1]["trade_state"] == "NOTPAY"
    running.pay("SDK00001")
    status, asked = await ask(sdk.query, out_trade_no="SDK00001")
    assert (status, asked["trade_state"]) == (200, "SUCCESS")
    by_id = await ask(sdk.query, transaction_id=asked["transaction_id"])
    assert by_id == (200, asked)
    amount = {"refund": 40, "total": 100, "currency": "CNY"}
    refund = {"out_refund_no": "SDKR1", "out_trade_no": "SDK00001", "amount": amount}
    status, first = await ask(sdk.refund, **refund)
    assert (status, first["status"]) == (200, "PROCESSING")
    assert (await ask(sdk.refund, **refund))[1]["refund_id"] == first["refund_id"]
    assert (await ask(sdk.query_refund, out_refund_no="SDKR1"))[0] == 200
    await ask(sdk.pay, description="茶", out_trade_no="SDK00002", amount={"total": 1})
    assert (await ask(sdk.close, out_trade_no="SDK00002"))[0] == 204
    assert (await ask(sdk.query, out_trade_no="SDK00002"))[1]["trade_state"] == "CLOSED"
    status, no = await ask(sdk.query, out_trade_no="SDK00009")
    assert (status, no["code"]) == (404, "ORDER_NOT_EXIST")


@pytest.mark.parametrize("mode", MODES)
async def test_jsapi_app_h5_and_codepay(running: Running, mode: str) -> None:
    """The other ways to pay, and the partner's variant."""
    for number, kind, member, more in (
        ("SDK00011", WeChatPayType.JSAPI, "prepay_id", {"payer": {"openid": "oPayer"}}),
        ("SDK00012", WeChatPayType.APP, "prepay_id", {}),
        ("SDK00013", WeChatPayType.H5, "h5_url",
         {"scene_info": {"payer_client_ip": "::1", "h5_info": {"type": "Wap"}}}),
        ("SDK00014", WeChatPayType.CODEPAY, "transaction_id",
         {"payer": {"auth_code": "130000000000000001"},
          "scene_info": {"store_info": {"out_id": "S1"}}}),
    ):  # fmt: skip
        sdk = client(running, mode, kind)
        # The client adds a notify_url to a codepay unless this call itself names the type.
        order = {"description": "tea", "out_trade_no": number, "amount": {"total": 5}, **more}
        order["pay_type"] = kind
        status, made = await ask(sdk.pay, **order)
        assert status == 200, (number, made)
        assert made[member]
    sdk = client(running, mode, WeChatPayType.JSAPI, partner=True)
    status, made = await ask(
        sdk.pay, description="tea", out_trade_no="SDK00015", amount={"total": 5},
        payer={"sp_openid": "oPayer"}, sub_mchid=SUB_MCHID,
    )  # fmt: skip
    assert status == 200 and made["prepay_id"]
    running.pay("SDK00015", SUB_MCHID)
    asked = await ask(sdk.query, out_trade_no="SDK00015", sub_mchid=SUB_MCHID)
    assert asked[1]["payer"] == {"sp_openid": "oSomebody"}


@pytest.mark.parametrize("mode", MODES)
async def test_bills(running: Running, mode: str) -> None:
    """Told, fetched by the link, unpacked: the hash is that of the uncompressed bytes."""
    sdk = client(running, mode, WeChatPayType.NATIVE)
    await ask(sdk.pay, description="tea, hot", out_trade_no="SDK00021", amount={"total": 100})
    running.pay("SDK00021")
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 8 * 3600))
    for told in (
        await ask(sdk.trade_bill, bill_date=day),
        await ask(sdk.fundflow_bill, bill_date=day),
    ):
        assert told[0] == 200
        status, raw = await ask(sdk.download_bill, url=told[1]["download_url"])
        text = gzip.decompress(raw)
        assert (status, told[1]["hash_type"]) == (200, "SHA1")
        assert hashlib.sha1(text, usedforsecurity=False).hexdigest() == told[1]["hash_value"]
        assert b"`SDK00021" in text


async def test_the_client_fetches_the_platforms_certificates(running: Running) -> None:
    """Decrypted and kept: the very certificate that signs."""
    sdk = client(running, "certificate", WeChatPayType.NATIVE)
    await asyncio.to_thread(sdk._core._update_certificates)
    (kept,) = sdk._core._certificates
    assert kept.public_bytes(Encoding.PEM) == wechat_kit().platform_certificate


@pytest.mark.parametrize("mode", MODES)
async def test_notifications(running: Running, mode: str) -> None:
    """A payment's and a refund's: verified and opened by the client, in both modes."""
    sdk = client(running, mode, WeChatPayType.NATIVE)
    await ask(sdk.pay, description="tea", out_trade_no="SDK00031", amount={"total": 100})
    running.pay("SDK00031")
    amount = {"refund": 100, "total": 100, "currency": "CNY"}
    await ask(sdk.refund, out_refund_no="SDKR3", out_trade_no="SDK00031", amount=amount)
    state, now_ms = running.world.wechat_state, wall_clock_ms() + 2000
    assert state is not None
    signer = state.keys.by_public_key if mode == "public key" else state.keys.by_certificate
    order = state.books.find("", "SDK00031", now_ms)
    assert order is not None
    notice = write_notice(Happened(order), state, signer, now_ms)
    heard = await asyncio.to_thread(sdk.callback, notice.headers, notice.body)
    assert heard["event_type"] == "TRANSACTION.SUCCESS"
    assert heard["resource"]["out_trade_no"] == "SDK00031"
    assert heard["resource"]["amount"]["total"] == 100
    notice = write_notice(Happened(order, order.refunds["SDKR3"]), state, signer, now_ms)
    heard = await asyncio.to_thread(sdk.callback, notice.headers, notice.body)
    assert heard["event_type"] == "REFUND.SUCCESS"
    assert heard["resource"]["refund_status"] == "SUCCESS"
    changed = notice.body.replace(b"REFUND.SUCCESS", b"REFUND.CLOSED")
    assert await asyncio.to_thread(sdk.callback, notice.headers, changed) is None


async def test_mutual_tls(running: Running) -> None:
    """APIv2's reversal with the merchant's certificate; 400 without; no handshake with another."""
    values = {"appid": APPID, "mch_id": MCHID, "nonce_str": "n", "out_trade_no": "SDK00041"}
    body = write_xml({**values, "sign": sign_v2(values, API_V2_KEY, "MD5")})
    trust = ssl.create_default_context(cafile=str(running.folder / "ca.pem"))

    def post(context: ssl.SSLContext) -> tuple[int, bytes]:
        request = Request(f"{running.base_url}/secapi/pay/reverse", body)
        try:
            with urlopen(request, context=context, timeout=20) as answer:
                return answer.status, answer.read()
        except OSError as fault:
            return getattr(fault, "code", 0), b""

    assert (await asyncio.to_thread(post, trust))[0] == 400
    ours = ssl.create_default_context(cafile=str(running.folder / "ca.pem"))
    ours.load_cert_chain(running.folder / "client.pem")
    status, said = await asyncio.to_thread(post, ours)
    assert status == 200 and read_xml(said)["recall"] == "N"
    strangers = ssl.create_default_context(cafile=str(running.folder / "ca.pem"))
    stranger = running.folder / "stranger"
    stranger.mkdir()
    LocalCa(datetime.now(UTC)).write_server_certificate(stranger)
    strangers.load_cert_chain(stranger / "server.pem", stranger / "server-key.pem")
    assert (await asyncio.to_thread(post, strangers))[0] == 0

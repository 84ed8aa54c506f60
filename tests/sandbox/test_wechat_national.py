"""The national algorithms between the adapter and the simulated WeChat Pay, both modes.

Both ends sign with SM2 and seal with SM4; who WeChat Pay is comes of a configured public key,
or of certificates that are fetched, as the international algorithms have it.
"""

import subprocess
import time

import pytest

from channels.inbound import InboundRequest, NoticeRefused, PaymentWord, RefundWord
from channels.port import Verdict
from channels.wechat.certificates import build_certificates
from sandbox.config import SandboxConfig, WeChatNationalKeys
from sandbox.notifier import Delivery
from sandbox.scenarios import WECHAT_CODES, Scenario
from sandbox.wallet import Payer
from tests.sandbox.test_wechat_adapter import BASE_URL, Shop
from tests.sandbox.wechat_rig import SUB_MCHID, private, wechat_kit

OK, P = Verdict.SUCCEEDED, Verdict.PENDING
OURS, KEY_ID, SERIAL = "5D1A", "PUB_KEY_ID_SM_0001", "5A02"
MODES = ("public key", "certificate")


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """What OpenSSL makes, PEM."""
    command = ["openssl", *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=given).stdout


def national_shop(config: SandboxConfig, mode: str, **settings: str) -> Shop:
    """A merchant with SM2 keys; in certificate mode it holds none of WeChat Pay's."""
    ours, theirs = (openssl("genpkey", "-algorithm", "SM2") for _ in range(2))
    by_certificate = mode == "certificate"
    certificate = openssl(
        *("req", "-new", "-x509", "-key", "/dev/stdin", "-sm3", "-days", "30"),
        *("-subj", "/CN=simulated", "-set_serial", f"0x{SERIAL}"),
        given=theirs,
    )
    national = WeChatNationalKeys(
        merchant_serial=OURS,
        merchant_public_key_pem=openssl("pkey", "-pubout", given=ours),
        platform_serial=SERIAL if by_certificate else KEY_ID,
        platform_private_key_pem=theirs,
        platform_certificate_pem=certificate if by_certificate else b"",
    )
    keys = {
        "merchant_private_key": ours,
        "client_key": private(wechat_kit().merchant),
        "platform_public_key": openssl("pkey", "-pubout", given=theirs),
    }
    if by_certificate:
        del keys["platform_public_key"]
    named = {
        "scheme": "SM2",
        "codepay": "true",
        "merchant_serial": OURS,
        "platform_public_key_id": "" if by_certificate else KEY_ID,
        "certificates_refresh_s": "36000" if by_certificate else "0",
    }
    shop = Shop(config, national, keys, **(named | settings))
    if by_certificate:
        shop.clock.ms = int(time.time() * 1000) + 1000  # inside of the certificate's own time
    return shop


@pytest.fixture(params=MODES)
def shop(request: pytest.FixtureRequest, config: SandboxConfig) -> Shop:
    return national_shop(config, request.param)


async def test_paid_refunded_and_a_page_signed(shop: Shop) -> None:
    """Signed with SM2, answered with SM2."""
    request = shop.request()
    assert (await shop.channel.pay(request)).verdict is OK
    refund = shop.refund_request(request.order_no, 500)
    assert (await shop.channel.refund(refund)).verdict is P
    shop.clock.ms += 16_000
    assert (await shop.channel.query_refund(refund)).verdict is OK
    shop.method = "jsapi"
    made = await shop.channel.create_page_order(shop.order(payer_id="oPAYER0000000000000000001"))
    assert (made.verdict, made.parameters["signType"]) == (OK, "SM2")
    assert list(shop.channel._keys.known) in ([KEY_ID], [SERIAL])


def test_certificates_are_asked_for_by_their_algorithm(config: SandboxConfig) -> None:
    """Without it WeChat Pay lists RSA's alone, and no answer could ever be verified."""
    asked = []
    for shop in (national_shop(config, "certificate"), Shop(config)):
        calls = shop.channel._calls
        asked.append(build_certificates(calls.account, calls.keys, calls.stamped()).url)
    assert asked == [
        f"{BASE_URL}/v3/certificates?algorithm_type=SM2",
        f"{BASE_URL}/v3/certificates",
    ]


def told(shop: Shop) -> Delivery:
    """The one notification that is due."""
    shop.world.tick(shop.clock.ms)
    (delivery,) = shop.world.notifier.due(shop.clock.ms)
    shop.world.notifier.answered(delivery, 204, b"", shop.clock.ms)
    return delivery


def inbound(delivery: Delivery, body: bytes = b"") -> InboundRequest:
    headers = {name.lower(): value for name, value in delivery.request.headers.items()}
    return InboundRequest(
        method="POST",
        headers=headers,
        body=body or delivery.request.body,
    )


@pytest.mark.parametrize("provider", ["", SUB_MCHID])
@pytest.mark.parametrize("mode", MODES)
async def test_notifications_are_sealed_with_sm4(
    config: SandboxConfig, mode: str, provider: str
) -> None:
    """A payment's and a refund's, for a merchant and a service provider; RSA's key opens none."""
    shop = national_shop(config, mode, sub_mchid=provider)
    shop.method = "qr"
    order = shop.order()
    made = await shop.channel.create_code(order)
    assert shop.world.pay(Payer(code=made.code), shop.clock.ms) is not None
    paid = told(shop)
    assert b"AEAD_SM4_GCM" in paid.request.body
    word = shop.channel.read_notice(inbound(paid))
    assert isinstance(word, PaymentWord)
    assert (word.order_no, word.answer.verdict) == (order.order_no, OK)
    assert word.answer.amount_fen == 1990
    refund = shop.refund_request(order.order_no, 500)
    await shop.channel.refund(refund)
    shop.clock.ms += 2_000
    back = told(shop)
    word = shop.channel.read_notice(inbound(back))
    assert isinstance(word, RefundWord)
    assert (word.refund_no, word.answer.verdict) == (refund.refund_no, OK)
    with pytest.raises(NoticeRefused) as refused:
        shop.channel.read_notice(inbound(back, back.request.body + b" "))
    assert refused.value.reply.status == 401


async def test_a_code_of_the_till_and_its_reversal(shop: Shop) -> None:
    request = shop.request(Scenario.LOST_RESPONSE_CHARGED)
    assert request.auth_code == WECHAT_CODES[Scenario.LOST_RESPONSE_CHARGED]
    await shop.channel.pay(request)
    shop.clock.ms += 16_000
    undone = await shop.channel.cancel(shop.ref(request.order_no))
    assert (undone.verdict, undone.was_paid) == (OK, True)
    assert shop.charge(request.order_no) == (1990, 1990)

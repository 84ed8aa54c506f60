"""WeChat Pay's settings: what is checked when an account is built, and what its errors name."""

from dataclasses import replace
from typing import Any

import pytest

from channels.codes import detect_channel
from channels.port import Channel
from channels.registry import plugins
from channels.wechat.plugin import PLUGIN
from domain.errors import ConfigurationError
from tests.channels.rigs import private_pem, public_pem, rsa_key, services
from tests.channels.test_wechat_certificates import SERIAL
from tests.channels.wechat_rigs import (
    AUTH_CODE,
    PUBLIC_KEY_ID,
    WechatRig,
    certificate,
    secrets,
)
from tests.signing.test_sm import PRIVATE as SM_PRIVATE
from tests.signing.test_sm import PUBLIC as SM_PUBLIC

GIVEN = WechatRig().given


def built(settings: dict[str, str] | None = None, **secret: bytes) -> Channel:
    account = replace(
        GIVEN, settings={**GIVEN.settings, **(settings or {})}, secrets=secrets(**secret)
    )
    return PLUGIN.build(account, services(send=None))


def test_it_is_installed_under_its_codes_channel() -> None:
    assert plugins()["wechat"] is PLUGIN
    assert detect_channel(AUTH_CODE) == PLUGIN.name == "wechat"


def test_an_account_needs_little_when_everything_is_apiv3() -> None:
    settings = {"codepay": "true", "platform_public_key_id": "", "certificates_refresh_s": "36000"}
    channel: Any = built(
        settings, api_v2_key=b"", client_certificate=b"", platform_public_key=b"", app_secret=b""
    )
    assert channel._ways.codepay
    assert (channel._account.api_v2_key, channel._account.identity) == (b"", None)
    assert not channel._keys.known, "they are fetched"


def test_platform_certificates_may_be_given_as_files() -> None:
    two = certificate("wechat", int(SERIAL, 16)) + b"\n" + certificate("merchant", 0xAA)
    channel: Any = built(platform_certificates=two)
    assert set(channel._keys.known) == {PUBLIC_KEY_ID, SERIAL, "AA"}


def test_the_national_algorithms() -> None:
    channel: Any = built(
        {"scheme": "SM2"},
        merchant_private_key=SM_PRIVATE,
        platform_public_key=SM_PUBLIC,
        client_key=private_pem(rsa_key("merchant")),
    )
    assert channel._account.key.scheme == "WECHATPAY2-SM2-WITH-SM3"


BAD: dict[str, tuple[dict[str, str], dict[str, bytes], str]] = {
    "an address": ({"base_url": "http://pay.example"}, {}, "base_url"),
    "an address of faces": ({"face_url": "ftp://x"}, {}, "face_url"),
    "no application": ({"appid": ""}, {}, "appid"),
    "a number like none": ({"mchid": "19 00"}, {}, "mchid"),
    "a serial like none": ({"merchant_serial": "AB:CD"}, {}, "merchant_serial"),
    "a private key": ({}, {"merchant_private_key": b"x"}, "merchant_private_key"),
    "a public one for it": (
        {},
        {"merchant_private_key": public_pem(rsa_key("merchant"))},
        "merchant_private_key",
    ),
    "a short APIv3 key": ({}, {"apiv3_key": b"short"}, "apiv3_key"),
    "no APIv2 key": ({}, {"api_v2_key": b""}, "api_v2_key"),
    "no certificate to reverse with": ({}, {"client_certificate": b""}, "client_certificate"),
    "another's certificate": (
        {},
        {"client_certificate": certificate("wechat")},
        "client_certificate",
    ),
    "a way to sign": ({"sign_type": "SHA1"}, {}, "sign_type"),
    "an id without its key": ({}, {"platform_public_key": b""}, "platform_public_key_id"),
    "an id like none": ({"platform_public_key_id": "KEY1"}, {}, "platform_public_key_id"),
    "a public key": ({}, {"platform_public_key": b"x"}, "platform_public_key"),
    "certificates": ({}, {"platform_certificates": b"x"}, "platform_certificates"),
    "nothing to verify with": (
        {"platform_public_key_id": ""},
        {"platform_public_key": b""},
        "platform_public_key",
    ),
    "twelve hours": ({"certificates_refresh_s": "43200"}, {}, "certificates_refresh_s"),
    "a scheme": ({"scheme": "DSA"}, {}, "scheme"),
    "a scheme without its keys": ({"scheme": "SM2"}, {}, "platform_public_key"),
    "a flag": ({"codepay": "yes"}, {}, "codepay"),
    "a version": ({"refund_api": "v4"}, {}, "refund_api"),
    "a query string": ({"notify_url": "https://a.example/?x=1"}, {}, "notify_url"),
    "a shop's application without a shop": ({"sub_appid": "wx2"}, {}, "sub_appid"),
    "no end of an undo": ({"undo_retry_s": ""}, {}, "undo_retry_s"),
    "no end of a refund": ({"refund_retry_s": ""}, {}, "refund_retry_s"),
    "a setting of another channel": ({"gateway_url": "https://x"}, {}, "gateway_url"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_named(bad: tuple[dict[str, str], dict[str, bytes], str]) -> None:
    settings, secret, named = bad
    with pytest.raises(ConfigurationError) as caught:
        built(settings, **secret)
    assert f"wx1: {named} " in caught.value.message
    assert "BEGIN" not in caught.value.message

"""The three apps that a payer opens a page in, as data: names, user agents, who the payer is.

Rules: each app is a host of its own (``wechat.localhost``, which browsers take for this
machine), so that a desktop browser keeps the apps' cookies apart. A phone has one payer, whom
each app knows by its own sort of name; what OAuth is told and what the channel calls the payer
then are two different things (``channels.md`` D).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from sandbox import alipay_site, unionpay_qr_site, wechat
from sandbox.unionpay_qr import user_of
from sandbox.wechat_acts import openid_of

OWN_PREFIX: Final = "/.wallet/"
"""What the wallet itself serves on an app's host; everything else is the merchant's page."""
_ANDROID: Final = (
    "Mozilla/5.0 (Linux; Android 14; sdk_gphone64 Build/UE1A.230829.036; wv) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletApp:
    """One app; ``name`` is what its pages call it, in English and Chinese.

    ``authorise_path`` is where its channel's OAuth begins. ``signs_in_as`` is what OAuth is
    told of the phone's payer, ``payer_id`` what the channel calls that payer.
    """

    key: str
    channel: str
    name: tuple[str, str]
    user_agent: str
    authorise_path: str
    signs_in_as: Callable[[str], str] = field(repr=False)
    payer_id: Callable[[str], str] = field(repr=False)

    @property
    def host(self) -> str:
        """Where it is opened, without a port."""
        return f"{self.key}.localhost"


def _itself(payer: str) -> str:
    return payer


def _buyer_id(payer: str) -> str:
    """2088 and twelve digits."""
    number = int.from_bytes(hashlib.sha256(f"buyer {payer}".encode()).digest()[:8]) % 10**12
    return f"2088{number:012}"


_APPS: Final = (
    WalletApp(
        key="wechat",
        channel="wechat",
        name=("WeChat Pay", "微信支付"),
        user_agent=f"{_ANDROID} XWEB/1260117 MMWEBSDK/20240404 MicroMessenger/8.0.49.2600"
        "(0x28003133) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64",
        authorise_path=wechat.AUTHORIZE,
        signs_in_as=_itself,
        payer_id=openid_of,
    ),
    WalletApp(
        key="alipay",
        channel="alipay",
        name=("Alipay", "支付宝"),
        user_agent=f"{_ANDROID} NebulaSDK/1.8.100112 Nebula AlipayDefined(nt:WIFI,ws:411|0|2.625) "
        "AliApp(AP/10.6.0.8000) AlipayClient/10.6.0.8000 Language/zh-Hans",
        authorise_path=alipay_site.AUTHORISE_PATH,
        signs_in_as=_buyer_id,
        payer_id=_buyer_id,
    ),
    WalletApp(
        key="unionpay",
        channel="unionpay_qr",
        name=("UnionPay", "云闪付"),
        user_agent=f"{_ANDROID} (com.unionpay.mobilepay)(clientVersion 314)(version 914)"
        "(UnionPay/1.0 CloudPay)(language zh_CN)",
        authorise_path=unionpay_qr_site.AUTHORISE_PATH,
        signs_in_as=_itself,
        payer_id=user_of,
    ),
)
APPS: Final[Mapping[str, WalletApp]] = MappingProxyType({app.key: app for app in _APPS})
BY_HOST: Final[Mapping[str, WalletApp]] = MappingProxyType({app.host: app for app in _APPS})

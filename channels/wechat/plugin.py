"""WeChat Pay as a plugin: its settings, and how to build it from an account."""

from collections.abc import Sequence
from typing import Final

from channels.address import refusal
from channels.port import (
    Channel,
    ChannelAccount,
    ChannelPlugin,
    ChannelServices,
    PollSchedule,
    Setting,
)
from channels.settings import AccountSettings
from channels.tls import ClientIdentity, tls_context
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.adapter import Ways, WechatChannel
from channels.wechat.calls import Calls
from channels.wechat.cashier_texts import TEXTS
from domain.errors import ConfigurationError
from signing.wechat import (
    APIV3_KEY_BYTES,
    PUBLIC_KEY_ID,
    RSA_SCHEME,
    SM_SCHEME,
    MerchantKey,
    PlatformKey,
    WechatKeyError,
    certificate_key,
    merchant_key,
    normal_serial,
    platform_key,
)
from signing.wechat_v2 import SIGN_TYPES

SETTINGS: Final[Sequence[Setting]] = (
    Setting("base_url", "WeChat Pay's host", "https://api.mch.weixin.qq.com"),
    Setting("face_url", "the host of face payment", "https://payapp.weixin.qq.com"),
    Setting("appid", "our application (a service provider's own)"),
    Setting("mchid", "our merchant number (a service provider's own)"),
    Setting("sub_appid", "the shop's application, where we are its service provider", ""),
    Setting("sub_mchid", "the shop's merchant number, where we are its service provider", ""),
    Setting("merchant_serial", "serial of the merchant's API certificate, hex"),
    Setting("merchant_private_key", "the merchant's private key, PEM", secret=True),
    Setting("apiv3_key", "the APIv3 key, 32 bytes", secret=True),
    Setting("api_v2_key", "the API key of APIv2; empty with codepay", "", secret=True),
    Setting("sign_type", "of APIv2: HMAC-SHA256 or MD5", "HMAC-SHA256"),
    Setting(
        "client_certificate", "the merchant's API certificate, PEM: reversals", "", secret=True
    ),
    Setting("client_key", "its key, PEM; empty: merchant_private_key", "", secret=True),
    Setting("platform_public_key_id", "id of WeChat Pay's public key (PUB_KEY_ID_…)", ""),
    Setting("platform_public_key", "WeChat Pay's public key, PEM", "", secret=True),
    Setting("platform_certificates", "platform certificates to begin with, PEM", "", secret=True),
    Setting(
        "certificates_refresh_s", "age at which fetched certificates are renewed, 0: never", "36000"
    ),
    Setting("scheme", "RSA, or SM2 for the national algorithms", "RSA"),
    Setting("codepay", "true: codes by APIv3's codepay, not by micropay", "false"),
    Setting("refund_api", "v3 or v2", "v3"),
    Setting("bill_api", "v3 or v2", "v3"),
    Setting("notify_url", "where WeChat Pay notifies us, without a query string", ""),
    Setting("till_ip", "address that payments are said to come from", "127.0.0.1"),
    Setting("app_secret", "the application's secret: pages in WeChat's browser", "", secret=True),
    Setting(
        "oauth_page",
        "where a browser asks who it is",
        "https://open.weixin.qq.com/connect/oauth2/authorize",
    ),
    Setting("oauth_api", "host that tells openids", "https://api.weixin.qq.com"),
    Setting("timeout_s", "seconds that one call may take", "10"),
    Setting("calls_per_s", "requests that WeChat Pay gets in a second at most, 0: no bound", "0"),
    Setting("query_after_s", "seconds between queries, then undo", ",".join(["5"] * 9)),
    Setting("undo_not_before_s", "age of a payment before it is undone (15 s, and a hair)", "16"),
    Setting("undo_retry_s", "seconds between reversals, the last repeats", "2,4,8,16,30,60"),
    Setting("refund_retry_s", "seconds between askings about a refund", "2,5,15,60,300"),
)
_SCHEMES: Final = {"RSA": RSA_SCHEME, "SM2": SM_SCHEME}
_END: Final = b"-----END CERTIFICATE-----"
_TWELVE_HOURS_S: Final = 43_200


def build(account: ChannelAccount, services: ChannelServices) -> Channel:
    """A WeChat Pay channel from a provisioned account.

    Raises:
        ConfigurationError: a setting cannot be used; names it.
    """
    settings = AccountSettings(account, SETTINGS)
    keys = PlatformKeys(_platform_keys(settings))
    refresh_s = settings.seconds("certificates_refresh_s", 0, _TWELVE_HOURS_S - 1)
    if not keys.known and not refresh_s:
        raise settings.fault(
            "platform_public_key", "is needed where no platform certificates are fetched"
        )
    ways = Ways(
        codepay=settings.flag("codepay"),
        refunds_by_v2=_choice(settings, "refund_api", ("v3", "v2")) == "v2",
        bills_by_v2=_choice(settings, "bill_api", ("v3", "v2")) == "v2",
        oauth_page=_url(settings, "oauth_page"),
        oauth_api=_url(settings, "oauth_api"),
        app_secret=settings.secret("app_secret"),
    )
    made = _account(settings)
    _check_v2(settings, made, ways)
    calls = Calls(made, keys, refresh_s, services)
    return WechatChannel(calls, ways, _schedule(settings))


def _account(settings: AccountSettings) -> WechatAccount:
    apiv3_key = settings.secret("apiv3_key")
    if len(apiv3_key) != APIV3_KEY_BYTES:
        raise settings.fault("apiv3_key", f"must be {APIV3_KEY_BYTES} bytes")
    notify_url = settings.text("notify_url")
    if "?" in notify_url or "#" in notify_url:
        raise settings.fault("notify_url", "must have no query string")
    return WechatAccount(
        base_url=_url(settings, "base_url"),
        face_url=_url(settings, "face_url"),
        appid=_word(settings, "appid"),
        mchid=_word(settings, "mchid"),
        sub_appid=_word(settings, "sub_appid", empty=True),
        sub_mchid=_word(settings, "sub_mchid", empty=True),
        merchant_serial=_word(settings, "merchant_serial"),
        key=_merchant_key(settings),
        apiv3_key=apiv3_key,
        api_v2_key=settings.secret("api_v2_key"),
        sign_type=_choice(settings, "sign_type", SIGN_TYPES),
        identity=_identity(settings),
        notify_url=notify_url,
        till_ip=settings.text("till_ip"),
        timeout_s=settings.seconds("timeout_s", 0.1, 120),
    )


def _check_v2(settings: AccountSettings, account: WechatAccount, ways: Ways) -> None:
    """What APIv2 needs is there wherever it is used."""
    for_codes = not ways.codepay
    if (for_codes or ways.refunds_by_v2 or ways.bills_by_v2) and not account.api_v2_key:
        raise settings.fault("api_v2_key", "is needed unless codepay, refunds and bills are v3")
    if (for_codes or ways.refunds_by_v2) and account.identity is None:
        raise settings.fault("client_certificate", "is needed: reversals and refunds of APIv2")
    if account.sub_appid and not account.sub_mchid:
        raise settings.fault("sub_appid", "is set without sub_mchid")


def _schedule(settings: AccountSettings) -> PollSchedule:
    undo_retry_s = settings.schedule("undo_retry_s", 0.01, 86_400)
    refund_retry_s = settings.schedule("refund_retry_s", 0.01, 86_400)
    for name, schedule in (("undo_retry_s", undo_retry_s), ("refund_retry_s", refund_retry_s)):
        if not schedule:
            raise settings.fault(name, "must not be empty")
    return PollSchedule(
        query_after_s=settings.schedule("query_after_s", 0.01, 3_600),
        undo_retry_s=undo_retry_s,
        refund_retry_s=refund_retry_s,
        undo_not_before_s=settings.seconds("undo_not_before_s", 0, 600),
    )


def _merchant_key(settings: AccountSettings) -> MerchantKey:
    try:
        return merchant_key(settings.secret("merchant_private_key"), _scheme(settings))
    except WechatKeyError as fault:
        raise settings.fault("merchant_private_key", f"cannot be used: {fault}") from None


def _platform_keys(settings: AccountSettings) -> dict[str, PlatformKey]:
    """The public key and the certificates that were configured, by serial."""
    scheme, keys = _scheme(settings), {}
    pem, key_id = settings.secret("platform_public_key"), settings.text("platform_public_key_id")
    if bool(pem) != bool(key_id):
        raise settings.fault("platform_public_key_id", "and platform_public_key go together")
    if pem:
        if not key_id.startswith(PUBLIC_KEY_ID):
            raise settings.fault("platform_public_key_id", f"must begin with {PUBLIC_KEY_ID}")
        try:
            keys[normal_serial(key_id)] = platform_key(pem, scheme)
        except WechatKeyError as fault:
            raise settings.fault("platform_public_key", f"cannot be used: {fault}") from None
    for piece in settings.secret("platform_certificates").split(_END):
        if not piece.strip():
            continue
        try:
            serial, key = certificate_key(piece.strip() + b"\n" + _END + b"\n", scheme)
        except WechatKeyError as fault:
            raise settings.fault("platform_certificates", f"cannot be used: {fault}") from None
        keys[serial] = key
    return keys


def _identity(settings: AccountSettings) -> ClientIdentity | None:
    """The merchant's certificate with its key, tried out."""
    certificate = settings.secret("client_certificate")
    if not certificate:
        return None
    key = settings.secret("client_key") or settings.secret("merchant_private_key")
    identity = ClientIdentity(certificate, key)
    try:
        tls_context(None, identity)
    except ConfigurationError as fault:
        raise settings.fault("client_certificate", f"cannot be used: {fault.message}") from None
    return identity


def _scheme(settings: AccountSettings) -> str:
    return _SCHEMES[_choice(settings, "scheme", tuple(_SCHEMES))]


def _choice(settings: AccountSettings, name: str, choices: Sequence[str]) -> str:
    text = settings.text(name)
    if text not in choices:
        raise settings.fault(name, f"must be {' or '.join(choices)}")
    return text


def _word(settings: AccountSettings, name: str, *, empty: bool = False) -> str:
    text = settings.text(name)
    if (text or not empty) and not (text.isascii() and text.isalnum() and len(text) <= 64):
        raise settings.fault(name, "must be letters and digits")
    return text


def _url(settings: AccountSettings, name: str) -> str:
    text = settings.text(name).rstrip("/")
    problem = refusal(text)
    if problem:
        raise settings.fault(name, problem)
    return text


PLUGIN: Final = ChannelPlugin("wechat", SETTINGS, build, TEXTS)

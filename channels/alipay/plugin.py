"""Alipay as a plugin: its settings, and how to build it from an account."""

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from channels.address import refusal
from channels.alipay.account import AlipayAccount, Transport
from channels.alipay.adapter import AlipayChannel
from channels.alipay.codes import TEXTS
from channels.port import (
    Channel,
    ChannelAccount,
    ChannelPlugin,
    ChannelServices,
    PollSchedule,
    Setting,
)
from channels.settings import AccountSettings
from signing.alipay_aes import AesError, load_key
from signing.alipay_certificates import (
    AlipayKeys,
    CertificateError,
    certificate_serial,
    keys_of,
    one_key,
    root_serial,
)
from signing.rsa import RsaKeyError, load_private_key, load_public_key

_AUTHORISE: Final = "https://openauth.alipay.com/oauth2/publicAppAuthorize.htm"

SETTINGS: Final[Sequence[Setting]] = (
    Setting("gateway_url", "Alipay's gateway", "https://openapi.alipay.com/gateway.do"),
    Setting("transport", "v2: one form to the gateway; v3: REST at its host", "v2"),
    Setting("app_id", "the application's id"),
    Setting("app_private_key", "the application's RSA key, PEM or base64", secret=True),
    Setting("alipay_public_key", "Alipay's RSA key, PEM or base64 (key mode)", "", secret=True),
    Setting("app_certificate", "the application's certificate, PEM (mode)", "", secret=True),
    Setting("alipay_certificates", "Alipay's certificates, PEM, one or more", "", secret=True),
    Setting("alipay_root_certificates", "Alipay's bundle of roots, PEM", "", secret=True),
    Setting("aes_key", "encrypts contents, 16 bytes in base64; empty: not", "", secret=True),
    Setting("app_auth_token", "the merchant's token, for a service provider", "", secret=True),
    Setting("service_provider_id", "PID of the service provider who is paid for it", ""),
    Setting("royalty_freeze", "true: payments are shared with others later", "false"),
    Setting("seller_id", "our PID (2088…), compared where an answer names one", ""),
    Setting("notify_url", "where Alipay tells us, https://…/notify/alipay/ACCOUNT", ""),
    Setting("authorise_url", "where payers are sent to say who they are", _AUTHORISE),
    Setting("timeout_s", "seconds that one call may take", "10"),
    Setting("calls_per_s", "requests that Alipay gets in a second at most, 0: no bound", "0"),
    Setting("query_after_s", "seconds between queries, then undo", ",".join(["3"] * 10)),
    Setting("undo_retry_s", "seconds between cancels, the last repeats", "1,2,4,8,16,30,60"),
    Setting("refund_retry_s", "seconds between askings about a refund", "2,5,15,60,300"),
)


def build(account: ChannelAccount, services: ChannelServices) -> Channel:
    """An Alipay channel from a provisioned account.

    Raises:
        ConfigurationError: a setting cannot be used; names it.
    """
    settings = AccountSettings(account, SETTINGS)
    return AlipayChannel(_account(settings), _schedule(settings), services)


def _account(settings: AccountSettings) -> AlipayAccount:
    if not settings.text("app_id").isalnum():
        raise settings.fault("app_id", "must be letters and digits")
    try:
        private_key = load_private_key(settings.secret("app_private_key"))
    except RsaKeyError as fault:
        raise settings.fault("app_private_key", f"cannot be used: {fault}") from None
    app_cert_sn, root_cert_sn, keys = _trust(settings, private_key)
    return AlipayAccount(
        gateway_url=_url(settings, "gateway_url"),
        app_id=settings.text("app_id"),
        seller_id=settings.text("seller_id"),
        timeout_s=settings.seconds("timeout_s", 0.1, 120),
        private_key=private_key,
        alipay_keys=keys,
        transport=_transport(settings),
        app_cert_sn=app_cert_sn,
        root_cert_sn=root_cert_sn,
        aes_key=_aes_key(settings),
        app_auth_token=settings.secret("app_auth_token").decode("utf-8", "replace").strip(),
        service_provider_id=settings.text("service_provider_id"),
        royalty_freeze=settings.flag("royalty_freeze"),
        notify_url=_notify_url(settings),
        authorise_url=_url(settings, "authorise_url"),
    )


def _transport(settings: AccountSettings) -> Transport:
    try:
        return Transport(settings.text("transport"))
    except ValueError:
        raise settings.fault("transport", "must be v2 or v3") from None


def _trust(settings: AccountSettings, private_key: RSAPrivateKey) -> tuple[str, str, AlipayKeys]:
    """The serial numbers that requests carry, and the keys that verify answers."""
    if settings.secret("app_certificate"):
        if not _is_of(settings, private_key):
            raise settings.fault("app_certificate", "is not of app_private_key")
        return (
            _serial(settings, "app_certificate"),
            _serial(settings, "alipay_root_certificates"),
            _certified(settings),
        )
    for name in ("alipay_certificates", "alipay_root_certificates"):
        if settings.secret(name):
            raise settings.fault(name, "needs app_certificate too (certificate mode)")
    if not settings.secret("alipay_public_key"):
        raise settings.fault(
            "alipay_public_key", "is missing: Alipay's RSA key, or the three of certificate mode"
        )
    try:
        return "", "", one_key(load_public_key(settings.secret("alipay_public_key")))
    except RsaKeyError as fault:
        raise settings.fault("alipay_public_key", f"cannot be used: {fault}") from None


def _serial(settings: AccountSettings, name: str) -> str:
    read = root_serial if name == "alipay_root_certificates" else certificate_serial
    try:
        return read(settings.secret(name))
    except CertificateError as fault:
        raise settings.fault(name, f"cannot be used: {fault}") from None


def _is_of(settings: AccountSettings, private_key: RSAPrivateKey) -> bool:
    """Whether the application's certificate holds our key: Alipay would refuse every request."""
    try:
        (certified,) = keys_of(settings.secret("app_certificate")).by_serial.values()
    except (CertificateError, ValueError) as fault:
        raise settings.fault("app_certificate", f"cannot be used: {fault}") from None
    return certified == private_key.public_key()


def _certified(settings: AccountSettings) -> AlipayKeys:
    try:
        return keys_of(settings.secret("alipay_certificates"))
    except CertificateError as fault:
        raise settings.fault("alipay_certificates", f"cannot be used: {fault}") from None


def _aes_key(settings: AccountSettings) -> bytes:
    text = settings.secret("aes_key")
    try:
        return load_key(text) if text else b""
    except AesError as fault:
        raise settings.fault("aes_key", f"cannot be used: {fault}") from None


def _url(settings: AccountSettings, name: str) -> str:
    url = settings.text(name)
    problem = refusal(url)
    if problem:
        raise settings.fault(name, problem)
    return url


def _notify_url(settings: AccountSettings) -> str:
    url = settings.text("notify_url")
    if url and "?" in url:
        raise settings.fault("notify_url", "must have no query")
    return _url(settings, "notify_url") if url else ""


def _schedule(settings: AccountSettings) -> PollSchedule:
    undo_retry_s = settings.schedule("undo_retry_s", 0.01, 86_400)
    if not undo_retry_s:
        raise settings.fault("undo_retry_s", "must not be empty")
    refund_retry_s = settings.schedule("refund_retry_s", 0.01, 86_400)
    if not refund_retry_s:
        raise settings.fault("refund_retry_s", "must not be empty")
    return PollSchedule(
        query_after_s=settings.schedule("query_after_s", 0.01, 3_600),
        undo_retry_s=undo_retry_s,
        refund_retry_s=refund_retry_s,
    )


PLUGIN: Final = ChannelPlugin("alipay", SETTINGS, build, TEXTS)

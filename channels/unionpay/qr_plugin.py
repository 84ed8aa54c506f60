"""UnionPay's ACP as a plugin: its settings, and how to build it from an account."""

from collections.abc import Sequence
from typing import Final

from cryptography.x509 import Certificate

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
from channels.unionpay.qr_adapter import UnionPayQrChannel
from channels.unionpay.qr_codes import CASHIER_TEXTS
from channels.unionpay.qr_envelope import AcpAccount
from domain.decline import ChannelTexts
from signing.rsa import RsaKeyError
from signing.unionpay import (
    RSA,
    SIGN_METHODS,
    AcpSignatureError,
    KeyedSigning,
    RsaSigning,
    Signing,
)
from signing.unionpay_trust import (
    UNIONPAY_NAMES,
    ChainTrust,
    load_certificate,
    load_own_key,
)

_AUTHORISE_URL: Final = "https://qr.95516.com/qrcGtwWeb-web/api/userAuth"

SETTINGS: Final[Sequence[Setting]] = (
    Setting("base_url", "UnionPay's gateway", "https://gateway.95516.com"),
    Setting("file_url", "UnionPay's file server", "https://filedownload.95516.com"),
    Setting("mer_id", "our merchant number at UnionPay, 15 letters or digits"),
    Setting("sign_method", "01 RSA, 11 SHA-256 or 12 SM3 with a shared secret", RSA),
    Setting("sign_key", "01: our PKCS#12 file (or PEM of key and certificate)", "", secret=True),
    Setting("sign_password", "01: the password of the PKCS#12 file", "", secret=True),
    Setting("secure_key", "11 and 12: the shared secret", "", secret=True),
    Setting("root_certificate", "01: CFCA's root certificate, PEM", ""),
    Setting("middle_certificate", "01: CFCA's middle certificate, PEM", ""),
    Setting("signer_name", "01: the third part of UnionPay's common name", UNIONPAY_NAMES[0]),
    Setting("back_url", "where UnionPay notifies us, without a query", ""),
    Setting("front_url", "where a payer comes back to from UnionPay's page", ""),
    Setting("terminal_id", "our terminal number, 8 letters or digits", ""),
    Setting("term_info", "termInfo as UnionPay asks for it", ""),
    Setting("channel_type", "07 internet, 08 mobile", "08"),
    Setting("acquirer_code", "acqInsCode, if we connect as an acquirer", ""),
    Setting("merchant_category", "merCatCode, for an acquirer", ""),
    Setting("merchant_name", "merName, for an acquirer", ""),
    Setting("merchant_abbreviation", "merAbbr, for an acquirer", ""),
    Setting("authorise_url", "where wallets say who pays", _AUTHORISE_URL),
    Setting("app_up_identifier", "the wallet's mark in its user agent", "UnionPay/1.0 CloudPay"),
    Setting("timeout_s", "seconds that one call may take", "10"),
    Setting("calls_per_s", "requests that UnionPay gets in a second at most, 0: no bound", "0"),
    Setting("query_after_s", "seconds between queries, then undo", "1,2,4,8,16,32"),
    Setting("undo_after_not_found", "queries in a row that know no such order, then undo", "3"),
    Setting("undo_retry_s", "seconds between reversals, the last repeats", "1,2,4,8,16,30,60"),
    Setting("refund_retry_s", "seconds between askings about a refund", "1,2,4,8,16,32,300"),
)


def build(account: ChannelAccount, services: ChannelServices) -> Channel:
    """A UnionPay channel from a provisioned account.

    Raises:
        ConfigurationError: a setting cannot be used; names it.
    """
    settings = AccountSettings(account, SETTINGS)
    for name in ("base_url", "file_url", "authorise_url"):
        _check_url(settings, name)
    _check_url(settings, "front_url", needed=False)
    _check_back_url(settings)
    undo_retry_s = settings.schedule("undo_retry_s", 0.01, 86_400)
    if not undo_retry_s:
        raise settings.fault("undo_retry_s", "must not be empty")
    refund_retry_s = settings.schedule("refund_retry_s", 0.01, 86_400)
    if not refund_retry_s:
        raise settings.fault("refund_retry_s", "must not be empty")
    query_after_s = settings.schedule("query_after_s", 0.01, 3_600)
    if not query_after_s:
        raise settings.fault("query_after_s", "must not be empty: UnionPay only accepts at first")
    schedule = PollSchedule(
        query_after_s=query_after_s,
        undo_retry_s=undo_retry_s,
        refund_retry_s=refund_retry_s,
        undo_after_not_found=settings.count("undo_after_not_found", 1, 100),
    )
    return UnionPayQrChannel(_account(settings), schedule, services)


def _account(settings: AccountSettings) -> AcpAccount:
    if settings.text("channel_type") not in ("07", "08"):
        raise settings.fault("channel_type", "must be 07 or 08")
    mer_id = settings.text("mer_id")
    if not (len(mer_id) == 15 and mer_id.isascii() and mer_id.isalnum()):
        raise settings.fault("mer_id", "must be 15 letters or digits")
    return AcpAccount(
        base_url=settings.text("base_url").rstrip("/"),
        file_url=settings.text("file_url").rstrip("/"),
        mer_id=mer_id,
        signing=_signing(settings),
        timeout_s=settings.seconds("timeout_s", 0.1, 120),
        back_url=settings.text("back_url"),
        front_url=settings.text("front_url"),
        terminal_id=settings.text("terminal_id"),
        term_info=settings.text("term_info"),
        channel_type=settings.text("channel_type"),
        access=_access(settings),
        app_up_identifier=settings.text("app_up_identifier"),
        authorise_url=settings.text("authorise_url"),
    )


def _access(settings: AccountSettings) -> dict[str, str]:
    """A merchant's own connection (0), or an acquirer's (1) with what it must add."""
    acquirer = settings.text("acquirer_code")
    if not acquirer:
        return {"accessType": "0"}
    names = {
        "merCatCode": "merchant_category",
        "merName": "merchant_name",
        "merAbbr": "merchant_abbreviation",
    }
    for name in names.values():
        if not settings.text(name):
            raise settings.fault(name, "is missing: an acquirer names it")
    own = {field: settings.text(name) for field, name in names.items()}
    return {"accessType": "1", "acqInsCode": acquirer, **own}


def _signing(settings: AccountSettings) -> Signing:
    method = settings.text("sign_method")
    if method not in SIGN_METHODS:
        raise settings.fault("sign_method", f"must be one of {', '.join(SIGN_METHODS)}")
    if method != RSA:
        try:
            return KeyedSigning(method, settings.secret("secure_key"))
        except ValueError as fault:
            raise settings.fault("secure_key", f"cannot be used: {fault}") from None
    try:
        password = settings.secret("sign_password").decode()
        key, cert_id = load_own_key(settings.secret("sign_key"), password)
    except (RsaKeyError, UnicodeDecodeError) as fault:
        why = str(fault) if isinstance(fault, RsaKeyError) else "the password is not text"
        raise settings.fault("sign_key", f"cannot be used: {why}") from None
    return RsaSigning(key, cert_id, _trust(settings))


def _trust(settings: AccountSettings) -> ChainTrust:
    root = _certificate(settings, "root_certificate")
    middle = _certificate(settings, "middle_certificate")
    try:
        return ChainTrust(root, middle, (settings.text("signer_name"),))
    except AcpSignatureError as fault:
        raise settings.fault("middle_certificate", f"cannot be used: {fault}") from None


def _certificate(settings: AccountSettings, name: str) -> Certificate:
    try:
        return load_certificate(settings.text(name).encode())
    except AcpSignatureError as fault:
        raise settings.fault(name, f"cannot be used: {fault}") from None


def _check_url(settings: AccountSettings, name: str, *, needed: bool = True) -> None:
    url = settings.text(name)
    problem = refusal(url) if url or needed else ""
    if problem:
        raise settings.fault(name, problem)


def _check_back_url(settings: AccountSettings) -> None:
    """UnionPay signs a notification without the address's query, so there is none."""
    _check_url(settings, "back_url", needed=False)
    if "?" in settings.text("back_url"):
        raise settings.fault("back_url", "must have no query")


PLUGIN: Final = ChannelPlugin(
    "unionpay_qr",
    SETTINGS,
    build,
    ChannelTexts(payments=CASHIER_TEXTS, refunds=CASHIER_TEXTS),
)

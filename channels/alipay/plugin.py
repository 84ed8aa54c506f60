"""Alipay as a plugin: its settings, and how to build it from an account."""

from collections.abc import Sequence
from typing import Final

from channels.address import refusal
from channels.alipay.adapter import AlipayChannel
from channels.alipay.codes import TEXTS
from channels.alipay.envelope import AlipayAccount
from channels.port import (
    Channel,
    ChannelAccount,
    ChannelPlugin,
    ChannelServices,
    PollSchedule,
    Setting,
)
from channels.settings import AccountSettings
from signing.rsa import RsaKeyError, load_private_key, load_public_key

SETTINGS: Final[Sequence[Setting]] = (
    Setting("gateway_url", "Alipay's gateway", "https://openapi.alipay.com/gateway.do"),
    Setting("app_id", "the application's id"),
    Setting("app_private_key", "the application's RSA key, PEM or base64", secret=True),
    Setting("alipay_public_key", "Alipay's RSA public key, PEM or base64", secret=True),
    Setting("seller_id", "our PID (2088…), compared where an answer names one", ""),
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
    gateway_url = settings.text("gateway_url")
    problem = refusal(gateway_url)
    if problem:
        raise settings.fault("gateway_url", problem)
    if not settings.text("app_id").isalnum():
        raise settings.fault("app_id", "must be letters and digits")
    try:
        private_key = load_private_key(settings.secret("app_private_key"))
    except RsaKeyError as fault:
        raise settings.fault("app_private_key", f"cannot be used: {fault}") from None
    try:
        alipay_key = load_public_key(settings.secret("alipay_public_key"))
    except RsaKeyError as fault:
        raise settings.fault("alipay_public_key", f"cannot be used: {fault}") from None
    undo_retry_s = settings.schedule("undo_retry_s", 0.01, 86_400)
    if not undo_retry_s:
        raise settings.fault("undo_retry_s", "must not be empty")
    refund_retry_s = settings.schedule("refund_retry_s", 0.01, 86_400)
    if not refund_retry_s:
        raise settings.fault("refund_retry_s", "must not be empty")
    return AlipayChannel(
        AlipayAccount(
            gateway_url=gateway_url,
            app_id=settings.text("app_id"),
            seller_id=settings.text("seller_id"),
            timeout_s=settings.seconds("timeout_s", 0.1, 120),
            private_key=private_key,
            alipay_key=alipay_key,
        ),
        PollSchedule(
            query_after_s=settings.schedule("query_after_s", 0.01, 3_600),
            undo_retry_s=undo_retry_s,
            refund_retry_s=refund_retry_s,
        ),
        services,
    )


PLUGIN: Final = ChannelPlugin("alipay", SETTINGS, build, TEXTS)

"""The UnionPay channels as plugins: data, and how to build one from an account."""

from collections.abc import Sequence
from typing import Final

from channels.port import (
    Channel,
    ChannelAccount,
    ChannelPlugin,
    ChannelServices,
    PollSchedule,
    Setting,
)
from channels.settings import AccountSettings
from channels.unionpay.card_adapter import CardChannel
from channels.unionpay.card_keys import KeyRing
from channels.unionpay.card_line import LineSettings
from channels.unionpay.card_link import LinkSettings
from channels.unionpay.card_numbers import OrderNumbers
from channels.unionpay.card_texts import CARD_TEXTS
from channels.unionpay.card_wire import CardAccount
from domain.errors import ConfigurationError
from signing.pos import MAC_ALGORITHMS, CipherKey

CARD_SETTINGS: Final[Sequence[Setting]] = (
    Setting("host", "name or address of the card host"),
    Setting("port", "TCP port of the card host"),
    Setting("backup_host", "a second host that takes over; empty for none", ""),
    Setting("backup_port", "TCP port of the second host", "0"),
    Setting("connections", "connections to each host", "1"),
    Setting("merchant_id", "our merchant number there, 15 letters or digits (F42)"),
    Setting("terminal_id", "our terminal number there, 8 letters or digits (F41)"),
    Setting("tmk", "terminal master key, 32 or 48 hex digits (or its 16 or 24 bytes)", secret=True),
    Setting("mac", "MAC algorithm: " + ", ".join(MAC_ALGORITHMS), "cup-ecb"),
    Setting("tpdu", "TPDU of requests, 10 hex digits", "6000030000"),
    Setting("header", "header of requests, 12 hex digits", "602200000000"),
    Setting("timeout_s", "seconds to wait for an answer", "30"),
    Setting("echo_after_s", "seconds of silence before an echo test", "30"),
    Setting("echo_timeout_s", "seconds to wait for an echo before the link is dropped", "2.5"),
    Setting("max_in_flight", "requests in flight at once", "1000"),
    Setting("undo_retry_s", "seconds between reversals, the last repeats", "1,2,4,8,16,30,60"),
    Setting(
        "reversal_00_means_paid",
        "true: a reversal answered 00 gave money back; false: it may not have found the sale",
        "true",
    ),
    Setting("declines_need_mac", "true: the host signs its refusals too", "false"),
    Setting(
        "repeats_answered_alike",
        "true: the host answers the repeat of a refund as it answered the first; "
        "false: the refusal of a repeat is not believed",
        "false",
    ),
    Setting(
        "share_keys",
        "true: the processes of this account use the same working keys, for a host that makes "
        "new ones at each sign-on",
        "false",
    ),
)


def build_card(account: ChannelAccount, services: ChannelServices) -> Channel:
    """A card link from a provisioned account.

    Raises:
        ConfigurationError: a setting cannot be used; names it.
    """
    settings = AccountSettings(account, CARD_SETTINGS)
    card_account = _card_account(settings)
    link_settings = LinkSettings(
        lines=_lines(settings),
        timeout_s=settings.seconds("timeout_s", 0.1, 120),
        max_in_flight=settings.count("max_in_flight", 1, 100_000),
    )
    undo_retry_s = settings.schedule("undo_retry_s", 0.01, 86_400)
    if not undo_retry_s:
        raise settings.fault("undo_retry_s", "must not be empty")
    sequence = f"unionpay_card:{card_account.merchant_id}:{card_account.terminal_id}"
    return CardChannel(
        card_account,
        link_settings,
        services,
        OrderNumbers(sequence, card_account.terminal_id, services.take_sequence, services.clock),
        PollSchedule(query_after_s=(), undo_retry_s=undo_retry_s),
        _ring(settings, card_account, services),
    )


def _ring(settings: AccountSettings, account: CardAccount, services: ChannelServices) -> KeyRing:
    """The account's keys: shared where the account says so and there is a place for it."""
    keeper = services.key_keeper if settings.flag("share_keys") else None
    owner = services.ids.new() if keeper is not None else ""
    return KeyRing(account, services.clock, keeper, owner)


def _lines(settings: AccountSettings) -> tuple[LineSettings, ...]:
    """The host, and the second one where there is one."""
    hosts = [(settings.text("host"), settings.count("port", 1, 65535))]
    if settings.text("backup_host"):
        hosts.append((settings.text("backup_host"), settings.count("backup_port", 1, 65535)))
    return tuple(
        LineSettings(
            host=host,
            port=port,
            connections=settings.count("connections", 1, 64),
            echo_after_s=settings.seconds("echo_after_s", 1, 3600),
            echo_timeout_s=settings.seconds("echo_timeout_s", 0.1, 30),
        )
        for host, port in hosts
    )


def _card_account(settings: AccountSettings) -> CardAccount:
    mac = MAC_ALGORITHMS.get(settings.text("mac"))
    if mac is None or settings.text("mac") == "cup-sm4":
        raise settings.fault("mac", "must be one of cup-ecb, x9.9, x9.19")
    return CardAccount(
        merchant_id=_characters(settings, "merchant_id", 15),
        terminal_id=_characters(settings, "terminal_id", 8),
        tpdu=_hex(settings, "tpdu", 5),
        header=_hex(settings, "header", 6),
        master=_master(settings),
        mac=mac,
        reversal_00_means_paid=settings.flag("reversal_00_means_paid"),
        declines_need_mac=settings.flag("declines_need_mac"),
        repeats_answered_alike=settings.flag("repeats_answered_alike"),
    )


def _characters(settings: AccountSettings, name: str, length: int) -> str:
    text = settings.text(name)
    if not (len(text) == length and text.isascii() and text.isalnum()):
        raise settings.fault(name, f"must be {length} letters or digits")
    return text


def _hex(settings: AccountSettings, name: str, length: int) -> bytes:
    try:
        value = bytes.fromhex(settings.text(name))
    except ValueError:
        value = b""
    if len(value) != length:
        raise settings.fault(name, f"must be {2 * length} hex digits")
    return value


def _master(settings: AccountSettings) -> CipherKey:
    secret = settings.secret("tmk")
    problem: ConfigurationError = settings.fault("tmk", "must be 32 or 48 hex digits")
    try:
        raw = len(secret) in (16, 24)
        key = secret if raw else bytes.fromhex(secret.decode("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        raise problem from None
    if len(key) not in (16, 24):
        raise problem
    return CipherKey(key)


CARD_PLUGIN: Final = ChannelPlugin("unionpay_card", CARD_SETTINGS, build_card, texts=CARD_TEXTS)

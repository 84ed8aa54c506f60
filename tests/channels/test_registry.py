"""Plugins by entry points, and the rules of addresses and settings."""

from importlib.metadata import EntryPoint

import pytest

from channels import registry
from channels.address import refusal
from channels.port import ChannelAccount, Setting
from channels.registry import plugins
from channels.settings import AccountSettings
from domain.errors import ConfigurationError

ALIPAY = EntryPoint("alipay", "channels.alipay.plugin:PLUGIN", registry.GROUP)
CARD = EntryPoint("unionpay_card", "channels.unionpay.plugin:CARD_PLUGIN", registry.GROUP)


def installed(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def test_each_entry_point_gives_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ALIPAY, CARD)
    found = plugins()
    assert set(found) == {"alipay", "unionpay_card"}
    assert all(plugin.name == name for name, plugin in found.items())


@pytest.mark.parametrize(
    "points",
    [
        (ALIPAY, ALIPAY),
        (EntryPoint("wechat", "channels.alipay.plugin:PLUGIN", registry.GROUP),),
        (EntryPoint("alipay", "channels.alipay.plugin:SETTINGS", registry.GROUP),),
        (EntryPoint("gone", "channels.gone:PLUGIN", registry.GROUP),),
        (EntryPoint("gone", "channels.alipay.plugin:GONE", registry.GROUP),),
    ],
    ids=["twice", "another name", "no plugin", "no module", "no attribute"],
)
def test_a_wrong_entry_point_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, points: tuple[EntryPoint, ...]
) -> None:
    installed(monkeypatch, *points)
    with pytest.raises(ConfigurationError):
        plugins()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://openapi.alipay.com/gateway.do", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/", True),
        ("http://127.0.0.1.example.com/", False),
        ("http://10.0.0.1/", False),
        ("HTTPS://example.com/", True),
        ("https:///path", False),
        ("https://host:99999/", False),
        ("https://a@host/", False),
        ("https://host/#x", False),
        ("file:///etc/passwd", False),
    ],
)
def test_plain_http_goes_to_this_machine_only(url: str, allowed: bool) -> None:
    assert (refusal(url) == "") is allowed


DECLARED = (
    Setting("needed", "what it is"),
    Setting("waits", "times", "1,2"),
    Setting("secret", "hidden", secret=True),
)


def account(settings: dict[str, str], secrets: dict[str, bytes]) -> ChannelAccount:
    return ChannelAccount(account_id="acc7", channel="x", settings=settings, secrets=secrets)


def test_defaults_fill_in_and_text_becomes_numbers() -> None:
    read = AccountSettings(account({"needed": " a "}, {"secret": b"s"}), DECLARED)
    assert read.text("needed") == "a"
    assert read.schedule("waits", 0, 10) == (1.0, 2.0)
    assert read.secret("secret") == b"s"


@pytest.mark.parametrize(
    ("settings", "secrets", "named"),
    [
        ({}, {"secret": b"s"}, "needed"),
        ({"needed": "a"}, {}, "secret"),
        ({"needed": "a", "other": "b"}, {"secret": b"s"}, "other"),
        ({"needed": "a", "secret": "in clear"}, {"secret": b"s"}, "secret"),
    ],
)
def test_missing_and_undeclared_settings_name_account_and_setting(
    settings: dict[str, str], secrets: dict[str, bytes], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"acc7: {named}"):
        AccountSettings(account(settings, secrets), DECLARED)

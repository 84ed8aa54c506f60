"""What each simulated channel brings to an installation: keys, configuration, account, ``--info``.

Rules: a channel is one :class:`InstalledChannel` in :data:`CHANNELS`, and nothing else in
the installation, the demo or the benchmarks knows its names; ``addresses`` is what the
sandbox's ready file says (:func:`gateway.cli.sandbox.addresses_of`), and a channel that
it does not name gets no account and no section.
"""

from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin

from gateway.cli.installed_account import Addresses, InstalledAccount
from gateway.cli.installed_unionpay_qr import InstalledUnionPayQr
from gateway.cli.installed_wechat import InstalledWechat
from gateway.cli.local_ca import LocalCa, write_private, write_rsa_pair
from gateway.cli.tuning import Tuning
from gateway.sources import random_bytes

APP_ID: Final = "2021000000000001"
SELLER_ID: Final = "2088000000000001"
LINK_MERCHANT_ID: Final = "990000000000099"
LINK_TERMINAL_ID: Final = "99000099"


class InstalledChannel(Protocol):
    """See the module; ``folder`` is the installation's."""

    section: str
    """Its key in the configuration's ``sandbox``."""

    def write_keys(self, folder: Path, ca: LocalCa) -> None:
        """Make both sides' keys."""

    def sandbox_section(self, tuning: Tuning) -> dict[str, object]:
        """The configuration of its simulator."""

    def account(
        self, folder: Path, tuning: Tuning, addresses: Addresses
    ) -> InstalledAccount | None:
        """Its account at the gateway; ``None`` if the sandbox does not serve it."""

    def info(self, folder: Path, addresses: Addresses) -> dict[str, dict[str, object]]:
        """What ``--info`` tells, by section of its ``sandbox``."""


class InstalledAlipay:
    """One app at the simulated Alipay."""

    section = "alipay"

    def write_keys(self, folder: Path, ca: LocalCa) -> None:
        write_rsa_pair(folder, "app")
        write_rsa_pair(folder, "alipay")

    def sandbox_section(self, tuning: Tuning) -> dict[str, object]:
        return {
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "app_public_key_file": "app-public.pem",
            "alipay_private_key": "file:alipay-private.pem",
        }

    def account(
        self, folder: Path, tuning: Tuning, addresses: Addresses
    ) -> InstalledAccount | None:
        if "alipay" not in addresses:
            return None
        return InstalledAccount(
            account_id="alipay-1",
            channel="alipay",
            settings={
                "gateway_url": addresses["alipay"],
                "app_id": APP_ID,
                "seller_id": SELLER_ID,
                "notify_url": tuning.alipay_notify_url,
                "authorise_url": urljoin(addresses["alipay"], "/oauth2/publicAppAuthorize.htm"),
                "timeout_s": tuning.alipay_timeout_s,
                "query_after_s": tuning.alipay_query_after_s,
                "refund_retry_s": tuning.alipay_refund_retry_s,
                "calls_per_s": tuning.alipay_calls_per_s,
            },
            secrets={
                "app_private_key": (folder / "app-private.pem").read_bytes(),
                "alipay_public_key": (folder / "alipay-public.pem").read_bytes(),
            },
        )

    def info(self, folder: Path, addresses: Addresses) -> dict[str, dict[str, object]]:
        return {
            "alipay": {
                "gateway_url": addresses["alipay"],
                "app_id": APP_ID,
                "app_private_key_file": str(folder / "app-private.pem"),
                "alipay_public_key_file": str(folder / "alipay-public.pem"),
            }
        }


class InstalledCards:
    """The link to the simulated card host."""

    section = "card"

    def write_keys(self, folder: Path, ca: LocalCa) -> None:
        write_private(folder / "link-tmk.key", random_bytes(16).hex().encode())

    def sandbox_section(self, tuning: Tuning) -> dict[str, object]:
        return {
            "merchant_id": LINK_MERCHANT_ID,
            "terminal_id": LINK_TERMINAL_ID,
            "tmk": "file:link-tmk.key",
        }

    def account(
        self, folder: Path, tuning: Tuning, addresses: Addresses
    ) -> InstalledAccount | None:
        if "card_port" not in addresses:
            return None
        return InstalledAccount(
            account_id="card-1",
            channel="unionpay_card",
            settings={
                "host": addresses["card_host"],
                "port": str(addresses["card_port"]),
                "merchant_id": LINK_MERCHANT_ID,
                "terminal_id": LINK_TERMINAL_ID,
                "timeout_s": tuning.card_timeout_s,
            },
            secrets={"tmk": (folder / "link-tmk.key").read_bytes()},
        )

    def info(self, folder: Path, addresses: Addresses) -> dict[str, dict[str, object]]:
        return {
            "unionpay": {
                "card_host": addresses["card_host"],
                "card_port": addresses["card_port"],
            }
        }


CHANNELS: Final[tuple[InstalledChannel, ...]] = (
    InstalledAlipay(),
    InstalledWechat(),
    InstalledCards(),
    InstalledUnionPayQr(),
)
"""Every simulated channel, in the order of the configuration and the documents."""


def info_sections(folder: Path, addresses: Addresses) -> dict[str, dict[str, object]]:
    """The channels' part of ``sandbox`` in ``--info``; channels may share a section."""
    sections: dict[str, dict[str, object]] = {}
    for channel in CHANNELS:
        for name, content in channel.info(folder, addresses).items():
            sections.setdefault(name, {}).update(content)
    return sections

"""A whole installation in one folder, made from nothing: keys, CA, configuration.

Used by the demo, the tests and the benchmarks. Rules: everything is fresh and
random; the folder holds secrets, so it is the owner's alone.
"""

import datetime
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.accounts import seal_secrets
from gateway.cli.local_ca import make_server_certificate, private_pem, public_pem, write_private
from gateway.cli.session import Session
from gateway.directory import api_key_context, master_context
from gateway.sources import random_bytes
from gateway.store.port import Account, ApiKey, Merchant, Terminal
from signing.pos import CipherKey

MERCHANT_NO: Final = "M0001"
POS_MERCHANT_ID: Final = "990000000000001"
APP_ID: Final = "2021000000000001"
SELLER_ID: Final = "2088000000000001"
LINK_MERCHANT_ID: Final = "990000000000099"
LINK_TERMINAL_ID: Final = "99000099"


@dataclass(frozen=True, slots=True)
class InstalledTerminal:
    """A terminal and the master key it was given."""

    terminal_id: str
    tmk: str

    def __repr__(self) -> str:
        return f"InstalledTerminal({self.terminal_id!r})"


@dataclass(frozen=True, slots=True)
class InstalledKey:
    """An API key and its secret."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"InstalledKey({self.key_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What an installation is made for; the defaults are the demo's."""

    store_url: str = "sqlite:///posgate.db"
    till_wait_s: float = 45
    log_level: str = "info"
    tls: bool = True
    user_paying_after_s: float = 8
    recovery_interval_s: float = 0.5
    alipay_timeout_s: str = "5"
    alipay_query_after_s: str = "2,2,2,3,3,3"
    alipay_refund_retry_s: str = "2,5,15,60,300"
    alipay_calls_per_s: str = "0"
    card_timeout_s: str = "4"


class Installation:
    """The folder's files, and what goes into its store."""

    def __init__(self, folder: Path, tuning: Tuning | None = None) -> None:
        self.folder = folder.resolve()
        self.tuning = tuning or Tuning()
        self.config_file = self.folder / "config.yaml"
        self.ca_file = self.folder / "ca.pem"

    def write(self) -> None:
        """Make keys, certificates and ``config.yaml``."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.folder / "master.key", random_bytes(32).hex().encode())
        write_private(self.folder / "link-tmk.key", random_bytes(16).hex().encode())
        for name in ("app", "alipay"):
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            write_private(self.folder / f"{name}-private.pem", private_pem(key))
            (self.folder / f"{name}-public.pem").write_bytes(public_pem(key))
        make_server_certificate(self.folder, datetime.datetime.now(datetime.UTC))
        self.config_file.write_text(yaml.safe_dump(self._config(), sort_keys=False))

    def _config(self) -> dict[str, object]:
        tuning = self.tuning
        http: dict[str, object] = {"port": free_port()}
        if tuning.tls:
            http["tls"] = {"certificate_file": "server.pem", "key_file": "server-key.pem"}
        return {
            "store": {"url": tuning.store_url},
            "keys": {"master_key": "file:master.key"},
            "pos": {"port": free_port()},
            "http": http,
            "payments": {"till_wait_s": tuning.till_wait_s},
            "recovery": {"interval_s": tuning.recovery_interval_s},
            "notifications": {"allow_http": True, "allow": ["127.0.0.0/8", "::1", "localhost"]},
            "logs": {"level": tuning.log_level, "format": "json"},
            "sandbox": {
                "user_paying_after_s": tuning.user_paying_after_s,
                "alipay": {
                    "app_id": APP_ID,
                    "seller_id": SELLER_ID,
                    "app_public_key_file": "app-public.pem",
                    "alipay_private_key": "file:alipay-private.pem",
                },
                "card": {
                    "merchant_id": LINK_MERCHANT_ID,
                    "terminal_id": LINK_TERMINAL_ID,
                    "tmk": "file:link-tmk.key",
                },
            },
        }

    async def provision(
        self, session: Session, *, gateway_url: str, card_host: str, card_port: int, terminals: int
    ) -> tuple[InstalledKey, list[InstalledTerminal]]:
        """Put a merchant, its API key, its terminals and both channel accounts into the store."""
        now_ms = session.clock.now_ms()
        merchant = Merchant(
            merchant_no=MERCHANT_NO,
            name="Corner Shop",
            pos_merchant_id=POS_MERCHANT_ID,
            created_at_ms=now_ms,
        )
        await session.store.add_merchant(merchant)
        key = await self._api_key(session, now_ms)
        made = [
            _terminal(session, f"{99100001 + number}", random_bytes(16), now_ms)
            for number in range(terminals)
        ]
        await session.store.add_terminals([terminal for terminal, _ in made])
        installed = [terminal for _, terminal in made]
        await self._accounts(session, gateway_url, card_host, card_port, now_ms)
        return key, installed

    async def _api_key(self, session: Session, now_ms: int) -> InstalledKey:
        key = InstalledKey(session.ids.new("key_"), random_bytes(32).hex())
        await session.store.add_api_key(
            ApiKey(
                key_id=key.key_id,
                merchant_no=MERCHANT_NO,
                secret_sealed=session.sealer.seal(key.secret.encode(), api_key_context(key.key_id)),
                created_at_ms=now_ms,
            )
        )
        return key

    async def _accounts(
        self, session: Session, gateway_url: str, card_host: str, card_port: int, now_ms: int
    ) -> None:
        alipay_settings = {
            "gateway_url": gateway_url,
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "timeout_s": self.tuning.alipay_timeout_s,
            "query_after_s": self.tuning.alipay_query_after_s,
            "refund_retry_s": self.tuning.alipay_refund_retry_s,
            "calls_per_s": self.tuning.alipay_calls_per_s,
        }
        alipay_secrets = {
            "app_private_key": (self.folder / "app-private.pem").read_bytes(),
            "alipay_public_key": (self.folder / "alipay-public.pem").read_bytes(),
        }
        card_settings = {
            "host": card_host,
            "port": str(card_port),
            "merchant_id": LINK_MERCHANT_ID,
            "terminal_id": LINK_TERMINAL_ID,
            "timeout_s": self.tuning.card_timeout_s,
        }
        card_secrets = {"tmk": (self.folder / "link-tmk.key").read_bytes()}
        for account_id, channel, settings, secrets in (
            ("alipay-1", "alipay", alipay_settings, alipay_secrets),
            ("card-1", "unionpay_card", card_settings, card_secrets),
        ):
            await session.store.add_account(
                Account(
                    account_id=account_id,
                    channel=channel,
                    merchant_no="",
                    settings_json=_json(settings),
                    secrets_sealed=seal_secrets(session.sealer, account_id, secrets),
                    created_at_ms=now_ms,
                )
            )


def _terminal(
    session: Session, terminal_id: str, tmk: bytes, now_ms: int
) -> tuple[Terminal, InstalledTerminal]:
    """As the store holds it, and as its owner does."""
    terminal = Terminal(
        merchant_no=MERCHANT_NO,
        terminal_id=terminal_id,
        key_scheme="3des",
        mac="cup-ecb",
        allow_weak_pin=False,
        tmk_sealed=session.sealer.seal(tmk, master_context(MERCHANT_NO, terminal_id)),
        tmk_kcv=CipherKey(tmk).kcv().hex().upper(),
        created_at_ms=now_ms,
    )
    return terminal, InstalledTerminal(terminal_id, tmk.hex().upper())


def _json(settings: dict[str, str]) -> str:
    return orjson.dumps(settings).decode()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

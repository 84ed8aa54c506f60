"""A whole installation in one folder, made from nothing: keys, CA, configuration.

Used by the demo, the tests and the benchmarks. Rules: everything is fresh and
random; the folder holds secrets, so it is the owner's alone.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import yaml

from domain.qr_code import RANDOM_BYTES, qr_code_id, qr_code_url
from gateway.accounts import seal_secrets
from gateway.cli.free_ports import free_ports
from gateway.cli.installed_account import Addresses
from gateway.cli.installed_channels import CHANNELS
from gateway.cli.local_ca import LocalCa, write_private
from gateway.cli.session import Session
from gateway.cli.tuning import Tuning
from gateway.config import load
from gateway.directory import api_key_context, master_context
from gateway.sources import random_bytes
from gateway.store.port import Account, ApiKey, Merchant, Terminal
from gateway.store.shop_records import QrCode
from signing.pos import CipherKey

MERCHANT_NO: Final = "M0001"
POS_MERCHANT_ID: Final = "990000000000001"


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
        ca = LocalCa(datetime.datetime.now(datetime.UTC))
        ca.write_server_certificate(self.folder)
        for channel in CHANNELS:
            channel.write_keys(self.folder, ca)
        self.config_file.write_text(yaml.safe_dump(self._config(), sort_keys=False))

    def _config(self) -> dict[str, object]:
        tuning = self.tuning
        port, pos_port = free_ports(2)
        scheme = "https" if tuning.tls else "http"
        http: dict[str, object] = {"port": port, "public_url": f"{scheme}://127.0.0.1:{port}"}
        if tuning.tls:
            http["tls"] = {"certificate_file": "server.pem", "key_file": "server-key.pem"}
        return {
            "store": {"url": tuning.store_url},
            "keys": {"master_key": "file:master.key"},
            "pos": {"port": pos_port},
            "http": http,
            "payments": {"till_wait_s": tuning.till_wait_s},
            "recovery": {"interval_s": tuning.recovery_interval_s},
            "notifications": {"allow_http": True, "allow": ["127.0.0.0/8", "::1", "localhost"]},
            "channels": {"ca_file": "ca.pem"},
            "logs": {"level": tuning.log_level, "format": "json"},
            "sandbox": {
                "user_paying_after_s": tuning.user_paying_after_s,
                **{channel.section: channel.sandbox_section(tuning) for channel in CHANNELS},
                "wallets": {"port": 0},
            },
        }

    async def provision(
        self, session: Session, *, channels: Addresses, terminals: int
    ) -> tuple[InstalledKey, list[InstalledTerminal]]:
        """Put a merchant, its API key, its terminals and an account for each channel into the store.

        ``channels`` are the sandbox's addresses; a channel that has none gets no account.
        """
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
        await self._accounts(session, channels, now_ms)
        return key, installed

    async def print_code(self, session: Session) -> str:
        """A code of the merchant's counter, whose payers type the amount; what a phone scans."""
        code = QrCode(
            code_id=qr_code_id(random_bytes(RANDOM_BYTES)),
            merchant_no=MERCHANT_NO,
            store_id="",
            terminal_id="",
            name="Corner Shop",
            amount_fen=0,
            created_at_ms=session.clock.now_ms(),
        )
        await session.store.add_qr_code(code)
        return qr_code_url(load(self.config_file).config.http.public_url, code.code_id)

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

    async def _accounts(self, session: Session, addresses: Addresses, now_ms: int) -> None:
        for channel in CHANNELS:
            account = channel.account(self.folder, self.tuning, addresses)
            if account is None:
                continue
            sealed = seal_secrets(session.sealer, account.account_id, account.secrets)
            await session.store.add_account(
                Account(
                    account_id=account.account_id,
                    channel=account.channel,
                    merchant_no="",
                    settings_json=orjson.dumps(account.settings).decode(),
                    secrets_sealed=sealed,
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

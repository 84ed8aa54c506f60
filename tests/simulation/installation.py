"""A provisioned gateway to copy for every seed: keys, configuration, a migrated database.

Rules: nothing in it is random, so that a seed replays exactly in another process; RSA
keys have 1,024 bits, because signing is what a simulated payment would mostly cost
otherwise (``small_keys`` lowers the product's bound, in this process alone).
"""

import asyncio
import hashlib
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

import signing.rsa
from gateway.accounts import seal_secrets
from gateway.config import Config, LoadedConfig
from gateway.directory import api_key_context, master_context
from gateway.store.migrate import migrate
from gateway.store.options import StoreOptions
from gateway.store.port import Account, ApiKey, Merchant, Store, Terminal
from sandbox.config import AlipaySandboxConfig, CardHostConfig, CardLink, SandboxConfig
from signing.keywrap import Sealer
from signing.pos import CipherKey
from tests.simulation.store_faults import bare_store

MERCHANT_NO = "M0001"
POS_MERCHANT_ID = "990000000000001"
APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"
LINK_MERCHANT_ID = "990000000000099"
LINK_TERMINAL_ID = "99000099"
KEY_ID = "key_simulated"
MOST_TERMINALS = 5
_KEY_BITS = 512


def secret(name: str, count: int = 32) -> bytes:
    """A secret of the installation, always the same."""
    return hashlib.sha256(f"simulated {name}".encode()).digest()[:count]


API_SECRET = secret("api").hex()


@dataclass(frozen=True)
class Installation:
    """What every seed starts from."""

    loaded: LoadedConfig
    database: sqlite3.Connection
    sandbox: SandboxConfig
    terminals: Sequence[str]

    def fresh_database(self) -> sqlite3.Connection:
        """A copy of the provisioned database, in memory."""
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.database.backup(copy)
        copy.execute("PRAGMA foreign_keys = ON")
        return copy


def small_keys() -> None:
    """Let this process use RSA keys that no product would, and parse each of them once."""
    vars(signing.rsa)["LEAST_BITS"] = _KEY_BITS
    parse = lru_cache(maxsize=8)(load_pem_private_key)
    vars(signing.rsa)["load_pem_private_key"] = parse


def _prime(rng: random.Random) -> int:
    """A prime of half the bits with e = 65537 coprime to what precedes it."""
    while True:
        number = rng.getrandbits(_KEY_BITS // 2) | 1 | (3 << (_KEY_BITS // 2 - 2))
        if number % 65537 == 1 or any(number % small == 0 for small in (3, 5, 7, 11, 13, 17)):
            continue
        if all(pow(rng.randrange(2, number), number - 1, number) == 1 for _ in range(20)):
            return number


def _rsa_key(name: str) -> rsa.RSAPrivateKey:
    rng = random.Random(f"simulated {name}")
    p, q = _prime(rng), _prime(rng)
    e, d = 65537, pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def tmk(terminal_id: str) -> bytes:
    """The master key of a terminal."""
    return secret(f"tmk {terminal_id}", 16)


@lru_cache(maxsize=1)
def installation() -> Installation:
    """Made once in a process."""
    small_keys()
    folder = Path(tempfile.mkdtemp(prefix="posgate-simulation-"))
    (folder / "master.key").write_text(secret("master").hex())
    file = folder / "template.db"
    asyncio.run(migrate(f"sqlite:///{file}"))
    template = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with sqlite3.connect(file) as migrated:
        migrated.backup(template)
    app, alipay = _rsa_key("app"), _rsa_key("alipay")
    terminals = tuple(str(99100001 + number) for number in range(MOST_TERMINALS))
    rng = random.Random("simulated seals")
    sealer = Sealer(secret("master"), rng.randbytes)
    store = bare_store(template, StoreOptions(inline=True))
    asyncio.run(_provision(store, sealer, terminals, _private_pem(app), _public_pem(alipay)))
    sandbox = SandboxConfig(
        user_paying_after_s=8,
        max_orders=100_000,
        alipay=AlipaySandboxConfig(
            app_id=APP_ID,
            seller_id=SELLER_ID,
            app_public_key_pem=_public_pem(app),
            alipay_private_key_pem=_private_pem(alipay),
        ),
        card=CardHostConfig(
            links=(
                CardLink(
                    merchant_id=LINK_MERCHANT_ID,
                    terminal_id=LINK_TERMINAL_ID,
                    tmk=secret("link", 16),
                ),
            )
        ),
    )
    return Installation(LoadedConfig(_config(45.0), folder), template, sandbox, terminals)


def loaded_config(till_wait_s: float) -> LoadedConfig:
    """The configuration of one seed."""
    return LoadedConfig(_config(till_wait_s), installation().loaded.folder)


@lru_cache(maxsize=8)
def _config(till_wait_s: float) -> Config:
    return Config.model_validate(
        {
            "store": {"url": "sqlite:///nowhere.db"},
            "keys": {"master_key": "file:master.key"},
            "payments": {"till_wait_s": till_wait_s},
            "recovery": {"interval_s": 4.0, "lease_s": 20.0},
            "notifications": {"interval_s": 5.0},
            "checkouts": {"interval_s": 5.0},
            "http": {"public_url": "https://pay.example"},
        }
    )


async def _provision(
    store: Store, sealer: Sealer, terminals: Sequence[str], app_pem: bytes, alipay_pem: bytes
) -> None:
    await store.add_merchant(
        Merchant(
            merchant_no=MERCHANT_NO,
            name="Corner Shop",
            pos_merchant_id=POS_MERCHANT_ID,
            created_at_ms=1,
        )
    )
    await store.add_api_key(
        ApiKey(
            key_id=KEY_ID,
            merchant_no=MERCHANT_NO,
            secret_sealed=sealer.seal(API_SECRET.encode(), api_key_context(KEY_ID)),
            created_at_ms=1,
        )
    )
    for terminal_id in terminals:
        key = tmk(terminal_id)
        await store.add_terminal(
            Terminal(
                merchant_no=MERCHANT_NO,
                terminal_id=terminal_id,
                key_scheme="3des",
                mac="cup-ecb",
                allow_weak_pin=False,
                tmk_sealed=sealer.seal(key, master_context(MERCHANT_NO, terminal_id)),
                tmk_kcv=CipherKey(key).kcv().hex().upper(),
                created_at_ms=1,
            )
        )
    alipay = {
        "gateway_url": "https://alipay.example/gateway.do",
        "app_id": APP_ID,
        "seller_id": SELLER_ID,
        "timeout_s": "5",
        "query_after_s": "2,3,4,5,6,7,8",
    }
    card = {
        "host": "card.example",
        "port": "9003",
        "merchant_id": LINK_MERCHANT_ID,
        "terminal_id": LINK_TERMINAL_ID,
        "timeout_s": "6",
    }
    for account_id, channel, settings, secrets in (
        (
            "alipay-1",
            "alipay",
            alipay,
            {"app_private_key": app_pem, "alipay_public_key": alipay_pem},
        ),
        ("card-1", "unionpay_card", card, {"tmk": secret("link", 16)}),
    ):
        await store.add_account(
            Account(
                account_id=account_id,
                channel=channel,
                merchant_no="",
                settings_json=orjson.dumps(settings).decode(),
                secrets_sealed=seal_secrets(sealer, account_id, secrets),
                created_at_ms=1,
            )
        )


def limit_store(connection: sqlite3.Connection, store_id: str, daily_fen: int) -> None:
    """Limit what a store of the only merchant takes in a day."""
    connection.execute(
        "INSERT INTO limits (merchant_no, store_id, single_fen, daily_fen, small_fen, opens_min, "
        "closes_min, updated_at_ms) SELECT merchant_no, ?, 0, ?, 0, 0, 0, 1 FROM merchants",
        (store_id, daily_fen),
    )

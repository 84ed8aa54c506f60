"""A whole gateway on virtual time, its database in memory, its channels with books of their own.

Rules: everything from the POS connection to the store is the product; nothing listens, no
thread runs, and one run is like the other, byte for byte.
"""

import asyncio
import random
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson
import pytest
import structlog

from channels.port import ChannelPlugin, HttpRequest, HttpResponse, NotSent
from domain.ids import RANDOM_BYTES, number
from gateway.accounts import seal_secrets
from gateway.bootstrap import Gateway, Seams
from gateway.config import Config, LoadedConfig
from gateway.directory import master_context
from gateway.keys import open_sealer
from gateway.logs import Log
from gateway.store.options import StoreOptions
from gateway.store.port import Account, Merchant, Store, Terminal
from gateway.store.sqlite import SqliteStore
from signing.pos import CipherKey
from tests.gateway.pos.moody_channel import MoodyChannel
from tests.simulation.clock_loop import ClockLoop

MERCHANT_NO = "M0001"
POS_MERCHANT_ID = "990000000000001"
TERMINAL_ID = "99100001"
TMK = bytes(range(1, 17))
START_MS = 1_795_050_000_000
"""A morning in Beijing (2026-11-19)."""
LIMIT_S = 40_000.0
_T = TypeVar("_T")


class OpenDatabase:
    """The store's engine on a connection that is open already and stays so."""

    def __init__(self, engine: Any, connection: sqlite3.Connection) -> None:
        engine._connection = connection
        self._engine = engine

    async def open(self) -> None:
        """It is."""

    async def close(self) -> None:
        """It stays open."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def store_on(connection: sqlite3.Connection, log: Log) -> Store:
    """The real store over ``connection``."""
    store = SqliteStore(Path("/nowhere"), StoreOptions(inline=True), log)
    database = OpenDatabase(store._database, connection)
    store._database = cast("Any", database)
    store._lane._applier = cast("Any", database)
    return store


class Template:
    """A provisioned database and its configuration, to be copied for every run."""

    def __init__(self, folder: Path, migrated: Path) -> None:
        (folder / "master.key").write_text(bytes(range(32)).hex())
        config = Config.model_validate(
            {
                "store": {"url": "sqlite:///nowhere.db"},
                "keys": {"master_key": "file:master.key"},
                "recovery": {"interval_s": 4.0, "lease_s": 20.0},
                "notifications": {"interval_s": 60.0},
            }
        )
        self.loaded = LoadedConfig(config, folder)
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with sqlite3.connect(migrated) as file:
            file.backup(self._database)
        asyncio.run(self._provision(folder))

    async def _provision(self, folder: Path) -> None:
        store = store_on(self._database, structlog.get_logger())
        sealer = open_sealer("file:master.key", folder, random.Random("seals").randbytes)
        await store.add_merchant(
            Merchant(
                merchant_no=MERCHANT_NO,
                name="Corner Shop",
                pos_merchant_id=POS_MERCHANT_ID,
                created_at_ms=1,
            )
        )
        await store.add_terminal(
            Terminal(
                merchant_no=MERCHANT_NO,
                terminal_id=TERMINAL_ID,
                key_scheme="3des",
                mac="cup-ecb",
                allow_weak_pin=False,
                tmk_sealed=sealer.seal(TMK, master_context(MERCHANT_NO, TERMINAL_ID)),
                tmk_kcv=CipherKey(TMK).kcv().hex().upper(),
                created_at_ms=1,
            )
        )
        for account_id, channel in (("wallet-1", "alipay"), ("card-1", "unionpay_card")):
            await store.add_account(
                Account(
                    account_id=account_id,
                    channel=channel,
                    merchant_no="",
                    settings_json=orjson.dumps({}).decode(),
                    secrets_sealed=seal_secrets(sealer, account_id, {}),
                    created_at_ms=1,
                )
            )

    def copy(self) -> sqlite3.Connection:
        """A fresh copy."""
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._database.backup(copy)
        copy.execute("PRAGMA foreign_keys = ON")
        return copy


@pytest.fixture(scope="module")
def template(installation_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A provisioned gateway to start from."""
    return Template(tmp_path_factory.mktemp("corner-shop"), installation_template / "posgate.db")


class DefectLog:
    """Keeps what only a defect of the gateway can say."""

    def __init__(self) -> None:
        self.defects: list[str] = []

    def bind(self, **_: object) -> "DefectLog":
        return self

    def info(self, event: str, **fields: object) -> None:
        """Said to nobody."""

    debug = warning = warn = error = info

    def exception(self, event: str, **fields: object) -> None:
        self.defects.append(f"{event}: {sys.exc_info()[1]!r} {fields}")


class LoopClock:
    """The clock of the loop."""

    def __init__(self, loop: ClockLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return START_MS + int(self._loop.time() * 1000)

    def monotonic_s(self) -> float:
        return self._loop.time()


class CountedIds:
    """Numbers that are the same in every run."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self._rng = random.Random("ids")

    def new(self, prefix: str = "") -> str:
        return prefix + number(self._clock.now_ms(), self._rng.randbytes(RANDOM_BYTES))


class CornerShop:
    """One gateway, from its start to its end."""

    def __init__(self, template: Template) -> None:
        # what the loop leaves abstract (sockets, signals, processes) is never called
        self.loop = ClockLoop()  # type: ignore[abstract]
        self.connection = template.copy()
        self.cards = MoodyChannel("C", is_card=True)
        self.wallets = MoodyChannel("W", is_card=False)
        self.log = DefectLog()
        clock = LoopClock(self.loop)
        log = cast("Log", self.log)
        self.gateway = Gateway(
            template.loaded,
            Seams(
                clock=clock,
                ids=CountedIds(clock),
                random_bytes=random.Random("keys").randbytes,
                nonce_bytes=random.Random("nonces").randbytes,
                plugins=self._plugins,
                store=store_on(self.connection, log),
                send=_no_network,
                log=log,
            ),
        )

    def _plugins(self) -> Mapping[str, ChannelPlugin]:
        return {
            "alipay": ChannelPlugin("alipay", (), lambda account, services: self.wallets),
            "unionpay_card": ChannelPlugin(
                "unionpay_card", (), lambda account, services: self.cards
            ),
        }

    def run(self, day: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Open the doors and live through ``day``; the gateway itself had no fault."""

        async def whole() -> _T:
            await self.gateway.start_core()
            return await day()

        result = self.loop.run(whole(), LIMIT_S)
        assert self.log.defects == []
        assert self.loop.faults == []
        return result

    def close(self) -> None:
        """Let everything fall."""
        self.loop.close()
        self.connection.close()


async def _no_network(_: HttpRequest) -> HttpResponse:
    raise NotSent("there is no network here")

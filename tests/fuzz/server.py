"""A whole gateway for the fuzzer, but for its sockets: the door, its handlers and a store.

Rules: it never ends up elsewhere than it began, so one input gives the same run whatever
came before it: what an input changed (a sign-in, a settled batch) is put back. Nothing
the fuzzer says can have a right MAC, since nobody tells it a key; so no money may move.
"""

import asyncio
import atexit
import sqlite3
import tempfile
from collections.abc import Awaitable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from domain.ids import RANDOM_BYTES, number
from gateway.config import Config
from gateway.core import build_core
from gateway.directory import master_context
from gateway.ground import Ground
from gateway.metrics import Metrics
from gateway.pos.catalogue import read_catalogue
from gateway.routes import Route, Routes
from gateway.seams import Seams
from gateway.store.migrate import migrate
from gateway.store.options import StoreOptions
from gateway.store.port import Merchant, Terminal
from pos_protocol.codec import decode
from pos_protocol.fields.totals import ClassTotals, SettlementTotals
from pos_protocol.management_asks import settlement
from pos_protocol.message import Message
from pos_protocol.terminal import Request, TerminalIdentity, TerminalScheme
from pos_protocol.terminal import Terminal as Till
from signing.keywrap import Sealer
from signing.pos import CipherKey
from tests.gateway.fakes import RefundingChannel
from tests.simulation.store_faults import bare_store

MERCHANT: Final = "990000000000001"
SIGNED_IN: Final = ("99100001", "99100002")
"""The usual terminal, and one with every option otherwise."""
SETTLED: Final = SIGNED_IN[1]
NOT_SIGNED_IN: Final = "99100003"
BATCH: Final = "000001"
_NOW_MS: Final = 1_800_000_000_000
_FREE: Final = frozenset(("terminal_sessions", "batches", "batch_lines", "batch_differences"))
"""Tables that messages without a MAC may change: sign-ins, settlements and their uploads."""
_CONFIG: Final = {
    "store": {"url": "sqlite:///nowhere.db"},
    "keys": {"master_key": "file:master.key"},
}


class MoneyMoved(Exception):
    """A table of money changed, or a channel was called."""


class _Clock:
    """It stands still: nothing gets stale between two inputs."""

    def now_ms(self) -> int:
        return _NOW_MS

    def monotonic_s(self) -> float:
        return 1000.0


class _Ids:
    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def new(self, prefix: str = "") -> str:
        return prefix + number(_NOW_MS, self._rng.randbytes(RANDOM_BYTES))


class _Log:
    """Keeps what only a defect of ours says."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def bind(self, **_: object) -> "_Log":
        return self

    def info(self, _event: str, **_fields: object) -> None:
        """Nobody reads it."""

    debug = warning = warn = error = info

    def exception(self, event: str, **_fields: object) -> None:
        self.faults.append(event)


class _NoKeys:
    """What a terminal of the fuzzer knows of cryptography: nothing."""

    def unwrap_keys(self, _scheme: TerminalScheme, _keys: bytes) -> bool:
        return True

    def mac(self, _data: bytes) -> bytes:
        return b"0" * 8

    def pin_block(self, _pin: str, _pan: str) -> bytes:
        return bytes(8)


class FuzzedServer:
    """See the module."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._log = _Log()
        self.channel = RefundingChannel()
        self._template = _migrated()
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._template.backup(self.connection)
        self.run(self._build())
        self._begin_the_day()
        self.connection.backup(self._template)
        self._guarded = _counts(self._template)
        self._changes = self.connection.total_changes

    def run(self, work: Awaitable[Any]) -> Any:
        """Until it is done."""
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        """Leave no task behind."""
        self.run(self._lane.close())
        self._loop.close()

    async def _build(self) -> None:
        rng = Random("fuzzed server")
        sealer = Sealer(bytes(range(32)), rng.randbytes)
        store = bare_store(self.connection, StoreOptions(inline=True))
        self._lane = cast("Any", store)._lane
        self._lane.start()
        await _provision(store, sealer)
        config = Config.model_validate(_CONFIG)
        routes = Routes(
            [Route(name, name, "", True, self.channel) for name in ("unionpay_card", "alipay")]
        )
        core = build_core(
            Ground(
                config=config,
                seams=Seams(
                    clock=_Clock(),
                    ids=_Ids(rng),
                    random_bytes=rng.randbytes,
                    nonce_bytes=rng.randbytes,
                ),
                store=store,
                routes=routes,
                sealer=sealer,
                nonces=cast("Any", None),
                deliver=cast("Any", None),
                catalogue=read_catalogue(config.pos.downloads, Path),
                texts={},
                metrics=Metrics(),
                log=cast("Any", self._log),
            )
        )
        self.door, self.directory = core.pos_door, core.directory

    def _begin_the_day(self) -> None:
        """Two terminals sign in, and one settles: only then may it upload."""
        totals = SettlementTotals(ClassTotals(debit_fen=1990, debit_count=1))
        for terminal_id in SIGNED_IN:
            identity = TerminalIdentity(terminal_id=terminal_id, merchant_id=MERCHANT)
            till = Till(identity, _NoKeys())
            assert self._asked(till.sign_in()).text(39) == "00"
            till.batch = BATCH
            if terminal_id == SETTLED:
                assert self._asked(till.ask(settlement(totals, "001"))).text(48)

    def _asked(self, request: Request) -> Message:
        reply = self.run(self.door.handle(request.payload, request.message))
        return decode(reply)

    def answer(self, payload: bytes, message: Message) -> bytes | None:
        """What the door says.

        Raises:
            MoneyMoved: money moved without a key.
            RuntimeError: the door met a fault of ours.
        """
        reply: bytes | None = self.run(self.door.handle(payload, message))
        if self.channel.calls:
            self.channel.calls.clear()
            self._restore()
            raise MoneyMoved("a channel was called")
        if self.connection.total_changes != self._changes:
            changed = self._changed()
            self._restore()
            if changed:
                raise MoneyMoved(f"{changed} changed")
        if self._log.faults:
            events = ", ".join(self._log.faults)
            self._log.faults.clear()
            raise RuntimeError(f"the door says: {events}")
        return reply

    def _changed(self) -> str:
        counts = _counts(self.connection)
        return ", ".join(name for name in counts if counts[name] != self._guarded[name])

    def _restore(self) -> None:
        self._template.backup(self.connection)
        self._changes = self.connection.total_changes
        for terminal_id in (*SIGNED_IN, NOT_SIGNED_IN):
            self.directory.terminal_changed(MERCHANT, terminal_id)


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many rows each table has that nobody without a key may change."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {
        name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for (name,) in sorted(tables)
        if name not in _FREE and not name.startswith("sqlite_")
    }


async def _provision(store: Any, sealer: Sealer) -> None:
    await store.add_merchant(
        Merchant(merchant_no="M0001", name="Corner Shop", pos_merchant_id=MERCHANT, created_at_ms=1)
    )
    usual: dict[str, Any] = {"key_scheme": "3des", "mac": "cup-ecb"}
    other = {
        "mac": "x9.19",
        "options_json": '{"pad":"F","tpdu":"echo","f64":"raw","f60_digits":"14"}',
    }
    for terminal_id, more in ((SIGNED_IN[0], {}), (SIGNED_IN[1], other), (NOT_SIGNED_IN, {})):
        key = bytes(range(16))
        await store.add_terminal(
            Terminal(
                merchant_no="M0001",
                terminal_id=terminal_id,
                allow_weak_pin=False,
                tmk_sealed=sealer.seal(key, master_context("M0001", terminal_id)),
                tmk_kcv=CipherKey(key).kcv().hex().upper(),
                created_at_ms=1,
                **(usual | more),
            )
        )


def _migrated() -> sqlite3.Connection:
    """An empty store, in memory."""
    empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with tempfile.TemporaryDirectory(prefix="posgate-fuzz-") as folder:
        file = Path(folder) / "store.db"
        asyncio.run(migrate(f"sqlite:///{file}"))
        with sqlite3.connect(file) as migrated:
            migrated.backup(empty)
        migrated.close()
    return empty


@cache
def the_server() -> FuzzedServer:
    """This process's own; making it takes a second."""
    server = FuzzedServer()
    atexit.register(server.close)
    return server

"""The store of a simulated gateway: the real one on SQLite in memory, with a bad day.

Rules: the database lives in the scene, not in a gateway, so it survives every crash;
each statement and each commit takes a moment before and after, where a crash may hit;
it may fail before or after it was carried out, or hang. A dead gateway's handle does
nothing: that is the fence.
"""

import asyncio
import inspect
import sqlite3
from pathlib import Path
from typing import Any, cast

import structlog

from domain.errors import Unavailable
from gateway.logs import Log
from gateway.store.options import StoreOptions
from gateway.store.port import Store
from gateway.store.sqlite import SqliteStore
from tests.simulation.clock_loop import Owner
from tests.simulation.scene import Scene


def bare_store(connection: sqlite3.Connection, options: StoreOptions) -> Store:
    """The real store over ``connection``, without faults and without a committer."""
    log: Log = structlog.get_logger()
    store = SqliteStore(Path("/simulated"), options, log)
    store._database._connection = connection
    return store


class FaultyDatabase:
    """What stands between the real store and its engine; every call may go wrong."""

    def __init__(
        self, engine: Any, connection: sqlite3.Connection, scene: Scene, owner: Owner
    ) -> None:
        engine._connection = connection
        self._engine = engine
        self._scene = scene
        self._owner = owner
        self._rng = scene.source("store")

    async def open(self) -> None:
        """It is open."""

    async def close(self) -> None:
        """It stays open."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._engine, name)
        if not inspect.iscoroutinefunction(method):
            return method

        scene, owner, rng = self._scene, self._owner, self._rng

        async def call(*values: Any, **named: Any) -> Any:
            faults = scene.store_faults()
            if not owner.alive:
                raise Unavailable("a dead gateway has no store")
            await asyncio.sleep(faults.latency_s * rng.random())
            if scene.store_is_out():
                raise Unavailable("the store is away")
            dice = rng.random()
            hang_s = rng.random() * faults.hang_s if rng.random() < faults.hang else 0.0
            hangs_before = hang_s > 0 and rng.random() < 0.5
            if hangs_before:
                await asyncio.sleep(hang_s)
            if dice < faults.fail_before:
                raise Unavailable("the store failed")
            done = await method(*values, **named)
            if hang_s > 0 and not hangs_before:
                await asyncio.sleep(hang_s)
            if dice > 1 - faults.fail_after:
                raise Unavailable("the store failed, perhaps after the commit")
            return done

        self.__dict__[name] = call
        return call


def faulty_store(scene: Scene, owner: Owner, connection: sqlite3.Connection, log: Log) -> Store:
    """The store as one gateway has it."""
    store = SqliteStore(Path("/simulated"), StoreOptions(inline=True), log)
    database = FaultyDatabase(store._database, connection, scene, owner)
    store._database = cast("Any", database)
    store._lane._applier = cast("Any", database)
    return store

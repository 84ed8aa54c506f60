"""What the configuration bounds reaches the part that keeps to it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import gateway.bootstrap
import gateway.core
from gateway.bootstrap import Gateway
from gateway.cli.installation import Installation
from gateway.config import load
from gateway.logs import Log
from gateway.recovery import Recovery
from gateway.store.engine import store_for
from gateway.store.options import StoreOptions
from tests.support.gateway import Place


def test_the_store_gets_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``store.max_batch``, ``store.max_queued``, ``store.commit_interval_ms``."""
    place = Installation(tmp_path / "here")
    place.write()
    written = yaml.safe_load(place.config_file.read_text())
    written["store"] |= {"max_batch": 7, "max_queued": 77, "commit_interval_ms": 5}
    place.config_file.write_text(yaml.safe_dump(written))
    handed: list[StoreOptions] = []

    def noted(url: str, *, options: StoreOptions, log: Log) -> object:
        handed.append(options)
        return store_for(url, options=options, log=log)

    monkeypatch.setattr(gateway.bootstrap, "store_for", noted)
    Gateway(load(place.config_file))
    (options,) = handed
    assert (options.max_batch, options.max_queued, options.commit_interval_s) == (7, 77, 0.005)


async def test_recovery_gets_its_pace(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """``recovery.starts_per_s`` and the other bounds of that section."""
    place.configure(
        recovery={
            "starts_per_s": 123,
            "max_at_once": 45,
            "max_at_once_per_account": 6,
            "lease_s": 33.0,
            "interval_s": 0.5,
        }
    )
    handed: dict[str, object] = {}

    class Noted(Recovery):
        def __init__(self, **parts: Any) -> None:
            handed.update(parts)
            super().__init__(**parts)

    monkeypatch.setattr(gateway.core, "Recovery", Noted)
    async with place.gateway():
        pass
    bounds = ("starts_per_s", "max_at_once", "max_at_once_per_account", "lease_s", "interval_s")
    assert [handed[name] for name in bounds] == [123, 45, 6, 33.0, 0.5]

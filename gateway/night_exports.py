"""A day's files for finance staff, of every account's night that is matched by now.

Rules: each night that is done writes the whole day anew, so that the last one of a day leaves
it complete; the same nights make the same bytes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from gateway.archive_bills import night_folder
from gateway.batch_night import day_differences
from gateway.config import LoadedConfig
from gateway.store.port import Store
from reconciliation.day_figures import NightFolder, day_figures
from reconciliation.day_page import PAGE_NAME, day_page
from reconciliation.exports import differences_csv, summary_csv, write_files
from reconciliation.night_account import NightAccount
from reconciliation.night_records import (
    DifferenceState,
    Night,
    NightState,
    StoredDifference,
)
from reconciliation.workbook import workbook


class DayExporter:
    """Writes a day's files where the configuration says."""

    def __init__(self, store: Store, loaded: LoadedConfig) -> None:
        self._store = store
        self._loaded = loaded

    async def __call__(self, account: NightAccount, night: Night, folder: Path) -> None:
        await self.write(night.day)

    async def write(self, day: date) -> Path:
        """Everything that is known of the day by now."""
        nights = [
            replace(one, state=NightState.DONE)
            for one in await self._store.nights(day, day)
            if one.state in (NightState.MATCHED, NightState.POSTED, NightState.DONE)
        ]
        differences = [
            one
            for one in await day_differences(self._store, nights)
            if one.state is not DifferenceState.SUPERSEDED
        ]
        folders = await self._folders(nights)
        target = self._loaded.path(self._loaded.config.reconciliation.exports) / day.isoformat()
        await asyncio.to_thread(_write, target, nights, differences, day, folders)
        return target

    async def _folders(self, nights: Sequence[Night]) -> Sequence[NightFolder]:
        """Where each channel's night left its sums; terminals' batches have no channel."""
        channels = {one.account_id: one.channel for one in await self._store.accounts()}
        section = self._loaded.config.reconciliation
        made, kept = self._loaded.path(section.folder), self._loaded.path(section.archive)
        return [
            NightFolder(channels[one.account_id], night_folder(made, kept, one.account_id, one.day))
            for one in nights
            if one.account_id in channels
        ]


def _write(
    target: Path,
    nights: Sequence[Night],
    differences: Sequence[StoredDifference],
    day: date,
    folders: Sequence[NightFolder],
) -> None:
    files = {
        "summary.csv": summary_csv(nights),
        "differences.csv": differences_csv(differences),
        "reconciliation.xlsx": workbook(nights, differences),
        PAGE_NAME: day_page(day, day_figures(folders), differences),
    }
    write_files(target, files)

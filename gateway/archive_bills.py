"""Old nights' files into the archive: the bill as it came, and what was matched line by line.

Rules: only a night that is done, with no difference that somebody still decides about. Every
file is copied, read back and compared, then named in the manifest, then the night's folder is
removed; stopped anywhere, the next run does the same again. A report of an archived day reads
its files where they lie now (:func:`night_folder`).
"""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from gateway.archive_files import MANIFEST, ArchiveFault, file_sha256, sync_folders
from gateway.store.port import Store
from reconciliation.exports import write_whole
from reconciliation.night_records import DifferenceState, Night, NightState
from reconciliation.night_store import every_difference

BILLS: Final = "bills"
_PIECE: Final = 1 << 20


def night_folder(nights: Path, archive: Path, account_id: str, day: date) -> Path:
    """Where a night's files lie: where they were made, or in the archive."""
    made = nights / account_id / day.isoformat()
    return made if made.is_dir() else archive / BILLS / account_id / day.isoformat()


async def archive_nights(
    store: Store, nights: Path, archive: Path, before: date, left: Counter[str]
) -> int:
    """Archive the files of every night of before ``before`` that may go; how many went.

    Raises:
        ArchiveFault: a file could not be read back; its night stays where it is.
    """
    went = 0
    for night in await store.nights(date(1970, 1, 1), before - timedelta(days=1)):
        source = nights / night.account_id / night.day.isoformat()
        if not source.is_dir():
            continue
        if night.state is not NightState.DONE:
            left[f"night {night.state.value}"] += 1
        elif await _has_open_difference(store, night):
            left["night with open differences"] += 1
        else:
            target = archive / BILLS / night.account_id / night.day.isoformat()
            await asyncio.to_thread(move_night, source, target, night)
            went += 1
    return went


async def _has_open_difference(store: Store, night: Night) -> bool:
    async for one in every_difference(store, night.account_id, night.day):
        if one.state in _STILL_DECIDED:
            return True
    return False


_STILL_DECIDED: Final = frozenset(
    (DifferenceState.OPEN, DifferenceState.PROPOSED, DifferenceState.APPROVED)
)


def move_night(source: Path, target: Path, night: Night) -> None:
    """Copy, compare, record, and only then remove.

    Raises:
        ArchiveFault: a copy is not what it was copied from.
    """
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {}
    for file in _files(source):
        name = file.relative_to(source).as_posix()
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        _copy_whole(file, copy)
        digest = file_sha256(file)
        if file_sha256(copy) != digest:
            raise ArchiveFault(f"{copy}: read back, it is not what was copied")
        files[name] = {"sha256": digest, "bytes": file.stat().st_size}
    facts = {
        "account_id": night.account_id,
        "day": night.day.isoformat(),
        "bill_sha256": night.bill_sha256,
        "files": files,
    }
    text = json.dumps(facts, sort_keys=True, indent=1, ensure_ascii=False)
    write_whole(target / MANIFEST, text.encode())
    sync_folders(target, 4)
    shutil.rmtree(source)


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix != ".draft" and ".duckdb" not in file.name:
            yield file


def _copy_whole(file: Path, target: Path) -> None:
    """By rename, a piece at a time: a bill may be larger than the memory."""
    draft = target.with_name(f"{target.name}.draft")
    with file.open("rb") as given, draft.open("wb") as out:
        shutil.copyfileobj(given, out, _PIECE)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(target)

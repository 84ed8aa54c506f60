"""An archive's files: written whole, read again, and found to be what was meant.

Rules: each table is a Parquet file in a folder of the archive's own; ``manifest.json`` names
every file with its SHA-256, rows and sum of amounts, and is written last. A file counts only
once it was read back from the disk and holds the very rows that were given. The same rows make
the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import pyarrow as pa
import pyarrow.parquet

from gateway.store.archive_tables import ArchiveTable
from gateway.store.rows import Row
from reconciliation.exports import write_whole

MANIFEST: Final = "manifest.json"
_NUMBERS: Final = frozenset(
    ("version", "sequence", "line", "attempt_no", "attempts", "notices", "till_deadline_ms")
)
_BYTES: Final = frozenset(("body",))


class ArchiveFacts(TypedDict):
    """What a manifest says of its archive, beside the files."""

    name: str
    first_day: str
    last_day: str
    payments: int
    refunds: int


class ArchiveFault(Exception):
    """What was read back is not what was written; nothing is removed."""


def arrow_schema(table: ArchiveTable) -> pa.Schema:
    """The columns of a table's file: money and times are integers, the rest is text."""
    return pa.schema([pa.field(name, _kind(name)) for name in table.columns])


def _kind(name: str) -> Any:
    if name in _NUMBERS or name.endswith(("_fen", "_ms")):
        return pa.int64()
    return pa.binary() if name in _BYTES else pa.string()


def write_archive(
    folder: Path, rows: Mapping[ArchiveTable, Sequence[Row]], facts: ArchiveFacts
) -> str:
    """Write every table and then the manifest, each read back; the manifest's SHA-256.

    Raises:
        ArchiveFault: a file does not hold what was given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {}
    for table, given in rows.items():
        files[f"{table.name}.parquet"] = _write_table(folder, table, given)
    text = json.dumps({**facts, "files": files}, sort_keys=True, indent=1, ensure_ascii=False)
    write_whole(folder / MANIFEST, text.encode())
    sync_folders(folder, 3)
    check_archive(folder)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_table(folder: Path, table: ArchiveTable, rows: Sequence[Row]) -> dict[str, Any]:
    schema = arrow_schema(table)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema.names)
    arrays: list[Any] = [
        pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)
    ]
    meant = pa.Table.from_arrays(arrays, schema=schema)
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(meant, out, compression="zstd")
    file = folder / f"{table.name}.parquet"
    write_whole(file, bytes(out.getvalue().to_pybytes()))
    if not _holds(file, meant):
        raise ArchiveFault(f"{file}: read back, it is not what was written")
    amounts = meant.column("amount_fen").to_pylist() if "amount_fen" in schema.names else []
    return {"rows": len(rows), "amount_fen": sum(amounts), "sha256": file_sha256(file)}


def _holds(file: Path, meant: pa.Table) -> bool:
    try:
        return bool(pyarrow.parquet.read_table(file).equals(meant))
    except (OSError, ValueError):
        return False


def check_archive(folder: Path) -> Mapping[str, Any]:
    """The manifest of an archive whose every file has the hash and the rows that it names.

    Raises:
        ArchiveFault: one has not, or is not there.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        for name, said in manifest["files"].items():
            file = folder / name
            if file_sha256(file) != said["sha256"]:
                raise ArchiveFault(f"{file}: its bytes are not those of the manifest")
            if pyarrow.parquet.read_metadata(file).num_rows != said["rows"]:
                raise ArchiveFault(f"{file}: its rows are not those of the manifest")
    except (OSError, ValueError, KeyError) as fault:
        raise ArchiveFault(f"{folder}: {fault}") from fault
    return manifest


def sync_folders(folder: Path, levels: int) -> None:
    """Make the names of files durable: of the folder, and of those that were made for it."""
    for place in (folder, *list(folder.parents)[: levels - 1]):
        opened = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def manifest_sha256(folder: Path) -> str:
    """The hash of an archive's manifest."""
    return file_sha256(folder / MANIFEST)


def read_rows(folder: Path, table: ArchiveTable, owner: str) -> list[dict[str, Any]]:
    """A table's rows of one owner (a payment, or a refund of ``refund_events``)."""
    file = folder / f"{table.name}.parquet"
    found = pyarrow.parquet.read_table(file, filters=[(table.owner, "=", owner)])
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def file_sha256(file: Path) -> str:
    """The hash of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

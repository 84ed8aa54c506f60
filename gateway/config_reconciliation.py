"""The configuration of nightly reconciliation."""

from typing import Annotated

from pydantic import Field

from gateway.config_section import Section

_Ppm = Annotated[int, Field(ge=0, le=1_000_000)]


class AccountRateSection(Section):
    """What a channel account's contract says of its fee."""

    rate_ppm: _Ppm
    """Parts per million of an amount: 6000 is 0.6 %."""
    unit_mfen: Annotated[int, Field(ge=1, le=1000)] = 1000
    """To what a payment's fee is rounded, in thousandths of a fen: 1000 is a fen."""
    tolerance_mfen: Annotated[int, Field(ge=0, le=1_000_000)] = 500
    """By how much a billed fee may differ before it is a difference."""


class ReconciliationSection(Section):
    """The nightly match: its files, its patience, and what it may take of the machine."""

    enabled: bool = False
    """Whether `posgate serve` runs due nights by itself, on one node at a time."""
    folder: str = "data/reconciliation"
    """Bills and working files; of several nodes all see the same folder."""
    exports: str = "data/exports"
    """Where finished exports are put, a folder for each day."""
    archive: str = "data/archive"
    """Where old payments and bills go (`posgate archive`); of several nodes all see it."""
    keep_days: Annotated[int, Field(ge=31, le=36_600)] = 400
    """How many days stay in the store; `posgate archive` refuses to take younger ones."""
    carry_days: Annotated[int, Field(ge=0, le=31)] = 3
    """How long an entry of one side waits for the other before it is a difference."""
    catch_up_days: Annotated[int, Field(ge=1, le=366)] = 7
    """How many days back a node looks for nights that are not done."""
    memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = 2048
    """Memory of the match; beyond it it spills to disk."""
    spill_mb: Annotated[int, Field(ge=64, le=10_000_000)] = 20_480
    """How much it may spill."""
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Threads of the match."""
    rates: dict[str, AccountRateSection] = {}  # noqa: RUF012 a model copies its defaults
    """By account: what its fee should be; an account that is not here has its fees unchecked."""

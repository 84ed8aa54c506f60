"""Channel time is Beijing's and API time UTC, whatever the machine's TZ says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.clock import beijing, beijing_texts, iso_utc

ROOT = Path(__file__).resolve().parents[2]
NOON_MS = 1_795_320_000_042
"""2026-11-22 12:00:00.042 in Beijing."""


def test_beijing_is_eight_hours_ahead() -> None:
    local = beijing(NOON_MS)
    assert f"{local:%Y-%m-%d %H:%M:%S %z}" == "2026-11-22 12:00:00 +0800"
    assert beijing_texts(NOON_MS) == ("120000", "1122")


def test_an_api_time_has_milliseconds_and_a_z() -> None:
    assert iso_utc(NOON_MS) == "2026-11-22T04:00:00.042Z"
    assert iso_utc(0) == "1970-01-01T00:00:00.000Z"


def test_the_day_changes_at_beijings_midnight() -> None:
    """Sixteen o'clock UTC."""
    midnight_ms = NOON_MS - NOON_MS % 1000 + 12 * 3_600_000
    assert beijing_texts(midnight_ms - 1) == ("235959", "1122")
    assert beijing_texts(midnight_ms) == ("000000", "1123")


@given(st.integers(0, 4_102_444_800_000))
def test_nothing_is_rounded_up(time_ms: int) -> None:
    """A millisecond before the second is still the second before."""
    assert beijing(time_ms).timestamp() == time_ms // 1000
    assert iso_utc(time_ms)[-5:] == f".{time_ms % 1000:03d}Z"[-5:]
    assert beijing_texts(time_ms)[0] == f"{beijing(time_ms):%H%M%S}"


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Asia/Shanghai", "Pacific/Kiritimati", "XYZ-3"]
)
def test_the_machines_zone_never_shows(zone: str) -> None:
    """The same text under every TZ."""
    code = f"from domain.clock import *;print(beijing({NOON_MS}),beijing_texts({NOON_MS}),iso_utc({NOON_MS}))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": zone},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == ("2026-11-22 12:00:00+08:00 ('120000', '1122') 2026-11-22T04:00:00.042Z")

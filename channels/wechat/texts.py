"""Texts and times as WeChat Pay writes them: Beijing's, whatever this machine's zone is.

Rules: a time that is not one is 0; a text is cut by its bytes, between characters, and is
never empty. Reference ``channels.md`` §0, hole 6.
"""

import re
from datetime import datetime
from typing import Final

from domain.clock import BEIJING, beijing

_V2_TIME: Final = re.compile(r"[0-9]{14}")
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_WORD: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def v2_time_ms(text: str) -> int:
    """``20141111170043`` in Beijing as ms since the epoch."""
    if _V2_TIME.fullmatch(text) is None:
        return 0
    try:
        local = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        return int(local.timestamp()) * 1000
    except (ValueError, OverflowError):
        return 0


def v3_time_ms(text: str) -> int:
    """RFC 3339 as ms since the epoch."""
    if _RFC3339.fullmatch(text) is None:
        return 0
    try:
        return max(int(datetime.fromisoformat(text).timestamp()), 0) * 1000
    except (ValueError, OverflowError):
        return 0


def v3_time(time_ms: int) -> str:
    """``2026-11-22T15:15:37+08:00``."""
    return f"{beijing(time_ms):%Y-%m-%dT%H:%M:%S}+08:00"


def cut_bytes(text: str, most: int) -> str:
    """``text`` without controls, at most ``most`` bytes of UTF-8."""
    clean = _CONTROLS.sub(" ", text).strip()
    return clean.encode()[:most].decode(errors="ignore").strip() or "Payment"


def code_word(text: str) -> str:
    """A code or a state for a log; what does not look like one is not shown."""
    return text if _WORD.fullmatch(text) else ""

"""The language of a page, by what the browser prefers (RFC 9110 §12.5.4). Pure."""

import enum
from typing import Final


class Language(enum.Enum):
    """The languages that pages are written in; the value goes into ``<html lang>``."""

    ZH = "zh-CN"
    EN = "en"


_MOST: Final = 16
"""Preferences that are looked at; a real browser sends a handful."""
_LONGEST: Final = 512


def preferred(accept_language: str) -> Language:
    """Chinese where it is liked at least as well as English, or where nothing is said."""
    liked = {Language.ZH: 0.0, Language.EN: 0.0}
    said = accept_language[:_LONGEST].split(",")[:_MOST]
    for part in said:
        name, _, weight = part.strip().partition(";")
        language = Language.ZH if name.lower().startswith("zh") else Language.EN
        if name:
            liked[language] = max(liked[language], _weight(weight))
    return Language.ZH if liked[Language.ZH] >= liked[Language.EN] else Language.EN


def _weight(text: str) -> float:
    """``q=0.8`` → 0.8; what cannot be read is not liked."""
    if not text.strip():
        return 1.0
    name, _, value = text.strip().partition("=")
    digits = value.replace(".", "", 1)
    if name != "q" or not (digits.isascii() and digits.isdigit()):
        return 0.0
    return min(1.0, float(value))

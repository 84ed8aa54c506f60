"""Text of the wire: ASCII, or GBK where a host writes for people (F43, F44, F57–F59, F63).

Rule: every byte string has exactly one text, and that text gives the bytes back,
so that a message can be echoed byte for byte. A byte that is no GBK stands as a
lone surrogate (U+DC80–U+DCFF); :func:`printable` removes it before anybody reads.
"""


def from_bytes(raw: bytes) -> str:
    """The text of ``raw``; never fails."""
    if raw.isascii():
        return raw.decode("ascii")
    return raw.decode("gbk", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes of ``text``; raises ``UnicodeEncodeError`` for what GBK cannot write."""
    if text.isascii():
        return text.encode("ascii")
    return text.encode("gbk", "surrogateescape")


def printable(text: str) -> str:
    """``text`` for an eye or a log: nothing that moves a cursor or fails to encode."""
    return "".join(char if _is_harmless(char) else "\N{REPLACEMENT CHARACTER}" for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or char == "\N{IDEOGRAPHIC SPACE}"

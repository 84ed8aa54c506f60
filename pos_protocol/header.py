"""The six header bytes (reference §1): opaque, but for one nibble that the host sets.

Before them some terminals have a routing block of 14 bytes, and some have no header.
"""

import enum
from typing import Final

from pos_protocol.errors import CodecError

HEADER_BYTES: Final = 6
_INSTRUCTION_BYTE: Final = 2
_SIZES: Final = (HEADER_BYTES, 20, 0)


class HostInstruction(enum.IntEnum):
    """What nibble index 5 of an answer's header tells the terminal to do next."""

    NONE = 0
    DOWNLOAD_PARAMETERS = 1
    UPLOAD_STATUS = 2
    SIGN_IN_AGAIN = 3
    DOWNLOAD_PUBLIC_KEYS = 4
    DOWNLOAD_IC_PARAMETERS = 5
    UPDATE_PROGRAM = 6
    DOWNLOAD_BLACK_LIST = 7
    DOWNLOAD_CONTACTLESS_PARAMETERS = 9


def with_instruction(header: bytes, instruction: int) -> bytes:
    """The header with its processing requirement replaced by ``instruction`` (0–15).

    A routing block before it stays; a terminal that has no header cannot be told
    anything, and nothing comes back for it.

    Raises:
        CodecError: not a header, or no nibble.
    """
    if len(header) not in _SIZES or not 0 <= instruction <= 15:
        raise CodecError(0, -1, "a header is 6 bytes, an instruction one nibble")
    if not header:
        return header
    at = len(header) - HEADER_BYTES + _INSTRUCTION_BYTE
    octet = header[at] & 0xF0 | instruction
    if octet == header[at]:
        return header
    return header[:at] + bytes([octet]) + header[at + 1 :]


def instruction_of(header: bytes) -> int:
    """What the host asks for; 0 without a header."""
    return header[_INSTRUCTION_BYTE - HEADER_BYTES] & 0x0F if len(header) in _SIZES[:2] else 0


def instruction_named(header: bytes) -> HostInstruction | None:
    """The same in words, ``None`` for a nibble that no source explains."""
    nibble = instruction_of(header)
    return next((one for one in HostInstruction if one == nibble), None)

"""The six header bytes (reference §1): opaque, but for one nibble that the host sets."""

import enum
from typing import Final

from pos_protocol.errors import CodecError

HEADER_BYTES: Final = 6
_INSTRUCTION_BYTE: Final = 2


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

    Raises:
        CodecError: not six bytes, or no nibble.
    """
    if len(header) != HEADER_BYTES or not 0 <= instruction <= 15:
        raise CodecError(0, -1, "a header is 6 bytes, an instruction one nibble")
    octet = header[_INSTRUCTION_BYTE] & 0xF0 | instruction
    if octet == header[_INSTRUCTION_BYTE]:
        return header
    return header[:_INSTRUCTION_BYTE] + bytes([octet]) + header[_INSTRUCTION_BYTE + 1 :]


def instruction_of(header: bytes) -> int:
    """What the host asks for; 0 in a header that is too short."""
    return header[_INSTRUCTION_BYTE] & 0x0F if len(header) == HEADER_BYTES else 0

"""PIN blocks, ISO 9564-1 format 0, and their translation from key to key.

Rules (reference ``pos_protocol.md`` §4): a block is ``0``, the PIN's length, the PIN
and ``F`` filler, XOR four zeros and the 12 rightmost digits of the PAN without its
check digit. A card's clear PIN exists inside one call only: it is in no result, no error and
no log; an operator's is handed to whoever compares it with its hash, and to nobody else. Single-DES
and SM4 terminals are the gateway's policy, not this file's.
"""

import hmac
import re
from typing import Final

from signing.cipher_key import CipherKey

_SHORTEST_PAN: Final = 13
_NOT_DES: Final = "a format 0 PIN block takes a DES key"
_CLEAR_BLOCK = re.compile(
    "|".join(f"0{length:x}[0-9]{{{length}}}f{{{14 - length}}}" for length in range(4, 13))
)


class PinBlockError(Exception):
    """A PIN block, PIN or PAN that cannot be used; the text tells nothing of it."""


def format0_pin_block(pin: str, pan: str) -> bytes:
    """The clear block of 8 bytes; terminals only.

    Raises:
        PinBlockError: the PIN is not 4–12 digits or the PAN not at least 13.
    """
    if not 4 <= len(pin) <= 12 or not (pin.isascii() and pin.isdigit()):
        raise PinBlockError("a PIN has 4 to 12 digits")
    text = f"0{len(pin):x}{pin}".ljust(16, "f")
    return (int(text, 16) ^ _pan_part(pan)).to_bytes(8)


def encrypt_pin_block(pin: str, pan: str, key: CipherKey) -> bytes:
    """F52 as a terminal sends it: :func:`format0_pin_block` under the PIN key.

    Raises:
        PinBlockError: as there, or the key's blocks are not of 8 bytes.
    """
    _check_key(key)
    return key.encrypt(format0_pin_block(pin, pan))


def translate_pin_block(
    block: bytes,
    pan: str,
    *,
    source: CipherKey,
    target: CipherKey,
    source_with_pan: bool = True,
) -> bytes:
    """The same PIN under another key, always format 0 with the PAN.

    Args:
        block: F52 as received, 8 bytes.
        pan: the card number, at least 13 digits.
        source: the terminal's PIN key.
        target: the channel's PIN key.
        source_with_pan: ``False`` when F53 says that the PAN is not in the source block.

    Raises:
        PinBlockError: not a format 0 block after decryption (a wrong key or PAN shows
            as this too), or a key whose blocks are not of 8 bytes.
    """
    if source.block_bytes != 8 or target.block_bytes != 8:
        raise PinBlockError(_NOT_DES)
    if len(block) != 8:
        raise PinBlockError("a PIN block has 8 bytes")
    pan_part = _pan_part(pan)
    decrypted = int.from_bytes(source.decrypt(block))
    clear = decrypted ^ pan_part if source_with_pan else decrypted
    if _CLEAR_BLOCK.fullmatch(f"{clear:016x}") is None:
        raise PinBlockError("not a format 0 PIN block")
    return target.encrypt_blocks((clear ^ pan_part).to_bytes(8))


def operator_pin(block: bytes, binding: str, key: CipherKey) -> str:
    """The PIN that an operator typed; ``binding`` stands in the place of the PAN.

    Raises:
        PinBlockError: as :func:`translate_pin_block`.
    """
    _check_key(key)
    if len(block) != 8:
        raise PinBlockError("a PIN block has 8 bytes")
    clear = f"{int.from_bytes(key.decrypt(block)) ^ _pan_part(binding):016x}"
    if _CLEAR_BLOCK.fullmatch(clear) is None:
        raise PinBlockError("not a format 0 PIN block")
    return clear[2 : 2 + int(clear[1], 16)]


def verify_pin_block(block: bytes, pin: str, pan: str, key: CipherKey) -> bool:
    """Whether ``block`` holds this PIN; the time taken does not depend on the block.

    Raises:
        PinBlockError: as :func:`encrypt_pin_block`.
    """
    return hmac.compare_digest(encrypt_pin_block(pin, pan, key), block)


def _check_key(key: CipherKey) -> None:
    if key.block_bytes != 8:
        raise PinBlockError(_NOT_DES)


def _pan_part(pan: str) -> int:
    if len(pan) < _SHORTEST_PAN or not (pan.isascii() and pan.isdigit()):
        raise PinBlockError("a PAN has at least 13 digits")
    return int(pan[-13:-1], 16)

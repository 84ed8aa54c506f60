"""Secrets at rest: sealed under the master key, and tokens to find them by.

Rules: AES-256-GCM with a random nonce of 12 bytes; the context (which table, which row)
is authenticated, so a sealed value moved to another row does not open; one version byte
in front lets the format change. Sealing and tokens use two keys derived from the master
key by HKDF-SHA256, so neither helps against the other. Randomness is an argument.

With random nonces one master key is good for some 2**36 sealed values (a collision is
then less likely than 2**-25): years at twenty million payments a day.
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MASTER_KEY_BYTES: Final = 32
TOKEN_BYTES: Final = 16

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = len(_VERSION) + _NONCE_BYTES


class SealError(Exception):
    """A sealed value that does not open: another key, another context, or damaged."""


class Sealer:
    """Seals and opens under one master key; safe to share.

    Args:
        master_key: 32 random bytes.
        random_bytes: a cryptographic source, such as ``secrets.token_bytes``.

    Raises:
        ValueError: the master key does not have 32 bytes.
    """

    __slots__ = ("_cipher", "_random_bytes", "_token_code")

    def __init__(self, master_key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError("the master key has 32 bytes")
        self._cipher = AESGCM(_derive(master_key, b"posgate seal 1"))
        # keyed once and copied: half the cost of keying it for every token
        self._token_code = HMAC(_derive(master_key, b"posgate token 1"), SHA256())
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """``plain`` encrypted and bound to ``context``; 29 bytes longer."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed.

        Raises:
            SealError: not sealed by this key for this context, or changed since.
        """
        if len(sealed) < _HEAD_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
            raise SealError("not a sealed value of a version that this program knows")
        try:
            return self._cipher.decrypt(
                sealed[1:_HEAD_BYTES], sealed[_HEAD_BYTES:], _VERSION + context
            )
        except InvalidTag:
            raise SealError("a sealed value does not open with this key and context") from None

    def token(self, value: bytes) -> bytes:
        """16 bytes that stand for ``value`` in look-ups: same value and key, same token."""
        code = self._token_code.copy()
        code.update(value)
        return code.finalize()[:TOKEN_BYTES]

    def __repr__(self) -> str:
        return "Sealer(…)"


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(master_key)

"""A symmetric POS key, ready to use.

Rules: a key is parsed once and keeps its cipher contexts, because making one costs
ten times what a block does; its bytes leave only through :meth:`CipherKey.raw`, and
its text form shows the check value alone. A key belongs to one thread: a context is
not shared between threads that run at the same time.
"""

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

_DES_REPEATS: Final = {8: (0, 0, 0), 16: (0, 8, 0), 24: (0, 8, 16)}
_KCV_BYTES: Final = 4


class CipherKey:
    """A DES (8 bytes), 3DES (16 or 24 bytes) or SM4 (16 bytes) key.

    Args:
        key: the clear key; parity bits are ignored, as card hosts do.
        algorithm: ``"des"`` (its length picks DES or 3DES) or ``"sm4"``.

    Raises:
        ValueError: no such algorithm, or a length that it does not have.
    """

    __slots__ = (
        "_cipher",
        "_decryptor",
        "_encryptor",
        "_left_cbc",
        "_raw",
        "algorithm",
        "block_bytes",
        "encrypt_blocks",
    )

    def __init__(self, key: bytes, algorithm: str = "des") -> None:
        # The dialect prescribes ECB: the inputs are one or two blocks, folded or unique.
        self._cipher = Cipher(_parse(key, algorithm), ECB())  # noqa: S305
        self._encryptor: CipherContext = self._cipher.encryptor()
        self._decryptor: CipherContext | None = None
        self._left_cbc: Cipher[CBC] | None = None
        self.encrypt_blocks: Callable[[bytes], bytes] = self._encryptor.update
        """As :meth:`encrypt` without its check, for callers that hold whole blocks."""
        self._raw = bytes(key)
        self.algorithm = algorithm
        self.block_bytes = 16 if algorithm == "sm4" else 8

    def encrypt(self, data: bytes) -> bytes:
        """ECB over whole blocks; ``ValueError`` for anything else."""
        self._check_blocks(data)
        return self._encryptor.update(data)

    def decrypt(self, data: bytes) -> bytes:
        """ECB over whole blocks; ``ValueError`` for anything else."""
        self._check_blocks(data)
        if self._decryptor is None:
            self._decryptor = self._cipher.decryptor()
        return self._decryptor.update(data)

    def left_cbc(self, data: bytes) -> bytes:
        """Single DES under the first 8 bytes of a DES key, CBC, zero vector (ANSI X9.9)."""
        self._check_blocks(data)
        if self._left_cbc is None:
            if self.algorithm != "des":
                raise ValueError("X9.9 and X9.19 take a DES key")
            self._left_cbc = Cipher(TripleDES(self._raw[:8] * 3), CBC(bytes(8)))
        return self._left_cbc.encryptor().update(data)

    def kcv(self) -> bytes:
        """Key check value: the first 4 bytes of a block of zeros, encrypted."""
        return self._encryptor.update(bytes(self.block_bytes))[:_KCV_BYTES]

    def raw(self) -> bytes:
        """The clear key, for wrapping and for nothing else."""
        return self._raw

    def __repr__(self) -> str:
        return f"CipherKey({self.algorithm}, kcv={self.kcv().hex().upper()})"

    def _check_blocks(self, data: bytes) -> None:
        # A context would keep a partial block back and spoil the next call.
        if len(data) % self.block_bytes:
            raise ValueError(f"not whole blocks of {self.block_bytes} bytes")


def _parse(key: bytes, algorithm: str) -> TripleDES | SM4:
    if algorithm == "sm4":
        if len(key) != 16:
            raise ValueError("an SM4 key has 16 bytes")
        return SM4(key)
    if algorithm != "des":
        raise ValueError("the algorithm is neither des nor sm4")
    parts = _DES_REPEATS.get(len(key))
    if parts is None:
        raise ValueError("a DES key has 8, 16 or 24 bytes")
    # Always three keys in full: shorter TripleDES keys are deprecated upstream, and
    # single DES is EDE with one key.
    return TripleDES(b"".join(key[start : start + 8] for start in parts))

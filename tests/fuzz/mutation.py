"""Small changes to valid messages: where parsers break.

Rule: all chance comes from the ``Random`` that is handed in.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

_INTERESTING: Final = bytes.fromhex("00 01 0F 10 7F 80 99 9A A0 F0 FF 60 64 20 3D 44")
_HEAD: Final = 23


def mutated(rng: Random, payload: bytes, others: Sequence[bytes]) -> bytes:
    """``payload`` with one to four changes; ``others`` lend pieces of themselves."""
    raw = bytearray(payload)
    for _ in range(1 + (rng.getrandbits(2) & rng.getrandbits(2))):
        _CHANGES[rng.getrandbits(4)](rng, raw, others)
    return bytes(raw)


def _place(rng: Random, raw: bytearray) -> int:
    return int(rng.random() * len(raw)) if raw else 0


def _flip(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    if raw:
        raw[_place(rng, raw)] ^= 1 << rng.getrandbits(3)


def _set(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    if raw:
        raw[_place(rng, raw)] = rng.getrandbits(8)


def _interesting(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    if raw:
        raw[_place(rng, raw)] = _INTERESTING[rng.getrandbits(4)]


def _insert(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    at = _place(rng, raw)
    raw[at:at] = rng.randbytes(1 + rng.getrandbits(2))


def _delete(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    at = _place(rng, raw)
    del raw[at : at + 1 + rng.getrandbits(2)]


def _truncate(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    del raw[_place(rng, raw) :]


def _repeat(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    at = _place(rng, raw)
    raw[at:at] = raw[at : at + 1 + rng.getrandbits(4)]


def _splice(rng: Random, raw: bytearray, others: Sequence[bytes]) -> None:
    """The rest is another message's."""
    at = _place(rng, raw)
    raw[at:] = others[int(rng.random() * len(others))][at:]


def _swap(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    if raw:
        one, two = _place(rng, raw), _place(rng, raw)
        raw[one], raw[two] = raw[two], raw[one]


def _head(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    """TPDU, header, MTI, bitmap and the first length."""
    if len(raw) > _HEAD:
        raw[int(rng.random() * _HEAD)] = rng.getrandbits(8)


def _grow(rng: Random, raw: bytearray, _others: Sequence[bytes]) -> None:
    raw += rng.randbytes(1 + rng.getrandbits(6))


_CHANGES: Final = (
    _flip, _flip, _flip, _set, _set, _interesting, _interesting, _interesting,
    _insert, _delete, _truncate, _repeat, _splice, _swap, _head, _grow,
)  # fmt: skip

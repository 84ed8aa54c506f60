"""Operators' PINs as they rest.

Rules: argon2id with the least that OWASP's password storage cheat sheet allows (19 MiB, two
passes), a salt for each. A stolen table of six-digit PINs still gives way to patience, so
the table is no less a secret than the master key. The module is imported where a PIN is
looked at, no sooner: a start has no use for it.
"""

from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_MEMORY_KIB: Final = 19 * 1024
_PASSES: Final = 2
_LANES: Final = 1


def hash_pin(pin: str) -> str:
    """A PIN as it rests, with a salt of its own."""
    return _hasher().hash(pin)


def matches(pin_hash: str, pin: str) -> bool:
    """Whether ``pin_hash`` is of ``pin``; takes as long either way."""
    try:
        return _hasher().verify(pin_hash, pin)
    except (VerificationError, InvalidHashError):
        return False


def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)

"""``@record``: a slotted dataclass that the type checker holds frozen.

A frozen dataclass pays for every field at every construction (0.3 µs against 0.1 µs),
and one sale makes a dozen of them: a tenth of its whole cost. A record is declared
frozen to the type checker (``make check`` refuses an assignment) and built like a
plain one. Use it for values that the hot path makes; everything else is a
``@dataclass(frozen=True, slots=True)``.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def brief(cls: type[T]) -> type[T]:
    """As :func:`record`, for a value of a few fields that is made by their places."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a keyword-only, slotted value; equality by fields."""
    return dataclass(slots=True, kw_only=True)(cls)

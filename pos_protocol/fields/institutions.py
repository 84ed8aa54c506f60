"""F44 of an answer: issuer and acquirer, 11 characters each (reference §2)."""

from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError

_WIDTH: Final = 11


@dataclass(frozen=True, slots=True)
class Institutions:
    """Their identification codes, ``""`` where the answer is silent."""

    issuer: str = ""
    acquirer: str = ""


def parse_institutions(field_44: str) -> Institutions:
    """Read as much as there is; a host that writes a text here gets it in two pieces."""
    return Institutions(field_44[:_WIDTH].rstrip(), field_44[_WIDTH : 2 * _WIDTH].rstrip())


def build_institutions(both: Institutions) -> str:
    """22 characters; raises :class:`CodecError` for a code longer than 11."""
    for code in (both.issuer, both.acquirer):
        if len(code) > _WIDTH:
            raise CodecError(44, -1, "an institution has at most 11 characters")
    return both.issuer.ljust(_WIDTH) + both.acquirer.ljust(_WIDTH)

"""Numbers of a fixed width, as the wire writes them.

Rule: a number that does not fit is a fault of the field, never cut.
"""

from pos_protocol.errors import CodecError


def written(field: int, name: str, number: int, width: int) -> str:
    """``number`` in ``width`` digits; raises :class:`CodecError` if it has no such form."""
    if not 0 <= number < 10**width:
        raise CodecError(field, -1, f"{name} does not fit into {width} digits")
    return f"{number:0{width}d}"


def number_at(field: int, name: str, digits: str) -> int:
    """The number that ``digits`` say; raises :class:`CodecError` for anything else."""
    if not (digits.isascii() and digits.isdigit()):
        raise CodecError(field, -1, f"{name} is not a number")
    return int(digits)


def exactly(field: int, name: str, digits: str, width: int) -> str:
    """``digits`` as they are; raises :class:`CodecError` unless they are ``width`` digits."""
    if len(digits) != width or not (digits.isascii() and digits.isdigit()):
        raise CodecError(field, -1, f"{name} is not {width} digits")
    return digits

"""The number of the refund that undoes a payment whose clearing day is over. Pure.

Rules: UnionPay takes an ``orderId`` once, whatever the transaction, so an undo by refund
has a number of its own; it is the payment's own with another first letter, so that every
repeat, restarts included, makes the same one. It keeps to 32 characters, all that the
daily file has room for. The letter is none that our numbers begin with.
"""

from typing import Final

_UNDO_MARK: Final = "U"


def undo_number(order_no: str) -> str:
    """Under which the whole of ``order_no`` is returned."""
    return _UNDO_MARK + order_no[1:]

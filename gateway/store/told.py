"""What tills are told of, as one rule in two languages; a test holds them to each other."""

from typing import Final

from domain.doors import ATTEMPT_DOOR, POS_DOOR
from domain.payment import Order

_UNTOLD: Final = (POS_DOOR, ATTEMPT_DOOR)
"""The doors whose payments no till is told of: a terminal has the reply of what it sold, and
of a checkout's attempts nobody but us knows."""
IS_TOLD: Final = f"door NOT IN {_UNTOLD} AND (store_id <> '' OR terminal_id <> '')"
"""Whether tills are told of the moves of a row of ``payments``."""


def is_told(order: Order) -> bool:
    """Whether tills are told of the moves of an order."""
    return order.door not in _UNTOLD and bool(order.store_id or order.terminal_id)

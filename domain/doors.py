"""The doors that payments come through: ``Order.door``, within which an order key is unique."""

from typing import Final

API_DOOR: Final = "api"
"""A merchant's till, over HTTPS."""
POS_DOOR: Final = "pos"
"""A terminal: what it sells itself, and the numbers that are only taken."""
SCREEN_DOOR: Final = "screen"
"""An order whose code a terminal shows."""
PAGE_DOOR: Final = "page"
"""A checkout that a payer began at a printed code."""
ATTEMPT_DOOR: Final = "checkout"
"""An attempt to pay a checkout."""

"""A code as a picture inside the page: SVG, drawn once for each code that is shown.

Rules: drawing one takes milliseconds, so the last ones are kept, in a bounded number; what
is drawn is our own address, never anything that a request brought.
"""

from functools import lru_cache
from typing import Final

from markupsafe import Markup

from gateway.qr_images import qr_svg

_KEPT: Final = 512
"""Pictures of some 4 kB each."""


@lru_cache(maxsize=_KEPT)
def shown_code(address: str) -> Markup:
    """``address`` as a QR code with its quiet zone, without a size of its own."""
    return Markup(qr_svg(address).decode())  # noqa: S704 - drawn by us, no text of others in it

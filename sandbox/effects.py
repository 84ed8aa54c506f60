"""What a simulated channel does about one request, as a value.

Rule: ``handle(request, state, now_ms)`` returns an :class:`Effect` and touches no
socket and no clock; the server, or a simulation, carries it out.
"""

from typing import Final

from domain.record import brief


@brief
class Effect:
    """``answer`` is sent ``copies`` times after ``delay_ms``; then ``close`` closes.

    ``answer`` is a whole message body: the JSON of Alipay, the payload of a card
    frame (without its length). Empty means that nothing is said at all.
    """

    answer: bytes = b""
    close: bool = False
    delay_ms: int = 0
    copies: int = 1


SILENCE: Final = Effect()
HANG_UP: Final = Effect(close=True)

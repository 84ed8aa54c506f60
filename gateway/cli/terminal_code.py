"""``posgate terminal show-code``: a code on the terminal's display until somebody has paid it.

Rules: the code is drawn anew when its time is over, by asking again under the same number;
what became of the order is asked for in between and believed only with a right MAC. Who
stops looking (Ctrl-C) changes nothing: the order ends by its own time, and ``posgate terminal
status`` tells of it.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import segno

from domain.errors import Unavailable
from gateway.cli import terminal_asks
from gateway.cli.terminal_given import Given
from gateway.cli.terminal_till import Done, Till, status_said
from pos_protocol.errors import CodecError
from pos_protocol.fields.live_code import ShownCode, is_shown_code, parse_shown_code
from pos_protocol.fields.payment_status import PaymentState

ASK_EVERY_S: Final = 2.0
_DONE: Final = (PaymentState.PAID, PaymentState.NOT_PAID)

Draw = Callable[[ShownCode], None]
Sleep = Callable[[float], Awaitable[None]]


def code_said(done: Done) -> ShownCode | None:
    """The code that an answer brings; ``None`` for an order that waits for nobody."""
    answer = done.outcome.message
    if not done.outcome.approved or answer is None or not is_shown_code(answer.data(62)):
        return None
    try:
        return parse_shown_code(answer.data(62))
    except CodecError:
        return None


async def show_code(
    till: Till, given: Given, draw: Draw, sleep: Sleep = asyncio.sleep
) -> tuple[Done, PaymentState | None]:
    """Show an order's codes until it has ended; the last exchange, and how it ended.

    ``None``: no code was to be had, or the time of the order is over and its end not known yet.

    Raises:
        Unavailable: no answer to the first request; one that is lost later is asked for again.
    """
    done = await till.do(lambda it: terminal_asks.live_code(it, given))
    trace, first = done.request.message.text(11), code_said(done)
    again = replace(given, trace=trace)
    if first is None:
        return done, _state(done)
    draw(first)
    left_s: float = first.shown_s
    while True:
        await sleep(min(ASK_EVERY_S, max(left_s, 0.1)))
        left_s -= ASK_EVERY_S
        try:
            asked = await till.do(lambda it: terminal_asks.status(it, Given(trace=trace)))
            if _state(asked) in _DONE:
                return asked, _state(asked)
            if left_s <= 0:
                done = await till.do(lambda it: terminal_asks.live_code(it, again))
                following = code_said(done)
                if following is None:
                    return done, _state(done)
                draw(following)
                left_s = following.shown_s
        except Unavailable:
            continue


def _state(done: Done) -> PaymentState | None:
    status = status_said(done.outcome)
    return None if status is None else status.state


def drawn(code: str) -> str:
    """A code as half-block characters, to be scanned from a screen."""
    picture = io.StringIO()
    segno.make(code, error="m", micro=False).terminal(out=picture, compact=True, border=2)
    return picture.getvalue()

"""What a payer is shown of an order: from a checkout as it stands to a state of the page. Pure.

Rules: total over the checkout's states. "Paid" is said to whoever's attempt paid; to
everybody else it is "already paid", but to a payer whose own attempt was given up and paid
all the same: that money is on its way back, and he is told so. What is being asked or undone is
"still asking", never "failed".
"""

from typing import assert_never

from domain.checkout import CheckoutStatus
from domain.decline import DeclineReason
from gateway.checkout.port import CheckoutView
from gateway.http.pages.texts import State

_S = CheckoutStatus


def state_of(view: CheckoutView, now_ms: int) -> State:
    """The state of the page of the payer for whom ``view`` was asked."""
    return State.TWICE if view.is_paid_twice else _by_status(view, now_ms)


def _by_status(view: CheckoutView, now_ms: int) -> State:
    match view.status:
        case _S.WAITING:
            return State.EXPIRED if now_ms >= view.expires_at_ms else State.FAILED
        case _S.PAYING:
            if not view.is_mine:
                return State.ELSEWHERE
            return State.ASKING if view.is_asking else State.PAYING
        case _S.PAID:
            return State.PAID if view.is_mine else State.TAKEN
        case _S.CLOSING:
            return State.ASKING if view.is_mine else State.CLOSED
        case _S.CLOSED:
            return State.EXPIRED if _ran_out(view) else State.CLOSED
        case _S.FAILED:
            return State.FAILED
        case _S.REVERSED:
            return State.RETURNED if view.is_mine else State.CLOSED
        case _:
            assert_never(view.status)


def _ran_out(view: CheckoutView) -> bool:
    return view.decline is not None and view.decline.reason is DeclineReason.NOT_PAID_IN_TIME


def mark_of(view: CheckoutView) -> str:
    """Changes whenever the page of this order would: what its watch compares."""
    flags = (view.is_asking, view.is_mine, view.may_take_over, view.is_paid_twice)
    return f"{view.version}.{view.status.value}.{''.join(str(int(flag)) for flag in flags)}"

"""Who may have a hold next: a completion, or its release.

Rules:

* A hold is taken under a number, and the store gives each number to one taker only. The
  next number may be asked for once the last taker is over without having the money: a
  completion that failed, was closed or was reversed. One that succeeded has the hold for
  good, also when its money was refunded later, and so has a release.
* Whoever loses the race looks again, and finds who won.
"""

from typing import Final

from domain.errors import Conflict, Unavailable
from domain.payment import Status
from gateway.store.port import PaymentStore, TakenHold

HOLD_TAKEN: Final = "hold_is_taken"
"""The ``Conflict.code`` where a completion or a release has the hold."""
_GAVE_IT_BACK: Final = frozenset({Status.FAILED, Status.CLOSED, Status.REVERSED})


async def next_taking(store: PaymentStore, hold_id: str) -> TakenHold:
    """The number under which the hold can be taken now.

    Raises:
        Conflict: ``hold_is_taken``; by a completion that is alive, or by its release.
        Unavailable: the store is down.
    """
    last = await store.completion_of(hold_id)
    if last is None:
        return TakenHold(hold_id=hold_id, number=1)
    if last.payment_id == hold_id:
        raise hold_is_taken()
    taker = await store.payment(last.payment_id)
    if taker is None:
        raise Unavailable("the store does not show who took a hold")
    if taker.standing.status not in _GAVE_IT_BACK:
        raise hold_is_taken()
    return TakenHold(hold_id=hold_id, number=last.number + 1)


def hold_is_taken() -> Conflict:
    """What whoever wants a hold that another has is told."""
    return Conflict(HOLD_TAKEN, "this authorisation was completed or released, or is being so")

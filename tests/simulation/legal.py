"""The legal moves of payments and refunds, written down once more from the documents."""

from collections import defaultdict

_OPEN = ("submitted", "pending", "unknown")


def _legal() -> dict[tuple[str, str], str]:
    """Every move of a payment that docs/payment_states.md draws."""
    moves: dict[tuple[str, str], str] = {}
    for state in ("created", *_OPEN):
        moves |= {
            (state, "authorize"): "authorized",
            (state, "paid"): "succeeded",
            (state, "decline"): "failed",
            (state, "undone_unpaid"): "closed",
            (state, "undone_paid"): "reversed",
            (state, "undo"): "closed" if state == "created" else "reversing",
            (state, "give_up"): "closed" if state == "created" else "reversing",
        }
    moves |= {
        ("created", "submit"): "submitted",
        ("submitted", "not_sent"): "failed",
        ("authorized", "paid"): "succeeded",
        ("authorized", "undo"): "reversing",
        ("authorized", "undone_unpaid"): "closed",
        ("authorized", "undone_paid"): "reversed",
        ("succeeded", "undo"): "reversing",
        ("succeeded", "undone_paid"): "reversed",
        ("reversing", "undone_unpaid"): "closed",
        ("reversing", "undone_paid"): "reversed",
        ("reversing", "paid"): "reversing",  # noted: an undo must return it
    }
    for state in ("created", "submitted", "unknown"):
        moves[state, "payer_acting"] = "pending"
    for state in ("created", "submitted"):
        moves[state, "answer_lost"] = "unknown"
    for state in ("failed", "closed"):
        moves[state, "authorize"] = moves[state, "paid"] = "reversing"
        moves[state, "undone_paid"] = "reversed"
    for deed in ("reserve", "refund_succeeded", "refund_failed", "attempt_refund"):
        moves["succeeded", deed] = "succeeded"
    return moves


LEGAL = _legal()
LEGAL_REFUND = {
    ("created", "submit"): "submitted",
    ("submitted", "answer_lost"): "unknown",
    ("submitted", "returned"): "succeeded",
    ("submitted", "decline"): "failed",
    ("unknown", "accepted"): "submitted",
    ("unknown", "returned"): "succeeded",
    ("unknown", "decline"): "failed",
    ("failed", "returned"): "succeeded",
}


def _reachable() -> dict[str, frozenset[str]]:
    after: dict[str, set[str]] = defaultdict(set)
    for (state, _), following in LEGAL.items():
        after[state].add(following)
    found: dict[str, frozenset[str]] = {}
    for state in (*after, "reversed"):
        seen, ahead = {state}, [state]
        while ahead:
            for following in after[ahead.pop()] - seen:
                seen.add(following)
                ahead.append(following)
        found[state] = frozenset(seen)
    return found


AFTER = _reachable()
"""By state: which states may follow it, however far."""

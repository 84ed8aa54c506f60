"""The states of payments, refunds and checkouts, with their diagrams.

They come from the tables that are the program.
"""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.generating.writing import NOTICE, OMITTED, attribute_docs, code_text, table_text
from domain import checkout, refund
from domain.checkout import CheckoutEvent, CheckoutStatus
from domain.payment import FINAL, SAME, TRANSITIONS, UNSETTLED, Event, Status
from domain.refund import REFUND_FINAL, RefundEvent, RefundStatus

Table = Mapping[Any, Mapping[Any, Any]]
"""A table of transitions: state, event, and the next state or a word."""


def payment_states(root: Path) -> str:
    """``payment_states.md``."""
    source = (root / "domain" / "payment.py").read_text(encoding="utf-8")
    meanings = attribute_docs(source, "Event")
    events = table_text(
        ["Event", "Meaning"], ([code_text(event.value), meanings[event.name]] for event in Event)
    )
    kinds = table_text(
        ["State", "Kind"], ([code_text(status.value), _kind_of(status)] for status in Status)
    )
    return (
        NOTICE.format(source="domain/payment.py") + "# The states of a payment\n\n"
        "The table below is the program: `domain/payment.py` holds it, and nothing else moves "
        "a payment. Where the diagram shows no arrow, the event changes nothing or cannot "
        "happen; the full table says which.\n\n"
        "```mermaid\n" + _diagram(TRANSITIONS) + "```\n\n"
        "## States\n\n" + kinds + "\n## Events\n\n" + events + "\n## Every state meets every "
        "event\n\n"
        f"`{OMITTED}` nothing changes (a repeat or a late message) · **illegal** our own code "
        "would be wrong: it raises, and the payment stays as it is.\n\n"
        + _transition_table(TRANSITIONS)
    )


def _kind_of(status: Status) -> str:
    if status in UNSETTLED:
        return "open: recovery asks until the channel has answered"
    if status in FINAL:
        return "final: nothing more is asked"
    return "held at the channel" if status is Status.AUTHORIZED else "not yet sent"


def _diagram(transitions: Table) -> str:
    """The moves as a Mermaid diagram; the table's first state is where all begins."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for status, row in transitions.items():
        for event, cell in row.items():
            if isinstance(cell, enum.Enum):
                arrows.setdefault((status.value, cell.value), []).append(event.value)
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(transitions)).value}"]
    lines += [
        f"    {before} --> {after}: {', '.join(events)}"
        for (before, after), events in arrows.items()
    ]
    return "\n".join(lines) + "\n"


def _transition_table(transitions: Table) -> str:
    events = list(next(iter(transitions.values())))
    rows = [
        [code_text(status.value), *(_cell(row[event]) for event in events)]
        for status, row in transitions.items()
    ]
    return table_text(["", *(code_text(event.value) for event in events)], rows)


def _cell(cell: enum.Enum | str) -> str:
    if isinstance(cell, enum.Enum):
        return str(cell.value)
    return OMITTED if cell == SAME else "**illegal**"


# --- refund_states.md


def refund_states(root: Path) -> str:
    """``refund_states.md``."""
    source = (root / "domain" / "refund.py").read_text(encoding="utf-8")
    meanings = attribute_docs(source, "RefundEvent")
    events = table_text(
        ["Event", "Meaning"],
        ([code_text(event.value), meanings[event.name]] for event in RefundEvent),
    )
    kinds = table_text(
        ["State", "Kind", "Its amount"],
        ([code_text(status.value), *_refund_kind_of(status)] for status in RefundStatus),
    )
    return (
        NOTICE.format(source="domain/refund.py") + "# The states of a refund\n\n"
        "The table below is the program: `domain/refund.py` holds it, and nothing else moves a "
        'refund. Only the channel\'s own words end one: silence, a time-out or "not found" '
        "leave it open, to be asked about and sent again under the same number. What stays "
        "open too long is parked for a person (`posgate cases`), its amount still reserved.\n\n"
        "```mermaid\n" + _diagram(refund.TRANSITIONS) + "```\n\n"
        "## States\n\n" + kinds + "\nA payment's reserved and returned amounts together never "
        "exceed what was captured: each reservation is a compare-and-set on the payment, in "
        "the commit that makes the refund.\n\n## Events\n\n" + events + "\n## Every state "
        "meets every event\n\n"
        f"`{OMITTED}` nothing changes (a repeat or a late message) · **illegal** our own code "
        "would be wrong: it raises, and the refund stays as it is.\n\n"
        + _transition_table(refund.TRANSITIONS)
    )


def _refund_kind_of(status: RefundStatus) -> tuple[str, str]:
    if status not in REFUND_FINAL:
        return "open: recovery asks until the channel has answered", "reserved on the payment"
    if status is RefundStatus.SUCCEEDED:
        return "final: the payer has the money", "returned, in the ledger"
    return "final, but for a late yes of the channel", "free again"


# --- checkout_states.md


def checkout_states(root: Path) -> str:
    """``checkout_states.md``."""
    source = (root / "domain" / "checkout.py").read_text(encoding="utf-8")
    meanings = attribute_docs(source, "CheckoutEvent")
    events = table_text(
        ["Event", "Meaning"],
        ([code_text(event.value), meanings[event.name]] for event in CheckoutEvent),
    )
    shown = table_text(
        ["State", "The merchant's payment is"],
        (
            [code_text(status.value), code_text(checkout.SHOWN[status].value)]
            for status in CheckoutStatus
        ),
    )
    return (
        NOTICE.format(source="domain/checkout.py") + "# The states of a checkout\n\n"
        "One order that several wallets may pay, one after the other "
        "([one code](one_qr_code.md)). The table below is the program: `domain/checkout.py` "
        "holds it. A checkout follows its current attempt, an ordinary "
        "[payment](payment_states.md), in the commit that moves that; to its merchant it is a "
        "payment itself.\n\n"
        "```mermaid\n" + _diagram(checkout.TRANSITIONS) + "```\n\n"
        "## States\n\n" + shown + "\n## Events\n\n" + events + "\n## Every state meets every "
        "event\n\n"
        f"`{OMITTED}` nothing changes · **illegal** our own code would be wrong: it raises, and "
        "nothing is written.\n\n" + _transition_table(checkout.TRANSITIONS)
    )

"""``posgate cases list|show|resolve``: what waits for a person.

Rules: a decision needs a name and a reason, which are kept for ever; ``show`` says
beforehand which decisions are possible and what each would book and tell. What a night found
to differ waits for people too: it is listed here, and decided with ``posgate differences``.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

import typer

from channels.registry import plugins
from domain.clock import iso_utc
from domain.errors import NotFound
from domain.settle import Decision
from gateway.cases import Cases, CaseView, Choice
from gateway.cli.differences import show_difference
from gateway.cli.known import require_merchant
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
    show,
)
from gateway.differences import differences_in
from gateway.http.answers import payment_dict, refund_dict
from gateway.notices import NoticeWriter
from gateway.store.port import Case, CaseDecision, PaymentEvent
from reconciliation.night_records import DIFFERENCE_PREFIX, DifferenceState, StoredDifference

cases = typer.Typer(no_args_is_help=True, help="What waits for a person, and settling it.")

_UNSETTLED: Final = (DifferenceState.OPEN, DifferenceState.PROPOSED, DifferenceState.APPROVED)
_SETTLED: Final = (DifferenceState.CLOSED, DifferenceState.SUPERSEDED)
_EFFECTS = {
    Decision.RETRY: "the channel is asked again, now",
    Decision.PAID: "the channel has the money and keeps it",
    Decision.NOT_PAID: "the channel has nothing of it",
    Decision.RETURNED: "the payer has the money back",
}


def _cases(session: Session) -> Cases:
    texts = {name: plugin.texts for name, plugin in plugins().items()}
    notices = NoticeWriter(
        ids=session.ids,
        render_payment=partial(payment_dict, texts=texts),
        render_refund=partial(refund_dict, texts=texts),
    )
    return Cases(store=session.store, clock=session.clock, notices=notices)


@cases.command("list")
def list_cases(
    everything: Annotated[bool, typer.Option("--all", help="The settled ones too.")] = False,
    merchant: Annotated[str, typer.Option(help="Only this merchant's payments and refunds.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List open cases, then what nights found to differ: `dif_…`, for posgate differences.

    Example: posgate cases list --merchant M0001
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        await require_merchant(session, merchant)
        rows: list[dict[str, Any]] = []
        async for row in _listed(session, everything=everything, merchant_no=merchant):
            rows.append(row)
            if len(rows) == limit:
                break
        return rows

    show(in_session(config, work), as_json=json)


@cases.command("show")
def show_case(
    case_id: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show a case: what it is about, its history, and what may be decided.

    Example: posgate cases show case_01J…
    """
    if case_id.startswith(DIFFERENCE_PREFIX):
        show_difference(case_id, config, json)
        return
    view = in_session(config, lambda session: _cases(session).show(case_id))
    _print(view, as_json=json)


@cases.command("resolve")
def resolve_case(
    case_id: str,
    decision: Annotated[Decision, typer.Option("--as", help="What you found out.")],
    by: Annotated[str, typer.Option(help="Your name.")],
    why: Annotated[str, typer.Option(help="How you know, in one line.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Settle a case; the decision, your name and your reason are kept.

    Example: posgate cases resolve case_01J… --as returned --by wang --why "refund 2026… seen in the channel's portal"
    """

    async def work(session: Session) -> CaseView:
        if case_id.startswith(DIFFERENCE_PREFIX):
            raise NotFound(
                "case_not_found", f"two people decide: posgate differences show {case_id}"
            )
        return await _cases(session).resolve(case_id, decision, by=by, why=why)

    _print(in_session(config, work), as_json=json)


async def _listed(
    session: Session, *, everything: bool, merchant_no: str
) -> AsyncIterator[dict[str, Any]]:
    """What is open first, cases before differences; then, if asked for, what is settled."""
    for is_open in (True, False) if everything else (True,):
        async for case in _cases(session).listed(is_open=is_open, merchant_no=merchant_no):
            yield _case_row(case)
        if not merchant_no:
            for state in _UNSETTLED if is_open else _SETTLED:
                async for one in differences_in(session.store, state):
                    yield _difference_row(one, is_open=is_open)


def _print(view: CaseView, *, as_json: bool) -> None:
    shown: dict[str, Any] = {
        "case": _case_row(view.case),
        "payment": payment_dict(view.payment) | _numbers(view),
        "refund": None if view.refund is None else refund_dict(view.refund),
        "history": [_event_row(event) for event in view.history],
        "decisions": [_decision_row(decision) for decision in view.decisions],
        "possible": [_choice_row(choice) for choice in view.choices],
    }
    if as_json:
        print_json(shown)
        return
    for name, part in shown.items():
        if part:
            typer.echo(f"-- {name}")
            show(part if isinstance(part, list) else [part], as_json=False)


def _numbers(view: CaseView) -> dict[str, Any]:
    """Where a payment really stands; the API shows a parked one as unknown."""
    standing = view.payment.standing
    return {
        "stands": standing.status.value,
        "captured_fen": standing.captured_fen,
        "returned_fen": standing.returned_fen,
        "refunding_fen": standing.refunding_fen,
    }


def _case_row(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "subject": case.subject,
        "merchant_no": case.merchant_no,
        "reason": case.reason,
        "opened_at": iso_utc(case.opened_at_ms),
        "open": case.is_open,
    }


def _difference_row(one: StoredDifference, *, is_open: bool) -> dict[str, Any]:
    return {
        "case_id": one.id,
        "subject": one.found.subject or one.found.order_no,
        "merchant_no": None,
        "reason": one.found.kind.value,
        "opened_at": iso_utc(one.opened_at_ms),
        "open": is_open,
    }


def _event_row(event: PaymentEvent) -> dict[str, Any]:
    return {
        "version": event.sequence,
        "at": iso_utc(event.at_ms),
        "event": event.event.value,
        "from": event.previous.value,
        "to": event.status.value,
    }


def _decision_row(decision: CaseDecision) -> dict[str, Any]:
    return {
        "number": decision.number,
        "at": iso_utc(decision.at_ms),
        "as": decision.decision,
        "by": decision.by,
        "why": decision.why,
    }


def _choice_row(choice: Choice) -> dict[str, Any]:
    books = [
        f"{line.entry.value} {line.account} {line.amount_fen:+} {line.currency}"
        for line in choice.postings
    ]
    return {
        "as": choice.decision.value,
        "means": _EFFECTS[choice.decision],
        "becomes": choice.status,
        "books": "; ".join(books) or None,
        "tells": choice.notice or None,
    }

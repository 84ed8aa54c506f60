"""``posgate cases list|show|resolve``: what waits for a person.

Rules: a decision needs a name and a reason, which are kept for ever; ``show`` says
beforehand which decisions are possible and what each would book and tell.
"""

from functools import partial
from typing import Annotated, Any

import typer

from channels.registry import plugins
from domain.clock import iso_utc
from domain.settle import Decision
from gateway.cases import Cases, CaseView, Choice
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
    show,
)
from gateway.http.answers import payment_dict, refund_dict
from gateway.notices import NoticeWriter
from gateway.store.port import Case, CaseDecision, PaymentEvent

cases = typer.Typer(no_args_is_help=True, help="What waits for a person, and settling it.")

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
    merchant: Annotated[str, typer.Option(help="Only this merchant's.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List open cases.

    Example: posgate cases list --merchant M0001
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        use_cases, rows = _cases(session), []
        for is_open in (True, False) if everything else (True,):
            async for case in use_cases.listed(is_open=is_open, merchant_no=merchant):
                rows.append(_case_row(case))
        return rows

    show(in_session(config, work), as_json=json)


@cases.command("show")
def show_case(
    case_id: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show a case: what it is about, its history, and what may be decided.

    Example: posgate cases show case_01J…
    """
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
    view = in_session(
        config, lambda session: _cases(session).resolve(case_id, decision, by=by, why=why)
    )
    _print(view, as_json=json)


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

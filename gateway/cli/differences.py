"""``posgate differences list|show|propose|approve|refuse|withdraw|carry-out``: what nights found, and its repair.

Rules: one person proposes, another approves or refuses; both leave a name and a reason for
ever. ``show`` says beforehand what a repair would post.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer

from domain.clock import iso_utc
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
    show,
)
from gateway.differences import Differences, ShownDifference
from reconciliation.differences import MEANINGS, Repair
from reconciliation.exports import amount_text
from reconciliation.night_records import DifferenceState, StoredDifference

differences = typer.Typer(no_args_is_help=True, help="Differences of the nightly match.")

_PAGE: Final = 500
ByOption = Annotated[str, typer.Option("--by", help="Who decides.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason, kept for ever.")]


@differences.command("list")
def list_differences(
    state: Annotated[DifferenceState, typer.Option(help="Where they stand.")] = (
        DifferenceState.OPEN
    ),
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List differences.

    Example: posgate differences list --state proposed
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after = ""
        while len(rows) < limit:
            size = min(_PAGE, limit - len(rows))
            page = await session.store.differences(state, after, size)
            if not page:
                break
            rows += [_row(one) for one in page]
            after = page[-1].id
        return rows

    show(in_session(config, work), as_json=json)


@differences.command("show")
def show_difference(
    difference_id: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show a difference, what it means, what was decided, and what its repair would post.

    Example: posgate differences show dif_0a1b…
    """

    async def work(session: Session) -> ShownDifference:
        return await Differences(session.store, session.clock).show(difference_id)

    shown = in_session(config, work)
    parts = _parts(shown)
    if json:
        print_json(parts)
        return
    for name, part in parts.items():
        if part:
            typer.echo(f"-- {name}")
            show(part if isinstance(part, list) else [part], as_json=False)


@differences.command("propose")
def propose(
    difference_id: str,
    repair: Annotated[Repair, typer.Option(help="What should be done.")],
    by: ByOption,
    why: WhyOption,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Propose a repair; another person approves it.

    Example: posgate differences propose dif_0a1b… --repair adjust --by Li --why "seen in the bill"
    """

    async def work(use: Differences) -> StoredDifference:
        return await use.propose(difference_id, repair, by, why)

    _decide(work, config, json=json)


@differences.command("approve")
def approve(
    difference_id: str,
    by: ByOption,
    why: WhyOption,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Approve what another person proposed; what posts is posted at once.

    Example: posgate differences approve dif_0a1b… --by Wang --why "agreed"
    """

    async def work(use: Differences) -> StoredDifference:
        return await use.approve(difference_id, by, why)

    _decide(work, config, json=json)


@differences.command("refuse")
def refuse(
    difference_id: str,
    by: ByOption,
    why: WhyOption,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Refuse what another person proposed: it is open again.

    Example: posgate differences refuse dif_0a1b… --by Wang --why "ask the channel first"
    """

    async def work(use: Differences) -> StoredDifference:
        return await use.refuse(difference_id, by, why)

    _decide(work, config, json=json)


@differences.command("withdraw")
def withdraw(
    difference_id: str,
    by: ByOption,
    why: WhyOption,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Take back a proposal, or an approved question that its channel does not answer: it is open again.

    Example: posgate differences withdraw dif_0a1b… --by Li --why "the account is closed"
    """

    async def work(use: Differences) -> StoredDifference:
        return await use.withdraw(difference_id, by, why)

    _decide(work, config, json=json)


@differences.command("carry-out")
def carry_out(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Post everything that was approved and, because a process died, not posted.

    Example: posgate differences carry-out
    """

    async def work(session: Session) -> int:
        return await Differences(session.store, session.clock).carry_out_approved()

    show([{"carried_out": in_session(config, work)}], as_json=json)


def _decide(
    work: Callable[[Differences], Awaitable[StoredDifference]], config: Any, *, json: bool
) -> None:
    async def whole(session: Session) -> StoredDifference:
        return await work(Differences(session.store, session.clock))

    show([_row(in_session(config, whole))], as_json=json)


def _row(one: StoredDifference) -> dict[str, Any]:
    found = one.found
    return {
        "difference_id": one.id,
        "kind": found.kind.value,
        "account": one.account_id,
        "day": found.day.isoformat(),
        "order_no": found.order_no,
        "refund_no": found.refund_no or None,
        "ours": amount_text(found.ours_fen, found.unit) or None,
        "theirs": amount_text(found.theirs_fen, found.unit) or None,
        "state": one.state.value,
        "repair": one.repair.value,
        "subject": found.subject or None,
    }


def _parts(shown: ShownDifference) -> dict[str, Any]:
    meaning = MEANINGS[shown.difference.found.kind]
    return {
        "difference": _row(shown.difference),
        "meaning": {"zh": meaning.sentence_zh, "en": meaning.sentence_en},
        "would_post": [
            {"account": line.account, "amount_fen": line.amount_fen, "currency": line.currency}
            for line in shown.would_post
        ],
        "decisions": [
            {
                "number": one.number,
                "deed": one.deed.value,
                "repair": one.repair.value,
                "by": one.by,
                "why": one.why,
                "at": iso_utc(one.at_ms),
            }
            for one in shown.decisions
        ],
    }

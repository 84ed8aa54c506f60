"""``posgate jobs list``: the work that outlives a request, as it stands open."""

from typing import Annotated, Any, Final

import typer

from domain.clock import iso_utc
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.store.port import Job, JobKind

jobs = typer.Typer(no_args_is_help=True, help="Background work that is open.")

_PAGE: Final = 500


@jobs.callback()
def _group() -> None:
    """One command stays a group of its own."""


@jobs.command("list")
def list_jobs(
    kind: Annotated[JobKind | None, typer.Option(help="Only this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List open jobs: what, in which lane, when it is due, how often it was taken.

    Example: posgate jobs list --kind refund
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after, now_ms = "", session.clock.now_ms()
        while len(rows) < limit:
            page = await session.store.jobs(kind, after, min(_PAGE, limit - len(rows)))
            if not page:
                break
            rows += [_row(job, now_ms) for job in page]
            after = f"{page[-1].kind.value}:{page[-1].subject}"
        return rows

    show(in_session(config, work), as_json=json)


def _row(job: Job, now_ms: int) -> dict[str, Any]:
    return {
        "kind": job.kind.value,
        "subject": job.subject,
        "lane": job.lane,
        "due_at": iso_utc(job.due_at_ms),
        "due_in_s": (job.due_at_ms - now_ms) // 1000,
        "taken": job.tries,
        "fence": job.fence,
    }

"""``make great-day``: a hundred thousand payments, every kind of difference planted, all found.

Every channel on an ordinary day, over New Year and over a leap day; in the embedded database, or on
a PostgreSQL of its own. Ends with one line of
figures; the exit status is 0 only if nothing was missed or invented and the ledger proves.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.store.migrate import migrate
from tests.greatday.run import DAYS, GreatDay, Outcome, Place
from tests.greatday.their_side import CHANNELS
from tests.support.postgres import PostgresServer


def main() -> int:
    """Run it and tell."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--payments", type=int, default=120_000)
    asked.add_argument("--each", type=int, default=1_000, help="of everything that differs")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    words = asked.parse_args()
    places = [Place(channel=name, calendar=day) for name in CHANNELS for day in DAYS]
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="posgate-great-day-") as name:
        great = GreatDay(Path(name), places, seed=words.seed)
        with _store(words.store, Path(name)) as url:
            outcome = asyncio.run(great.run(url, words.payments, words.each))
    _tell(outcome, time.perf_counter() - began_s)
    return 0 if outcome.is_right else 1


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty, migrated database."""
    if kind == "sqlite":
        url = f"sqlite:///{folder / 'great.db'}"
        asyncio.run(migrate(url))
        yield url
        return
    server = PostgresServer()
    try:
        server.create()
        yield server.new_database()
    finally:
        server.destroy()


def _tell(outcome: Outcome, seconds: float) -> None:
    for kind in sorted(outcome.planted | outcome.invented):
        planted, missed = outcome.planted[kind], outcome.missed[kind]
        print(f"{kind:22} planted {planted:6} missed {missed} invented {outcome.invented[kind]}")  # noqa: T201
    for what in (*outcome.named, *outcome.wrong[:40]):
        print(what, file=sys.stderr)  # noqa: T201
    print(  # noqa: T201
        f"great day: {outcome.payments} payments, {outcome.lines} bill lines, "
        f"{outcome.nights} nights, {outcome.planted.total()} differences planted: "
        f"{outcome.missed.total()} missed, {outcome.invented.total()} invented; "
        f"{outcome.repaired} repaired, ledger {'wrong' if outcome.wrong else 'proved'}; "
        f"nights {outcome.match_s:.1f} s of {seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())

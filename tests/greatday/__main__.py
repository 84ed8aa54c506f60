"""``make great-day``: a hundred thousand payments, every kind of difference planted, all found.

Every channel on an ordinary day, over New Year and over a leap day. Ends with one line of
figures; the exit status is 0 only if nothing was missed or invented and the ledger proves.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from gateway.store.migrate import migrate
from tests.greatday.run import DAYS, GreatDay, Outcome, Place
from tests.greatday.their_side import CHANNELS


def main() -> int:
    """Run it and tell."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--payments", type=int, default=120_000)
    asked.add_argument("--each", type=int, default=1_000, help="of everything that differs")
    asked.add_argument("--seed", type=int, default=0)
    words = asked.parse_args()
    places = [Place(channel=name, calendar=day) for name in CHANNELS for day in DAYS]
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="posgate-great-day-") as name:
        great = GreatDay(Path(name), places, seed=words.seed)
        outcome = asyncio.run(_run(great, Path(name), words.payments, words.each))
    _tell(outcome, time.perf_counter() - began_s)
    return 0 if outcome.is_right else 1


async def _run(great: GreatDay, folder: Path, payments: int, each: int) -> Outcome:
    url = f"sqlite:///{folder / 'great.db'}"
    await migrate(url)
    return await great.run(url, payments, each)


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

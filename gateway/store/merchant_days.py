"""Merchants' rates and settled days, and the postings that a day is settled from.

Rules: rates and statements are written once. A merchant's day is every posting on its own
account between two instants, so that what is captured, refunded or undone counts exactly
once, on the day that the books took it, whatever the bill says.
"""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from gateway.store.database import Database
from gateway.store.rows import Row
from gateway.store.statements import insert
from reconciliation.night_records import StoredRate, StoredStatement
from reconciliation.rates import MerchantRate
from reconciliation.settlement import Late, Statement

_RATE_COLUMNS: Final = (
    "merchant_no", "since", "channel", "method", "rate_ppm", "min_fen", "cap_fen", "returns_fee",
    "bears_channel_fee", "created_at_ms",
)  # fmt: skip
_RATE: Final = (
    insert("merchant_rates", _RATE_COLUMNS)
    + " ON CONFLICT (merchant_no, since, channel, method) DO NOTHING"
)
_RATES: Final = (
    f"SELECT {', '.join(_RATE_COLUMNS)} FROM merchant_rates WHERE merchant_no = ? "
    "ORDER BY since, channel, method"
)
_NUMBERS: Final = (
    "payments", "refunds", "gross_fen", "refunds_fen", "channel_fee_fen", "our_fee_fen",
)  # fmt: skip
_LATE_NUMBERS: Final = ("payments", "refunds", "gross_fen", "refunds_fen", "our_fee_fen")
_STATEMENT_COLUMNS: Final = (
    "merchant_no", "day", "currency", *_NUMBERS, "bears_channel_fee", "carried_in_fen",
    "created_at_ms", "late_json",
)  # fmt: skip
_STATEMENT: Final = (
    insert("statements", _STATEMENT_COLUMNS)
    + " ON CONFLICT (merchant_no, day, currency) DO NOTHING"
)
_SELECT: Final = f"SELECT {', '.join(_STATEMENT_COLUMNS)} FROM statements "
_OF_DAY: Final = _SELECT + "WHERE day = ? ORDER BY merchant_no, currency"
_BETWEEN: Final = _SELECT + "WHERE day >= ? AND day < ? ORDER BY day, merchant_no, currency"
_LAST_DAY: Final = "SELECT max(day) FROM statements WHERE day < ?"
_BEARERS: Final = "SELECT DISTINCT merchant_no FROM merchant_rates WHERE bears_channel_fee"
_LAST: Final = (
    _SELECT + "WHERE merchant_no = ? AND currency = ? AND day < ? ORDER BY day DESC LIMIT 1"
)


class MerchantDays:
    """The rates and statements of ``NightStore``."""

    _database: Database

    async def add_rate(self, rate: StoredRate) -> bool:
        """Keep a merchant's rate; ``False`` when one of that day, channel and method exists."""
        rule = rate.rate
        row = (
            rate.merchant_no,
            rule.since.isoformat(),
            rule.channel,
            rule.method,
            rule.rate_ppm,
            rule.min_fen,
            rule.cap_fen,
            rule.returns_fee,
            rate.bears_channel_fee,
            rate.created_at_ms,
        )
        return await self._database.write([(_RATE, row)], guards=1) is None

    async def rates(self, merchant_no: str) -> Sequence[StoredRate]:
        """A merchant's rates, oldest first."""
        return [_read_rate(row) for row in await self._database.rows(_RATES, merchant_no)]

    async def add_statement(self, statement: StoredStatement) -> bool:
        """Keep a settled day; ``False`` when it is kept already."""
        row = _statement_row(statement)
        return await self._database.write([(_STATEMENT, row)], guards=1) is None

    async def statements(self, day: date) -> Sequence[StoredStatement]:
        """Every merchant's statement of a day."""
        rows = await self._database.rows(_OF_DAY, day.isoformat())
        return [_read_statement(row) for row in rows]

    async def statements_between(self, first: date, until: date) -> Sequence[StoredStatement]:
        """Every merchant's statements of the days from ``first`` to before ``until``."""
        rows = await self._database.rows(_BETWEEN, first.isoformat(), until.isoformat())
        return [_read_statement(row) for row in rows]

    async def last_settled_day(self, before: date) -> date | None:
        """The latest day before ``before`` that has a statement of anybody's."""
        rows = await self._database.rows(_LAST_DAY, before.isoformat())
        text = rows[0][0] if rows else None
        return None if text is None else date.fromisoformat(text)

    async def fee_bearers(self) -> Sequence[str]:
        """The merchants that have a rate under which the channel's fee is theirs."""
        return [merchant_no for (merchant_no,) in await self._database.rows(_BEARERS)]

    async def last_statement(
        self, merchant_no: str, currency: str, before: date
    ) -> StoredStatement | None:
        """The merchant's latest statement before a day: what it carried out."""
        rows = await self._database.rows(_LAST, merchant_no, currency, before.isoformat())
        return _read_statement(rows[0]) if rows else None


def _read_rate(row: Row) -> StoredRate:
    merchant_no, since, channel, method, ppm, min_fen, cap_fen, returns, bears, at_ms = row
    return StoredRate(
        merchant_no=merchant_no,
        rate=MerchantRate(
            rate_ppm=ppm,
            since=date.fromisoformat(since),
            min_fen=min_fen,
            cap_fen=cap_fen,
            channel=channel,
            method=method,
            returns_fee=bool(returns),
        ),
        bears_channel_fee=bool(bears),
        created_at_ms=at_ms,
    )


def _statement_row(kept: StoredStatement) -> tuple[Any, ...]:
    one = kept.statement
    return (
        kept.merchant_no,
        kept.day.isoformat(),
        kept.currency,
        *(getattr(one, name) for name in _NUMBERS),
        one.bears_channel_fee,
        one.carried_in_fen,
        kept.created_at_ms,
        json.dumps([_late_row(late) for late in one.late]),
    )


def _late_row(late: Late) -> list[Any]:
    return [late.day.isoformat(), *(getattr(late, name) for name in _LATE_NUMBERS)]


def _read_late(row: Sequence[Any]) -> Late:
    day, *numbers = row
    return Late(day=date.fromisoformat(day), **dict(zip(_LATE_NUMBERS, numbers, strict=True)))


def _read_statement(row: Row) -> StoredStatement:
    merchant_no, day, currency, *rest = row
    numbers, others = rest[: len(_NUMBERS)], rest[len(_NUMBERS) :]
    bears, carried_in_fen, created_at_ms, late_json = others
    return StoredStatement(
        merchant_no=merchant_no,
        day=date.fromisoformat(day),
        currency=currency,
        statement=Statement(
            **dict(zip(_NUMBERS, numbers, strict=True)),
            bears_channel_fee=bool(bears),
            carried_in_fen=carried_in_fen,
            late=tuple(map(_read_late, json.loads(late_json))),
        ),
        created_at_ms=created_at_ms,
    )

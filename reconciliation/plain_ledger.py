"""The ledger as plain text that beancount reads. Pure.

Rules: every entry is one transaction with the very lines of our ledger, amounts in yuan made
from integers; account names are made of ours by a rule that never maps two to one (what is
not a letter, digit or dash becomes ``-xx-`` in hexadecimal). Entries stand by time and id, so
that the same day makes the same bytes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.ledger import Posting
from domain.money import format_yuan

_ROOTS: Final = {"channel": "Assets", "merchant": "Liabilities", "fees": "Expenses",
                 "revenue": "Income", "written_off": "Expenses", "differences": "Liabilities"}  # fmt: skip
_OTHERS: Final = "Equity"
_ODD: Final = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDay:
    """One entry: its subject and sequence, and its lines."""

    day: date
    subject: str
    sequence: int
    postings: Sequence[Posting]


def account_name(account: str) -> str:
    """``channel:alipay:a-1`` as ``Assets:Channel:Alipay:A-2d-1``."""
    parts = account.split(":")
    root = _ROOTS.get(parts[0], _OTHERS)
    return ":".join([root, *map(_component, parts)])


def _component(text: str) -> str:
    """A capital first, and nothing that beancount refuses; reversible."""
    plain = _ODD.sub(lambda odd: f"-{ord(odd[0]):x}-", text)
    first = plain[:1]
    if first.islower():
        return first.upper() + plain[1:]
    return plain if first.isdigit() else f"0-{plain}"  # no text of ours has a bare dash


def plain_ledger(entries: Iterable[LedgerDay]) -> Iterator[str]:
    """The file, line by line: accounts are opened on their first day."""
    ordered = sorted(entries, key=lambda one: (one.day, one.subject, one.sequence))
    opened: set[str] = set()
    yield 'option "operating_currency" "CNY"\n'
    for entry in ordered:
        names = [account_name(line.account) for line in entry.postings]
        for name in sorted(set(names) - opened):
            yield f"{entry.day} open {name}\n"
            opened.add(name)
        kinds = ",".join(sorted({line.entry.value for line in entry.postings}))
        yield f'{entry.day} * "{kinds}" "{entry.subject}/{entry.sequence}"\n'
        for name, line in zip(names, entry.postings, strict=True):
            yield f"  {name}  {format_yuan(line.amount_fen)} {line.currency}\n"

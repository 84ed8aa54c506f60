"""Trace and batch numbers, and what they allow (reference §6).

Rules: both run from 000001 to 999999 and begin again at 1. The trace rises for every
online transaction but a reversal, an echo and a download; a reversal has its original's.
A message names the batch of the terminal's sign-in; a sign-out may be one off, since it
is sent after a settlement, and a reversal may name an earlier one.
"""

from typing import Final

from pos_protocol.message import Message
from pos_protocol.transactions import Transaction, TransactionKind, batch_of

LAST: Final = 999_999

_K = TransactionKind
_SIGN_OUT: Final = TransactionKind.SIGN_OUT
_NO_TRACE: Final = frozenset({_K.REVERSAL, _K.ECHO, _K.DOWNLOAD, _K.DOWNLOAD_END, _K.QUERY})
_ANY_BATCH: Final = frozenset({_K.REVERSAL, _K.SIGN_IN, _K.ECHO, _K.DOWNLOAD, _K.DOWNLOAD_END,
                               _K.QUERY, _K.MASTER_KEY_DOWNLOAD})  # fmt: skip


def following(number: int) -> int:
    """The trace or batch after ``number``."""
    return number + 1 if number < LAST else 1


def takes_a_trace(kind: TransactionKind) -> bool:
    """Whether a request of this kind uses up a trace number."""
    return kind not in _NO_TRACE


def is_in_batch(message: Message, transaction: Transaction, batch: int) -> bool:
    """Whether ``message`` may name the batch that it names, ``batch`` being the open one."""
    if transaction.kind in _ANY_BATCH:
        return True
    named = batch_of(message)
    if not (named.isascii() and named.isdigit()):
        return False
    if transaction.kind is _SIGN_OUT:
        return (
            int(named) == batch or following(int(named)) == batch or following(batch) == int(named)
        )
    return int(named) == batch

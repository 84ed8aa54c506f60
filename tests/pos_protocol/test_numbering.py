"""Trace and batch numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos_protocol.codec import Message
from pos_protocol.numbering import LAST, following, is_in_batch, takes_a_trace
from pos_protocol.transactions import TRANSACTIONS, TransactionKind

K = TransactionKind


def message(batch: str, mti: str = "0200") -> Message:
    fields: dict[int, str | bytes] = {
        11: "000007",
        41: "T0000001",
        42: "M" * 15,
        60: f"22{batch}000",
    }
    return Message(bytes(5), bytes(6), mti, fields)


@given(st.integers(1, LAST))
def test_numbers_rise_by_one_and_begin_again(number: int) -> None:
    assert following(number) == (number + 1 if number < 999_999 else 1)
    assert 1 <= following(number) <= LAST


def test_what_takes_a_trace() -> None:
    """Every online transaction but reversal, echo and downloads (§6)."""
    without = {kind for kind in K if not takes_a_trace(kind)}
    assert without == {K.REVERSAL, K.ECHO, K.DOWNLOAD, K.DOWNLOAD_END, K.QUERY}


@pytest.mark.parametrize(
    ("kind", "named", "open_batch", "fits"),
    [
        (K.SALE, "000005", 5, True),
        (K.SALE, "000004", 5, False),
        (K.SALE, "00000A", 5, False),
        (K.SALE, "", 5, False),
        (K.SETTLEMENT, "000006", 5, False),
        (K.SIGN_OUT, "000005", 5, True),
        (K.SIGN_OUT, "000004", 5, True),
        (K.SIGN_OUT, "000006", 5, True),
        (K.SIGN_OUT, "000007", 5, False),
        (K.SIGN_OUT, "000001", 999_999, True),
        (K.REVERSAL, "000001", 5, True),
        (K.ECHO, "000001", 5, True),
        (K.SIGN_IN, "000000", 5, True),
    ],
)
def test_which_batch_a_message_may_name(
    kind: TransactionKind, named: str, open_batch: int, fits: bool
) -> None:
    row = next(one for one in TRANSACTIONS if one.kind is kind)
    assert is_in_batch(message(named), row, open_batch) is fits

"""What a repair posts, and what may be proposed."""

from dataclasses import replace

import pytest

from domain.ledger import is_balanced
from reconciliation.differences import MEANINGS, Difference, DifferenceKind, Repair
from reconciliation.repairs import ALLOWED, evidence_fen, postings_of
from tests.reconciliation.nights import DAY

_K = DifferenceKind
BASE = Difference(kind=_K.AMOUNT, day=DAY, order_no="A", ours_fen=1000, theirs_fen=990)


def test_every_kind_is_told_in_both_languages_and_proposes_what_is_allowed() -> None:
    assert set(MEANINGS) == set(ALLOWED) == set(DifferenceKind)
    for kind, meaning in MEANINGS.items():
        assert meaning.title_en and meaning.title_zh and meaning.sentence_en
        assert not meaning.sentence_zh.isascii()
        assert meaning.repair in ALLOWED[kind] or meaning.repair is Repair.NONE


@pytest.mark.parametrize(
    ("kind", "ours_fen", "theirs_fen", "owed_fen"),
    [
        (_K.MISSING_HERE, None, 1000, 1000),
        (_K.MISSING_THERE, 1000, None, -1000),
        (_K.AMOUNT, 1000, 990, -10),
        (_K.STATUS, 0, 1000, 1000),
        (_K.DUPLICATE, None, 1000, 1000),
        (_K.REFUND_MISSING_HERE, None, 300, -300),
        (_K.REFUND_MISSING_THERE, 300, None, 300),
        (_K.REFUND_AMOUNT, 300, 310, -10),
        (_K.FEE, 6000, 7000, 0),
        (_K.LATE, 1000, 1000, 0),
    ],
)
def test_the_evidence_is_what_the_channel_says_beside_what_we_say(
    kind: DifferenceKind, ours_fen: int | None, theirs_fen: int | None, owed_fen: int
) -> None:
    difference = replace(BASE, kind=kind, ours_fen=ours_fen, theirs_fen=theirs_fen)
    assert evidence_fen(difference) == owed_fen
    for repair in (Repair.ADJUST, Repair.WRITE_OFF):
        lines = postings_of(difference, repair, "alipay", "a1", "CNY")
        assert is_balanced(lines)
        moved = [line.amount_fen for line in lines if line.account == "channel:alipay:a1"]
        assert moved == ([owed_fen] if owed_fen else [])


def test_a_question_posts_nothing_by_itself() -> None:
    with pytest.raises(ValueError, match="does not post"):
        postings_of(BASE, Repair.QUERY_AGAIN, "alipay", "a1", "CNY")

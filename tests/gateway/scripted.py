"""What scripted channels answer in the tests of payments."""

from channels.port import Answer, UndoAnswer, Verdict
from domain.decline import Decline, DeclineReason

PAID = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T1")
LOST = Answer(verdict=Verdict.UNKNOWN)
ACTING = Answer(verdict=Verdict.PENDING)
MISSING = Answer(verdict=Verdict.UNKNOWN, not_found=True)
NO = Answer(verdict=Verdict.DECLINED, reason=DeclineReason.RISK, channel_code="X")
CLOSED = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False)
RETURNED = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True)
NOT_TOLD = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=None)
SILENT = UndoAnswer(verdict=Verdict.UNKNOWN)

CANCELLED = Decline(DeclineReason.CANCELLED)

"""What a terminal sent, and what the answer to it came to.

Rule: an answer that cannot be read, that belongs to something else or whose MAC is wrong
proves nothing; :attr:`Outcome.reversal_reason` says what F39 the reversal takes.
"""

import enum
from dataclasses import dataclass, field
from typing import Final

from pos_protocol.message import Message
from pos_protocol.response_codes import MAC_ERROR, REVERSAL_DONE, TIMED_OUT

NO_ANSWER: Final = TIMED_OUT
BAD_MAC: Final = MAC_ERROR
OTHER_FAULT: Final = "06"


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent: the payload (unframed) and the message it says."""

    payload: bytes
    message: Message

    @property
    def trace(self) -> str:
        """F11, ``""`` for an echo."""
        return self.message.text(11)

    def __repr__(self) -> str:
        return f"Request({self.message!r})"


class AnswerFault(enum.Enum):
    """Why an answer proves nothing."""

    UNREADABLE = "unreadable"
    MISMATCH = "mismatch"
    BAD_MAC = "bad_mac"
    BAD_KEYS = "bad_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an answer came to; ``approved`` only if nothing is wrong with it.

    ``reversal_reason`` is F39 of the reversal that a sale now needs, ``""`` when the
    answer can be believed. ``amount_fen`` is the host's (a partial approval differs).
    ``instruction`` is nibble 5 of the header.
    """

    approved: bool
    response_code: str = ""
    fault: AnswerFault | None = None
    detail: str = ""
    reference: str = ""
    auth_code: str = field(default="", repr=False)
    amount_fen: int = 0
    instruction: int = 0
    message: Message | None = None

    @property
    def reversal_reason(self) -> str:
        """A0 for a wrong MAC, 06 for anything else that cannot be believed, or ``""``."""
        if self.fault is None:
            return ""
        return BAD_MAC if self.fault is AnswerFault.BAD_MAC else OTHER_FAULT

    @property
    def is_reversal_done(self) -> bool:
        """Whether this answer to a reversal ends it (00, 12, 25)."""
        return self.fault is None and self.response_code in REVERSAL_DONE

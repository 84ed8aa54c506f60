"""What one answer of ACP says about a payment or a return: one reader for both. Pure.

Rules (reference ``channels.md`` C1): the answer to a call says at best *accepted*; only a query
whose own ``respCode`` is 00 says in ``origRespCode`` what became of it. An answer with an
``origRespCode`` is a query's and answers no call. Whatever cannot be believed says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from channels.port import Advice, HttpResponse, Verdict
from channels.unionpay.qr_codes import MISCONFIGURED, NOT_FOUND, SUCCESS, UNKNOWN, Outcome
from channels.unionpay.qr_envelope import AcpAccount, Distrusted, Fields, message_of, verified
from domain.decline import DeclineReason

_ACCEPTED: Final = (Verdict.PENDING, Verdict.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What there is of an answer; ``fields`` are the verified ones, none of a distrusted one."""

    verdict: Verdict
    code: str
    message: str
    reason: DeclineReason | None = None
    advice: Advice | None = None
    not_found: bool = False
    answered: bool = False
    unlisted: bool = False
    fields: Fields = field(default_factory=dict, repr=False)


def said_to_call(
    response: HttpResponse,
    account: AcpAccount,
    asked: Fields,
    codes: Mapping[str, Outcome],
    now_ms: int,
) -> Said:
    """The answer to a payment or a return that was just sent: at best, accepted."""
    try:
        fields = verified(response, account, asked, now_ms)
        if "origRespCode" in fields:
            raise Distrusted("an answer to a query", fields.get("respCode", ""))
    except Distrusted as fault:
        return said_nothing(fault)
    code = fields.get("respCode", "")
    outcome = codes.get(code, UNKNOWN)
    is_accepted = outcome.verdict in _ACCEPTED
    return Said(
        verdict=Verdict.PENDING if is_accepted else outcome.verdict,
        code=code,
        message=message_of(fields),
        reason=outcome.reason,
        advice=outcome.advice,
        answered=bool(code),
        unlisted=code not in codes,
        fields=fields,
    )


def said_to_query(
    response: HttpResponse,
    account: AcpAccount,
    asked: Fields,
    codes: Mapping[str, Outcome],
    now_ms: int,
) -> Said:
    """What a query says became of what it was asked about."""
    try:
        fields = verified(response, account, asked, now_ms)
        own = fields.get("respCode", "")
        if own == SUCCESS and not fields.get("origRespCode"):
            raise Distrusted("not an answer to a query", own)
    except Distrusted as fault:
        return said_nothing(fault)
    # a query that was not well itself says nothing of what it was asked about
    code = fields.get("origRespCode", "") if own == SUCCESS else ""
    outcome = codes.get(code, UNKNOWN)
    return Said(
        verdict=outcome.verdict,
        code=code or own,
        message=message_of(fields),
        reason=outcome.reason,
        advice=Advice.CONFIGURATION if own in MISCONFIGURED else outcome.advice,
        not_found=own == NOT_FOUND,
        answered=True,
        unlisted=(code or own) not in codes,
        fields=fields,
    )


def said_nothing(fault: Distrusted) -> Said:
    """An answer that cannot be believed."""
    return Said(
        verdict=Verdict.UNKNOWN,
        code=fault.code,
        message=fault.why,
        advice=Advice.CONFIGURATION if fault.misconfigured else None,
    )


def amount_of(fields: Fields) -> int:
    """``txnAmt``; raises :class:`Distrusted`."""
    text = fields.get("txnAmt", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Distrusted("done, and no amount that can be read", fields.get("respCode", ""))
    return int(text)

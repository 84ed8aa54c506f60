"""The frame of every call over HTTP: what a fault becomes, and what is shown of it."""

import asyncio

import pytest

from channels.one_call import Unwritable, call_once, unanswered, what
from channels.payer_orders import PayerAnswer
from channels.port import Answer, AnswerLost, HttpRequest, HttpResponse, NotSent, Verdict

REQUEST = HttpRequest(method="POST", url="https://x.example", headers={}, body=b"", timeout_s=1.0)
RESPONSE = HttpResponse(200, {}, b"")
CODE = "134567890123456789"


def _read(response: HttpResponse) -> Answer:
    return Answer(verdict=Verdict.SUCCEEDED, amount_fen=response.status)


async def _send(request: HttpRequest) -> HttpResponse:
    return RESPONSE


async def test_what_is_read_is_answered() -> None:
    answer = await call_once(Answer, lambda: REQUEST, _send, _read)
    assert answer == Answer(verdict=Verdict.SUCCEEDED, amount_fen=200)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Unwritable("no payment code"), "no payment code"),
        (ValueError(f"invalid literal for int(): {CODE!r}"), "ValueError"),
        (UnicodeEncodeError("ascii", CODE, 0, 1, "no"), "UnicodeEncodeError"),
    ],
)
async def test_what_cannot_be_built_is_not_sent_and_quotes_no_payer(
    fault: Exception, text: str
) -> None:
    sent: list[HttpRequest] = []

    def build() -> HttpRequest:
        raise fault

    async def send(request: HttpRequest) -> HttpResponse:
        sent.append(request)
        return RESPONSE

    answer = await call_once(Answer, build, send, _read)
    assert answer == Answer(verdict=Verdict.NOT_SENT, unwritable=True, channel_message=text)
    assert not sent


@pytest.mark.parametrize(
    ("fault", "verdict", "text"),
    [
        (NotSent("refused"), Verdict.NOT_SENT, "refused"),
        (AnswerLost("no answer"), Verdict.UNKNOWN, "no answer"),
        (TimeoutError(), Verdict.UNKNOWN, "TimeoutError"),
        (Unwritable("after it left"), Verdict.UNKNOWN, "after it left"),
        (KeyError(CODE), Verdict.UNKNOWN, "KeyError"),
    ],
)
async def test_only_what_surely_never_left_is_not_sent(
    fault: Exception, verdict: Verdict, text: str
) -> None:
    async def send(request: HttpRequest) -> HttpResponse:
        raise fault

    answer = await call_once(Answer, lambda: REQUEST, send, _read)
    assert answer == Answer(verdict=verdict, channel_message=text)
    assert unanswered(PayerAnswer, fault) == PayerAnswer(verdict=verdict, channel_message=text)
    assert what(fault) == text


async def test_a_defect_in_reading_is_unknown() -> None:
    def read(response: HttpResponse) -> Answer:
        raise IndexError(CODE)

    answer = await call_once(Answer, lambda: REQUEST, _send, read)
    assert answer == Answer(verdict=Verdict.UNKNOWN, channel_message="IndexError")


async def test_cancellation_passes_through() -> None:
    async def send(request: HttpRequest) -> HttpResponse:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await call_once(Answer, lambda: REQUEST, send, _read)

"""The payers' door: one request of a browser in, one page out, whatever carried it here.

Rules: one wrapper (:meth:`PageDoor.handle`) bounds, measures, opens the cookie, maps every
error of ours to a plain page, and writes one log line; what a page says is made elsewhere.
Nobody is authenticated here: a request may change what its own session's seals allow, and
nothing else. No answer quotes what was sent, and no line of the log names a code, a payer or
a ticket. No aiohttp and no socket in here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from domain.clock import Clock
from domain.errors import NotFound, RequestError, Unavailable
from gateway.checkout.port import CheckoutPages
from gateway.http.pages.answers import Answers, Visit
from gateway.http.pages.counters import Counters, FindCode, is_code
from gateway.http.pages.languages import preferred
from gateway.http.pages.presses import Presses
from gateway.http.pages.rates import RateLimit
from gateway.http.pages.rendering import Plain
from gateway.http.pages.requests import JSON, Action, PageRequest, PageResponse, cookie_of
from gateway.http.pages.texts import State
from gateway.http.pages.tickets import Tickets
from gateway.http.pages.visits import Visits
from gateway.logs import Log
from gateway.metrics import Metrics

_POSTS: Final = frozenset((Action.PAY, Action.RELEASE))
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRates:
    """How often one code and one address may ask, and how often they may press."""

    code_per_s: float
    code_burst: int
    address_per_s: float
    address_burst: int
    code_presses_per_s: float
    code_presses_burst: int
    address_presses_per_s: float
    address_presses_burst: int
    max_keys: int


class _Limits:
    """The four buckets."""

    def __init__(self, rates: PageRates) -> None:
        keys = rates.max_keys
        self._codes = RateLimit(per_s=rates.code_per_s, burst=rates.code_burst, max_keys=keys)
        self._addresses = RateLimit(
            per_s=rates.address_per_s, burst=rates.address_burst, max_keys=keys
        )
        self._code_presses = RateLimit(
            per_s=rates.code_presses_per_s, burst=rates.code_presses_burst, max_keys=keys
        )
        self._address_presses = RateLimit(
            per_s=rates.address_presses_per_s, burst=rates.address_presses_burst, max_keys=keys
        )

    def admit(self, request: PageRequest, now_s: float) -> bool:
        """The address first: what one address spends in vain must not close a shop's code."""
        if not self._addresses.admit(request.address, now_s):
            return False
        if request.action in _POSTS and not self._address_presses.admit(request.address, now_s):
            return False
        if not self._codes.admit(request.code_id, now_s):
            return False
        return request.action not in _POSTS or self._code_presses.admit(request.code_id, now_s)

    def kept(self) -> int:
        """Keys remembered."""
        every = (self._codes, self._addresses, self._code_presses, self._address_presses)
        return sum(limit.kept() for limit in every)


class PageDoor:
    """Every page below ``/q/``."""

    def __init__(
        self,
        *,
        public_url: str,
        pages: CheckoutPages,
        find_code: FindCode,
        tickets: Tickets,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        rates: PageRates,
        max_in_flight: int,
    ) -> None:
        counters = Counters(find_code, pages)
        self._answers = Answers(tickets)
        self._tickets = tickets
        presses = Presses(
            public_url=public_url,
            pages=pages,
            counters=counters,
            tickets=tickets,
            answers=self._answers,
        )
        visits = Visits(
            public_url=public_url,
            pages=pages,
            counters=counters,
            tickets=tickets,
            answers=self._answers,
            presses=presses,
        )
        self._handlers: dict[Action, Callable[[Visit], Awaitable[PageResponse]]] = {
            Action.SHOW: visits.show,
            Action.BACK: visits.back,
            Action.PAY: presses.pay,
            Action.STATE: presses.state,
            Action.RELEASE: presses.release,
            Action.DONE: visits.done,
        }
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._limits = _Limits(rates)
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    def in_flight(self) -> int:
        """Requests being answered."""
        return self._in_flight

    def remembered(self) -> int:
        """Codes and addresses that the rate limits remember."""
        return self._limits.kept()

    async def handle(self, request: PageRequest) -> PageResponse:
        """Answer one request. Never raises but when it is cancelled."""
        started_s = self._clock.monotonic_s()
        self._in_flight += 1
        try:
            answer, fault = await self._answer(self._visit(request), started_s)
        finally:
            self._in_flight -= 1
        self._metrics.request("page", str(answer.status))
        self._line(request, answer, fault, started_s)
        return answer

    def _visit(self, request: PageRequest) -> Visit:
        now_ms = self._clock.now_ms()
        cookie = cookie_of(request.cookies)
        session = self._tickets.open_session(request.code_id, cookie, now_ms) if cookie else None
        language = preferred(request.accept_language)
        return Visit(request=request, session=session, language=language, now_ms=now_ms)

    async def _answer(self, visit: Visit, now_s: float) -> tuple[PageResponse, str]:
        """The answer, and the code of what went wrong for the log."""
        request = visit.request
        if self._in_flight > self._max_in_flight:
            return self._busy(visit, 503), "too_many_in_flight"
        if not is_code(request.code_id):
            return self._plain(visit, State.UNKNOWN), ""
        if not self._limits.admit(request, now_s):
            return self._busy(visit, _TOO_MANY), "rate_limited"
        try:
            return await self._handlers[request.action](visit), ""
        except NotFound:
            return self._plain(visit, State.UNKNOWN), "not_found"
        except RequestError as error:
            return self._answers.refused(visit, error), error.code
        except Unavailable:
            return self._busy(visit, 503), "unavailable"
        except Exception:
            self._log.exception("page fault", action=request.action.value)
            return self._busy(visit, 500), "internal_error"

    def _plain(self, visit: Visit, state: State) -> PageResponse:
        return self._answers.plain(visit, Plain(state=state))

    def _busy(self, visit: Visit, status: int) -> PageResponse:
        if visit.request.action is Action.STATE:
            return PageResponse(status=status, body=b'{"state":"busy"}', content_type=JSON)
        page = Plain(state=State.BUSY, begin_again=visit.home)
        shown = self._answers.plain(visit, page)
        return PageResponse(status=status, body=shown.body, state=shown.state)

    def _line(
        self, request: PageRequest, answer: PageResponse, fault: str, started_s: float
    ) -> None:
        """The one canonical line of a request."""
        if request.action is Action.STATE and answer.status == 200:
            return  # the watch of every open page; /metrics counts it
        fields: dict[str, object] = {
            "call": request.action.value or "show",
            "status": answer.status,
            "state": answer.state,
            "ms": round((self._clock.monotonic_s() - started_s) * 1000, 1),
        }
        if answer.checkout_id:
            fields["payment_id"] = answer.checkout_id
        if fault:
            fields["code"] = fault
        self._log.info("page request", **fields)

"""The answers of the page's door: a rendering, its status, and the session's cookie.

Rules: a page that says no has a status that says so too (a probe must not see 200); a
sentence of ours never quotes what was sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.errors import OverLimit, RequestError
from gateway.http.pages.languages import Language
from gateway.http.pages.rendering import (
    OrderPage,
    Payable,
    Plain,
    render_order,
    render_payable,
    render_plain,
)
from gateway.http.pages.requests import PageRequest, PageResponse, set_cookie
from gateway.http.pages.texts import State
from gateway.http.pages.tickets import SESSION_S, Session, Tickets

STATUSES: Final[Mapping[State, int]] = MappingProxyType(
    {
        State.UNKNOWN: 404,
        State.DISABLED: 410,
        State.EXPIRED: 410,
        State.STALE: 403,
        State.NOT_OPEN: 403,
        State.REFUSED: 422,
        State.BUSY: 503,
    }
)
"""What a plain page is answered with; every other is 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request with what its browser carries; ``now_ms`` is when it came."""

    request: PageRequest
    session: Session | None
    language: Language
    now_ms: int

    @property
    def code_id(self) -> str:
        """Of which code."""
        return self.request.code_id

    @property
    def home(self) -> str:
        """The path of the code's page."""
        return f"/q/{self.request.code_id}"


class Answers:
    """Renders and seals."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets

    def plain(self, visit: Visit, page: Plain) -> PageResponse:
        """A head and a sentence; it begins no session."""
        return PageResponse(
            status=STATUSES.get(page.state, 200),
            body=render_plain(page, visit.language),
            state=page.state.value,
        )

    def stale(self, visit: Visit) -> PageResponse:
        """What was asked for was of another session, or of a form that is over."""
        return self.plain(visit, Plain(state=State.STALE, begin_again=visit.home))

    def payable(self, visit: Visit, page: Payable, session: Session) -> PageResponse:
        """The form; with a fault it is 422."""
        return PageResponse(
            status=422 if page.fault else 200,
            body=render_payable(page, visit.language),
            cookie=self._cookie(visit, session),
            state=State.READY.value,
        )

    def order(
        self, visit: Visit, page: OrderPage, session: Session, checkout_id: str
    ) -> PageResponse:
        """One order."""
        return PageResponse(
            status=200,
            body=render_order(page, visit.language),
            cookie=self._cookie(visit, session),
            state=page.state.value,
            checkout_id=checkout_id,
        )

    def elsewhere(
        self, visit: Visit, location: str, session: Session | None = None, status: int = 303
    ) -> PageResponse:
        """Go there; ``location`` is ours, or the wallet's own log-in."""
        return PageResponse(status=status, location=location, cookie=self._cookie(visit, session))

    def refused(self, visit: Visit, error: RequestError) -> PageResponse:
        """The caller's fault; a limit says in its own words which."""
        sentence = ""
        if isinstance(error, OverLimit):
            sentence = error.message_zh if visit.language is Language.ZH else error.message
        page = Plain(state=State.REFUSED, sentence=sentence, begin_again=visit.home)
        return self.plain(visit, page)

    def _cookie(self, visit: Visit, session: Session | None) -> str:
        """Set it where it changed, and renew nothing: a session ends by its own time."""
        if session is None or session == visit.session:
            return ""
        left_s = SESSION_S - (visit.now_ms - session.begun_at_ms) // 1000
        value = self._tickets.seal_session(visit.code_id, session)
        return set_cookie(visit.code_id, value, max(1, left_s))

"""What a payer's browser carries for us: its session, and words that only that session can say.

Rules:

* Nothing of a visit is kept in memory: everything is sealed (AES-256-GCM) and bound by its
  context to one code and one session, so that a ticket of another code, another browser or
  another purpose does not open, and any process can serve the next step.
* The state that goes through the wallet's log-in is a keyed hash over the session and a
  nonce that is in the cookie alone: letters and digits only, as WeChat wants it. It is good
  until the payer is known, once.
* A press has a key of its own, made with the form: pressing twice is one order.
* Everything ends by time: the session with ``SESSION_S``, a form with ``FORM_S``.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from gateway.http.pages.wallets import Wallet
from signing.keywrap import Sealer, SealError

SESSION_S: Final = 7200
"""As long as an order may live."""
FORM_S: Final = 3600
_SESSION_BYTES: Final = 16
_NONCE_BYTES: Final = 8
_KEY_BYTES: Final = 16
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser at one code.

    ``nonce`` is set while the wallet is asked who pays; ``payer_id`` once it has said so.
    ``checkout_id`` is the order that is being looked at, ``""`` where there is none yet.
    """

    session_id: str = field(repr=False)
    begun_at_ms: int
    nonce: str = field(default="", repr=False)
    wallet: Wallet | None = None
    payer_id: str = field(default="", repr=False)
    checkout_id: str = ""

    def looking_at(self, checkout_id: str) -> "Session":
        """The session once an order is its own."""
        return self if self.checkout_id == checkout_id else replace(self, checkout_id=checkout_id)


class Tickets:
    """Makes and opens them."""

    def __init__(self, sealer: Sealer, random_bytes: Callable[[int], bytes]) -> None:
        self._sealer = sealer
        self._random_bytes = random_bytes

    def new_session(self, now_ms: int) -> Session:
        """A browser that was not here before."""
        return Session(session_id=self._random_bytes(_SESSION_BYTES).hex(), begun_at_ms=now_ms)

    def asking(self, session: Session, wallet: Wallet) -> Session:
        """The session while ``wallet`` is asked; an asking that is under way goes on."""
        if session.nonce and session.wallet is wallet:
            return session  # a second tab of the same browser
        nonce = self._random_bytes(_NONCE_BYTES).hex()
        return replace(session, nonce=nonce, wallet=wallet, payer_id="")

    def named(self, session: Session, payer_id: str) -> Session:
        """The session once the wallet has said who pays; its state is used up."""
        return replace(session, nonce="", payer_id=payer_id)

    def state(self, code_id: str, session: Session) -> str:
        """What the wallet hands back, 32 hexadecimal digits."""
        said = f"page state\0{code_id}\0{session.session_id}\0{session.nonce}"
        return self._sealer.token(said.encode()).hex()

    def is_state(self, code_id: str, session: Session, state: str) -> bool:
        """Whether ``state`` is what this very session was sent away with."""
        if not session.nonce or not state.isascii():
            return False
        return hmac.compare_digest(self.state(code_id, session), state)

    def seal_session(self, code_id: str, session: Session) -> str:
        """The cookie's value."""
        wallet = session.wallet.value if session.wallet is not None else ""
        fields = (
            session.session_id,
            session.begun_at_ms,
            session.nonce,
            wallet,
            session.payer_id,
            session.checkout_id,
        )
        return self._seal(fields, f"page session\0{code_id}")

    def open_session(self, code_id: str, cookie: str, now_ms: int) -> Session | None:
        """The session of a cookie; ``None`` for one that is not ours, of another code, or old."""
        fields = self._open(cookie, f"page session\0{code_id}")
        if fields is None:
            return None
        session_id, begun_at_ms, nonce, wallet, payer_id, checkout_id = fields
        if not 0 <= now_ms - begun_at_ms < SESSION_S * 1000:
            return None
        return Session(
            session_id=session_id,
            begun_at_ms=begun_at_ms,
            nonce=nonce,
            wallet=Wallet(wallet) if wallet else None,
            payer_id=payer_id,
            checkout_id=checkout_id,
        )

    def new_form(self, code_id: str, session: Session, now_ms: int) -> str:
        """A form's one-time token: the key of the press that it may become."""
        fields = (self._random_bytes(_KEY_BYTES).hex(), now_ms)
        return self._seal(fields, f"page form\0{code_id}\0{session.session_id}")

    def press_key(self, code_id: str, session: Session, form: str, now_ms: int) -> str:
        """The key in a form's token; ``""`` for one of another session, or an old one."""
        fields = self._open(form, f"page form\0{code_id}\0{session.session_id}")
        if fields is None:
            return ""
        key, made_at_ms = fields
        return str(key) if 0 <= now_ms - made_at_ms < FORM_S * 1000 else ""

    def order_handle(self, code_id: str, session: Session, checkout_id: str) -> str:
        """How this session names an order in an address."""
        return self._seal((checkout_id,), f"page order\0{code_id}\0{session.session_id}")

    def order_of(self, code_id: str, session: Session, handle: str) -> str:
        """The order behind a handle; ``""`` for one that this session was not given."""
        fields = self._open(handle, f"page order\0{code_id}\0{session.session_id}")
        return "" if fields is None else str(fields[0])

    def _seal(self, fields: tuple[object, ...], context: str) -> str:
        sealed = self._sealer.seal(orjson.dumps(fields), context.encode())
        return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def _open(self, text: str, context: str) -> list[Any] | None:
        """The fields that were sealed for this context; ``None`` for anything else."""
        if not text or len(text) > _LONGEST:
            return None
        try:
            sealed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            plain = self._sealer.open(sealed, context.encode())
        except (UnicodeEncodeError, Base64Error, ValueError, SealError):
            return None
        fields: list[Any] = orjson.loads(plain)
        return fields

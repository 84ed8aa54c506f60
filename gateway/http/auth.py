"""Who signed this request: the merchant HMAC scheme of ``docs/contract.md``.

Rules: the signature is checked over the raw path and the raw body before anything
is parsed; then the time, then the nonce, so that nothing unsigned costs memory.
An unknown key and a wrong signature look the same from outside.
"""

from collections.abc import Callable
from typing import Final

from domain.clock import Clock
from domain.errors import Unauthorized
from domain.record import brief
from gateway.directory import Directory, KnownKey
from gateway.http.nonces import Nonces
from signing.merchant import (
    MerchantSecret,
    MerchantSignatureError,
    answer_string,
    parse_authorization,
    request_string,
)

_NOBODY: Final = MerchantSecret(b"no such key")


@brief
class AnswerSignature:
    """The three headers that sign an answer."""

    timestamp: str
    nonce: str
    signature: str


class Authenticator:
    """Checks requests and signs answers."""

    def __init__(
        self,
        *,
        directory: Directory,
        nonces: Nonces,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        window_s: int,
    ) -> None:
        self._directory = directory
        self._nonces = nonces
        self._clock = clock
        self._random_bytes = random_bytes
        self._window_s = window_s

    async def authenticate(self, method: str, raw_path: str, header: str, body: bytes) -> KnownKey:
        """The key that signed the request.

        Raises:
            Unauthorized: ``authorization_missing``, ``authorization_malformed``,
                ``signature_invalid``, ``timestamp_outside_window`` or ``nonce_used``.
            Unavailable: the nonce cannot be remembered.
        """
        if not header:
            raise Unauthorized("authorization_missing", "sign the request; see /docs")
        try:
            given = parse_authorization(header)
        except MerchantSignatureError:
            raise Unauthorized(
                "authorization_malformed", "the Authorization header is not of the form in /docs"
            ) from None
        directory, key_id = self._directory, given.key_id
        known = directory.fresh_key(key_id) or await directory.api_key(key_id)
        secret = _NOBODY if known is None else known.secret
        message = request_string(method, raw_path, given.timestamp, given.nonce, body)
        if not secret.verify(message, given.signature) or known is None:
            raise Unauthorized("signature_invalid", "unknown key or wrong signature")
        timestamp_s = int(given.timestamp)
        if abs(timestamp_s - self._clock.now_ms() // 1000) > self._window_s:
            raise Unauthorized(
                "timestamp_outside_window",
                f"the timestamp is more than {self._window_s} s from this server's time",
            )
        if not await self._nonces.use(given.key_id, given.nonce, timestamp_s + self._window_s):
            raise Unauthorized("nonce_used", "this nonce was used before; make a new one")
        return known

    def sign_answer(self, key: KnownKey, body: bytes) -> AnswerSignature:
        """Sign an answer with the merchant's secret."""
        timestamp = str(self._clock.now_ms() // 1000)
        nonce = self._random_bytes(12).hex()
        return AnswerSignature(
            timestamp, nonce, key.secret.sign(answer_string(timestamp, nonce, body))
        )

    async def is_allowed(self, key: KnownKey) -> bool:
        """Whether a key that was good is good still."""
        return await self._directory.api_key(key.key_id) is not None

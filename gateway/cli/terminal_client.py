"""A POS terminal with a line to its gateway: what ``posgate terminal`` and the demo sell with.

Rule: no key leaves this file but in the wrapped form in which it came.
"""

from dataclasses import dataclass
from typing import Final

from domain.errors import InvalidRequest, Unavailable
from gateway.cli.terminal_line import Address, line_to
from gateway.terminal_options import dialect_of, mac_of
from pos_protocol.codec import body_offset
from pos_protocol.dialect import Dialect
from pos_protocol.push import PUSH_MTI
from pos_protocol.terminal import (
    Outcome,
    Request,
    Terminal,
    TerminalIdentity,
    TerminalScheme,
)
from signing.pos import (
    CipherKey,
    KeyCheckError,
    KeyScheme,
    PinBlockError,
    encrypt_pin_block,
    encrypt_track,
    unwrap_working_keys,
)

SCHEMES: Final = {
    "des": TerminalScheme.DES,
    "3des": TerminalScheme.TDES,
    "3des-tdk": TerminalScheme.TDES_TDK,
    "sm4": TerminalScheme.SM4,
}
ANSWER_TIMEOUT_S: Final = 60.0
_MAX_PUSHES: Final = 64
"""So many messages that nobody asked for are passed over while an answer is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalPlace:
    """Which terminal, with which keys and options, at which gateway.

    ``options_json`` is that of the terminal as provisioned; for the rest see
    :class:`gateway.cli.terminal_line.Address`.
    """

    host: str
    port: int
    merchant_id: str
    terminal_id: str
    tmk: bytes
    key_scheme: str = "3des"
    mac: str = "cup-ecb"
    options_json: str = "{}"
    ca_file: str = ""
    certificate_file: str = ""
    https: bool = False

    @property
    def dialect(self) -> Dialect:
        """What this terminal does otherwise than the usual one."""
        return dialect_of(self.key_scheme, self.mac, self.options_json)

    def __repr__(self) -> str:
        return f"TerminalPlace({self.terminal_id!r} at {self.host}:{self.port})"


class TerminalSecurity:
    """The terminal's keys, behind ``TerminalCrypto`` and ``TrackCipher`` of ``pos_protocol``."""

    def __init__(self, place: TerminalPlace) -> None:
        self._scheme = KeyScheme(place.key_scheme)
        self._master = CipherKey(place.tmk, self._scheme.algorithm)
        self._mac = mac_of(place.dialect)
        self._mac_key: CipherKey | None = None
        self._pin_key: CipherKey | None = None
        self._track_key: CipherKey | None = None
        self.wrapped_keys = b""

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        """See the protocol; keeps the wrapped form so that it can be kept on disk."""
        if self._scheme.code != scheme.value:
            return False
        try:
            working = unwrap_working_keys(self._scheme, self._master, keys)
        except KeyCheckError:
            return False
        algorithm = self._scheme.algorithm
        self._mac_key = CipherKey(working.mac, algorithm)
        self._pin_key = CipherKey(working.pin, algorithm)
        self._track_key = CipherKey(working.track, algorithm) if working.track else None
        self.wrapped_keys = keys
        return True

    def mac(self, data: bytes) -> bytes:
        """See the protocol; before a sign-in there is no key, and zeros are refused."""
        return b"0" * 8 if self._mac_key is None else self._mac(self._mac_key, data)

    def pin_block(self, pin: str, pan: str) -> bytes:
        """See the protocol."""
        if self._pin_key is None:
            raise Unavailable("sign in first: there is no PIN key")
        try:
            return encrypt_pin_block(pin, pan, self._pin_key)
        except PinBlockError as error:
            raise InvalidRequest("wrong_pin", f"no PIN can be sent: {error}") from None

    def encrypt_track(self, track: str) -> str:
        """See the protocol."""
        if self._track_key is None:
            raise Unavailable("sign in first: there is no track key")
        try:
            return encrypt_track(track, self._track_key)
        except ValueError as error:
            raise InvalidRequest("wrong_track", f"the track cannot be encrypted: {error}") from None


class TerminalClient:
    """One terminal on one line, one message at a time."""

    def __init__(
        self,
        place: TerminalPlace,
        *,
        trace: int = 1,
        batch: str = "000000",
        patience_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.security = TerminalSecurity(place)
        identity = TerminalIdentity(
            terminal_id=place.terminal_id,
            merchant_id=place.merchant_id,
            scheme=SCHEMES[place.key_scheme],
            dialect=place.dialect,
        )
        self.terminal = Terminal(
            identity, self.security, trace=trace, batch=batch, track_cipher=self.security
        )
        address = Address(
            host=place.host,
            port=place.port,
            ca_file=place.ca_file,
            certificate_file=place.certificate_file,
            https=place.https,
        )
        self._line = line_to(address, patience_s)

    async def connect(self) -> None:
        """Have a connection; nothing is sent by it.

        Raises:
            Unavailable: the gateway cannot be reached.
        """
        await self._line.connect()

    async def exchange(self, request: Request) -> Outcome:
        """Send and wait for the answer.

        Raises:
            Unavailable: the gateway cannot be reached, or said nothing.
        """
        payload = await self._line.send(request.payload)
        for _ in range(_MAX_PUSHES):
            if not _is_push(payload):
                break
            payload = await self._line.receive()
        return self.terminal.read(request, payload)

    async def close(self) -> None:
        """Hang up."""
        await self._line.close()


def _is_push(payload: bytes) -> bool:
    """Whether this is a message of the host's own accord (``pos_protocol/push.py``)."""
    body = body_offset(payload)
    return payload[body : body + 2].hex() == PUSH_MTI

"""A POS terminal with a socket: what ``posgate terminal`` and the demo sell with."""

import asyncio
from dataclasses import dataclass
from typing import Final

from domain.errors import Unavailable
from pos_protocol.framing import frame
from pos_protocol.terminal import (
    Outcome,
    Request,
    Terminal,
    TerminalIdentity,
    TerminalScheme,
)
from signing.pos import (
    MAC_ALGORITHMS,
    CipherKey,
    KeyCheckError,
    KeyScheme,
    encrypt_pin_block,
    unwrap_working_keys,
)

SCHEMES: Final = {
    "des": TerminalScheme.DES,
    "3des": TerminalScheme.TDES,
    "3des-tdk": TerminalScheme.TDES_TDK,
}
ANSWER_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalPlace:
    """Which terminal, with which keys, at which gateway."""

    host: str
    port: int
    merchant_id: str
    terminal_id: str
    tmk: bytes
    key_scheme: str = "3des"
    mac: str = "cup-ecb"

    def __repr__(self) -> str:
        return f"TerminalPlace({self.terminal_id!r} at {self.host}:{self.port})"


class TerminalSecurity:
    """The terminal's keys, behind ``pos_protocol.terminal.TerminalCrypto``."""

    def __init__(self, place: TerminalPlace) -> None:
        self._scheme = KeyScheme(place.key_scheme)
        self._master = CipherKey(place.tmk)
        self._mac = MAC_ALGORITHMS[place.mac]
        self._mac_key: CipherKey | None = None
        self._pin_key: CipherKey | None = None
        self.wrapped_keys = b""

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        """See the protocol; keeps the wrapped form so that it can be kept on disk."""
        if self._scheme.code != scheme.value:
            return False
        try:
            working = unwrap_working_keys(self._scheme, self._master, keys)
        except KeyCheckError:
            return False
        self._mac_key, self._pin_key = CipherKey(working.mac), CipherKey(working.pin)
        self.wrapped_keys = keys
        return True

    def mac(self, data: bytes) -> bytes:
        """See the protocol; before a sign-in there is no key, and zeros are refused."""
        return b"0" * 8 if self._mac_key is None else self._mac(self._mac_key, data)

    def pin_block(self, pin: str, pan: str) -> bytes:
        """See the protocol."""
        if self._pin_key is None:
            raise Unavailable("sign in first: there is no PIN key")
        return encrypt_pin_block(pin, pan, self._pin_key)


class TerminalClient:
    """One terminal on one connection, one message at a time."""

    def __init__(self, place: TerminalPlace, *, trace: int = 1, batch: str = "000000") -> None:
        self._place = place
        self.security = TerminalSecurity(place)
        identity = TerminalIdentity(
            terminal_id=place.terminal_id,
            merchant_id=place.merchant_id,
            scheme=SCHEMES[place.key_scheme],
        )
        self.terminal = Terminal(identity, self.security, trace=trace, batch=batch)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: Request) -> Outcome:
        """Send and wait for the answer.

        Raises:
            Unavailable: the gateway cannot be reached, or said nothing.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._place.host, self._place.port)
            reader, writer = self._streams
            writer.write(frame(request.payload))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                size = int.from_bytes(await reader.readexactly(2))
                payload = await reader.readexactly(size)
        except TimeoutError:
            raise Unavailable(f"no answer within {ANSWER_TIMEOUT_S:.0f} s; reverse it") from None
        except (OSError, asyncio.IncompleteReadError):
            raise Unavailable(
                f"the gateway at {self._place.host}:{self._place.port} cannot be reached or hung up"
            ) from None
        return self.terminal.read(request, payload)

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

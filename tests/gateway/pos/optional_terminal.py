"""A terminal that speaks whatever dialect its options say, for the tests of options."""

import asyncio

from gateway.terminal_options import dialect_of, mac_of
from pos_protocol.framing import frame
from pos_protocol.terminal import Outcome, Request, Terminal, TerminalIdentity, TerminalScheme
from signing.pos import (
    CipherKey,
    KeyScheme,
    WorkingKeys,
    encrypt_pin_block,
    encrypt_track,
    unwrap_working_keys,
)
from tests.gateway.pos.foreign_terminal import Identity


class SecurityModule:
    """The keys of one terminal."""

    def __init__(self, who: Identity, options_json: str) -> None:
        self._scheme = KeyScheme(who.scheme)
        self._algorithm = self._scheme.algorithm
        self._master = CipherKey(who.tmk, self._algorithm)
        self._mac = mac_of(dialect_of(who.scheme, who.mac, options_json))
        self.keys: WorkingKeys | None = None

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        self.keys = unwrap_working_keys(self._scheme, self._master, keys)
        return True

    def mac(self, data: bytes) -> bytes:
        assert self.keys is not None
        return self._mac(CipherKey(self.keys.mac, self._algorithm), data)

    def pin_block(self, pin: str, pan: str) -> bytes:
        assert self.keys is not None
        return encrypt_pin_block(pin, pan, CipherKey(self.keys.pin, self._algorithm))

    def encrypt_track(self, track: str) -> str:
        assert self.keys is not None
        return encrypt_track(track, CipherKey(self.keys.track, self._algorithm))


class OptionalTerminal:
    """One connection; keeps the bytes that went and came."""

    def __init__(self, who: Identity, options_json: str, port: int) -> None:
        dialect = dialect_of(who.scheme, who.mac, options_json)
        self.security = SecurityModule(who, options_json)
        identity = TerminalIdentity(
            terminal_id=who.terminal_id,
            merchant_id=who.merchant,
            scheme=TerminalScheme(KeyScheme(who.scheme).code),
            dialect=dialect,
        )
        self.terminal = Terminal(identity, self.security, track_cipher=self.security)
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.sent = self.came = b""

    async def exchange(self, request: Request) -> Outcome:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        self.sent = request.payload
        writer.write(frame(request.payload))
        async with asyncio.timeout(15):
            self.came = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        return self.terminal.read(request, self.came)

    def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()

"""What a terminal is and what it holds: its numbers, its dialect, its security module."""

import enum
from dataclasses import dataclass, field
from typing import Final, Protocol

from pos_protocol.dialect import STANDARD, Dialect, HeaderForm

_DEFAULT_TPDU: Final = bytes.fromhex("6000030000")
_DEFAULT_HEADER: Final = bytes.fromhex("603100311108")
_ROUTING: Final = bytes(14)


class TerminalScheme(enum.Enum):
    """How working keys come at sign-in: the value is 60.3 (reference §4)."""

    DES = "001"
    TDES = "003"
    TDES_TDK = "004"
    SM4 = "006"


_ALGORITHM_DIGIT: Final = {
    TerminalScheme.DES: "0",
    TerminalScheme.TDES: "6",
    TerminalScheme.TDES_TDK: "6",
    TerminalScheme.SM4: "3",
}


class TerminalCrypto(Protocol):
    """The terminal's security module: it holds the master key and the working keys."""

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        """Take the working keys of a sign-in answer (F62); ``False``: check values differ."""
        ...

    def mac(self, data: bytes) -> bytes:
        """The eight bytes of F64 over ``data`` (MTI to the field before F64)."""
        ...

    def pin_block(self, pin: str, pan: str) -> bytes:
        """The encrypted format 0 block of F52."""
        ...


class TrackCipher(Protocol):
    """The track key, for terminals whose dialect encrypts tracks."""

    def encrypt_track(self, track: str) -> str:
        """F35 or F36 as it travels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalIdentity:
    """What never changes about a terminal; ``header`` is six bytes, sent as the dialect says."""

    terminal_id: str
    merchant_id: str
    scheme: TerminalScheme = TerminalScheme.TDES
    tpdu: bytes = _DEFAULT_TPDU
    header: bytes = _DEFAULT_HEADER
    operator: str = "001"
    dialect: Dialect = field(default=STANDARD)

    @property
    def sent_header(self) -> bytes:
        """What stands between TPDU and MTI."""
        match self.dialect.header:
            case HeaderForm.STANDARD:
                return self.header
            case HeaderForm.NONE:
                return b""
            case HeaderForm.ROUTED:
                return _ROUTING + self.header

    def security_control(self, *, has_pin: bool) -> str:
        """F53: whether a PIN block is there (2 with PAN), its cipher, encrypted tracks."""
        pin = "2" if has_pin else "0"
        track = "1" if self.dialect.encrypts_tracks else "0"
        return f"{pin}{_ALGORITHM_DIGIT[self.scheme]}{track}".ljust(16, "0")

"""F59: the scanned code, its voucher number, and what device sent them (reference §2).

Two levels of ``tag an2, length n3, value``: A2 the terminal (01 device type, 02 hardware
serial, 03 random factor, 04 ciphertext of serial and factor, 05 program version), A3 the
payer's code, A4 the payment voucher number. The factor is the last six digits of the
card or the code, so it is never shown.
"""

from dataclasses import dataclass, field
from typing import Final

from pos_protocol.errors import CodecError, TlvError
from pos_protocol.tlv import text_build, text_tags

_TERMINAL: Final = "A2"
_CODE: Final = "A3"
_VOUCHER: Final = "A4"
_KNOWN: Final = (_TERMINAL, _CODE, _VOUCHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What the rules on terminals demand with each transaction; ``""`` where absent."""

    device_type: str = ""
    serial: str = ""
    random_factor: str = field(default="", repr=False)
    ciphertext: str = field(default="", repr=False)
    version: str = ""

    def tags(self) -> list[tuple[str, str]]:
        """As tags 01 to 05, those that are there."""
        values = (
            self.device_type, self.serial, self.random_factor, self.ciphertext, self.version,
        )  # fmt: skip
        return [(f"{index:02d}", value) for index, value in enumerate(values, 1) if value]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanInfo:
    """F59 as far as it can be read; ``others`` are tags of other names."""

    code: str = field(default="", repr=False)
    voucher: str = ""
    device: DeviceInfo = DeviceInfo()
    others: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def parse_scan_info(field_59: str) -> ScanInfo:
    """What can be read of it; a sale never fails on F59. Never raises."""
    tags = text_tags(field_59)
    inner = text_tags(tags.get(_TERMINAL))
    return ScanInfo(
        code=tags.get(_CODE),
        voucher=tags.get(_VOUCHER),
        device=DeviceInfo(
            device_type=inner.get("01"),
            serial=inner.get("02"),
            random_factor=inner.get("03"),
            ciphertext=inner.get("04"),
            version=inner.get("05"),
        ),
        others=tuple(item for item in tags.items if item[0] not in _KNOWN),
    )


def build_scan_info(info: ScanInfo) -> str:
    """The tags that have a value; raises :class:`CodecError` for one of 1,000 characters."""
    try:
        device = text_build(info.device.tags())
        named = ((_TERMINAL, device), (_CODE, info.code), (_VOUCHER, info.voucher))
        return text_build([item for item in named if item[1]]) + text_build(info.others)
    except TlvError as error:
        raise CodecError(59, -1, error.reason) from None

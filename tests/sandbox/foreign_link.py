"""A link to the card host whose codec, MAC and PIN block are not ours.

Messages by pyiso8583 with a field table written here; cryptography by pycryptodome
and from the rules' text, so that nothing of ``pos_protocol`` or ``signing`` is used.
"""

import asyncio
from typing import Any

import iso8583
from Crypto.Cipher import DES, DES3

from sandbox.scenarios import CARDS, Scenario

TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
TERMINAL, MERCHANT = "99000001", "999000000000001"
Fields = dict[str, str]
WITH_MAC = ("0100", "0200", "0220", "0400")


def fixed_bcd(digits: int, **pad: str) -> dict[str, Any]:
    return {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": digits} | {
        "len_count": "nibbles",
        **pad,
    }


def var(kind: str, most: int, size: int) -> dict[str, Any]:
    count = {"len_count": "nibbles", "right_pad": "0"} if kind == "bcd" else {}
    enc = {"bcd": "b", "hex": "b", "text": "ascii"}[kind]
    return {"data_enc": enc, "len_enc": "bcd", "len_type": size, "max_len": most, **count}


def fixed(kind: str, size: int) -> dict[str, Any]:
    enc = {"hex": "b", "text": "ascii"}[kind]
    return {"data_enc": enc, "len_enc": "bcd", "len_type": 0, "max_len": size}


SPEC: dict[str, dict[str, Any]] = {
    "h": fixed("hex", 11),
    "t": fixed("hex", 2),
    "p": fixed("hex", 8),
    "1": fixed("hex", 8),
    "2": var("bcd", 19, 1),
    "3": fixed_bcd(6),
    "4": fixed_bcd(12),
    "11": fixed_bcd(6),
    "12": fixed_bcd(6),
    "13": fixed_bcd(4),
    "14": fixed_bcd(4),
    "15": fixed_bcd(4),
    "22": fixed_bcd(3, right_pad="0"),
    "23": fixed_bcd(3, left_pad="0"),
    "25": fixed_bcd(2),
    "26": fixed_bcd(2),
    "32": var("bcd", 11, 1),
    "35": var("bcd", 37, 1),
    "37": fixed("text", 12),
    "38": fixed("text", 6),
    "39": fixed("text", 2),
    "41": fixed("text", 8),
    "42": fixed("text", 15),
    "44": var("text", 25, 1),
    "48": var("bcd", 322, 2),
    "49": fixed("text", 3),
    "52": fixed("hex", 8),
    "53": fixed_bcd(16),
    "54": var("text", 120, 2),
    "55": var("hex", 255, 2),
    "60": var("bcd", 20, 2),
    "61": var("bcd", 29, 2),
    "62": var("hex", 999, 2),
    "63": var("text", 163, 2),
    "64": fixed("text", 8),
}


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def cup_mac(key: bytes, data: bytes) -> str:
    folded = bytes(8)
    for start in range(0, len(data), 8):
        folded = xor(folded, data[start : start + 8].ljust(8, b"\0"))
    text = folded.hex().upper().encode()
    cipher = DES.new(key, DES.MODE_ECB) if len(key) == 8 else DES3.new(key, DES3.MODE_ECB)
    return cipher.encrypt(xor(cipher.encrypt(text[:8]), text[8:]))[:4].hex().upper()


def pin_block(key: bytes, pin: str, pan: str) -> str:
    clear = xor(
        bytes.fromhex(f"0{len(pin)}{pin}".ljust(16, "F")), bytes.fromhex("0000" + pan[-13:-1])
    )
    return DES3.new(key, DES3.MODE_ECB).encrypt(clear).hex().upper()


class ForeignLink:
    """A link's process: signs in, sells, reverses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.pin_key = self.mac_key = b""

    async def send(self, mti: str, fields: Fields, *, spoil_mac: bool = False) -> None:
        message = {"h": "60000312346022000000AB", "t": mti, **fields}
        if mti in WITH_MAC:
            raw, _ = iso8583.encode({**message, "64": "00000000"}, SPEC)
            mac = cup_mac(self.mac_key, bytes(raw[11:-8]))
            message["64"] = ("0" if mac[0] != "0" else "1") + mac[1:] if spoil_mac else mac
        raw, _ = iso8583.encode(message, SPEC)
        self._writer.write(len(raw).to_bytes(2, "big") + bytes(raw))
        await self._writer.drain()

    async def receive(self) -> Fields:
        """The next answer; a MAC it carries must be right."""
        size = int.from_bytes(await self._reader.readexactly(2), "big")
        raw = await self._reader.readexactly(size)
        fields, _ = iso8583.decode(raw, SPEC)
        assert fields["h"][:10] == "6012340003"  # the TPDU comes back swapped
        assert fields["h"][10:] == "6022000000AB"
        if "64" in fields:
            assert fields["64"] == cup_mac(self.mac_key, raw[11:-8])
        return dict(fields)

    async def ask(self, mti: str, fields: Fields, **options: bool) -> Fields:
        await self.send(mti, fields, **options)
        return await asyncio.wait_for(self.receive(), 5)

    async def sign_in(self) -> Fields:
        request = {"11": "000001", "41": TERMINAL, "42": MERCHANT, "60": "00000001003"}
        answer = await self.ask("0800", request)
        keys = bytes.fromhex(answer["62"])
        assert len(keys) == 40
        master = DES3.new(TMK, DES3.MODE_ECB)
        self.pin_key, self.mac_key = master.decrypt(keys[:16]), master.decrypt(keys[20:36])
        for key, check in ((self.pin_key, keys[16:20]), (self.mac_key, keys[36:])):
            assert DES3.new(key, DES3.MODE_ECB).encrypt(bytes(8))[:4] == check
        return answer

    def sale(self, scenario: Scenario, trace: int, **changes: str) -> Fields:
        card = CARDS[scenario]
        fields = {
            "2": card.pan,
            "3": "000000",
            "4": "000000001990",
            "11": f"{trace:06d}",
            "14": "3012",
            "22": "021",
            "25": "00",
            "26": "12",
            "35": card.pan + "D30122010000000000",
            "41": TERMINAL,
            "42": MERCHANT,
            "49": "156",
            "52": pin_block(self.pin_key, card.pin, card.pan),
            "53": "2600000000000000",
            "60": "22000007000500",
        }
        return fields | {"".join(c for c in key if c.isdigit()): v for key, v in changes.items()}

    def reversal(self, sale: Fields, **changes: str) -> Fields:
        fields = {k: v for k, v in sale.items() if k not in ("26", "35", "52", "53")}
        return (
            fields
            | {"39": "98"}
            | {"".join(c for c in key if c.isdigit()): v for key, v in changes.items()}
        )

    def close(self) -> None:
        self._writer.close()


def order_no(trace: int) -> str:
    return f"{TERMINAL}000007{trace:06d}"

"""A POS terminal that shares no code with the product.

Messages by pyiso8583 with a field table of its own, cryptography by pycryptodome and
from the rules' text: nothing of ``pos_protocol`` or ``signing`` is used here, so the
gateway's two halves cannot be wrong in the same way.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import iso8583
from Crypto.Cipher import DES, DES3

TPDU, SWAPPED_TPDU, HEADER = "6000031234", "6012340003", "6022000000AB"
SIGN_IN_AGAIN = "6022030000AB"
"""The header with the host's instruction in its sixth nibble."""
MERCHANT = "990000000000001"
ANSWER_TIMEOUT_S = 15
Fields = dict[str, str]

SCHEME_CODES = {"des": "001", "3des": "003", "3des-tdk": "004"}
_WITH_MAC = ("0100", "0200", "0220", "0400")


def _fixed_bcd(digits: int, **pad: str) -> dict[str, Any]:
    fixed = {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": digits}
    return fixed | {"len_count": "nibbles", **pad}


def _var(kind: str, most: int, size: int) -> dict[str, Any]:
    count = {"len_count": "nibbles", "right_pad": "0"} if kind == "bcd" else {}
    encoding = {"bcd": "b", "hex": "b", "text": "latin-1"}[kind]
    return {"data_enc": encoding, "len_enc": "bcd", "len_type": size, "max_len": most, **count}


def _fixed(kind: str, size: int) -> dict[str, Any]:
    encoding = {"hex": "b", "text": "ascii"}[kind]
    return {"data_enc": encoding, "len_enc": "bcd", "len_type": 0, "max_len": size}


SPEC: dict[str, dict[str, Any]] = {
    "h": _fixed("hex", 11),
    "t": _fixed("hex", 2),
    "p": _fixed("hex", 8),
    "1": _fixed("hex", 8),
    "2": _var("bcd", 19, 1),
    "3": _fixed_bcd(6),
    "4": _fixed_bcd(12),
    "11": _fixed_bcd(6),
    "12": _fixed_bcd(6),
    "13": _fixed_bcd(4),
    "14": _fixed_bcd(4),
    "15": _fixed_bcd(4),
    "22": _fixed_bcd(3, right_pad="0"),
    "23": _fixed_bcd(3, left_pad="0"),
    "25": _fixed_bcd(2),
    "26": _fixed_bcd(2),
    "32": _var("bcd", 11, 1),
    "35": _var("bcd", 37, 1),
    "37": _fixed("text", 12),
    "38": _fixed("text", 6),
    "39": _fixed("text", 2),
    "41": _fixed("text", 8),
    "42": _fixed("text", 15),
    "44": _var("text", 25, 1),
    "48": _var("bcd", 322, 2),
    "49": _fixed("text", 3),
    "52": _fixed("hex", 8),
    "53": _fixed_bcd(16),
    "54": _var("text", 120, 2),
    "55": _var("hex", 255, 2),
    "58": _var("text", 999, 2),
    "59": _var("text", 999, 2),
    "60": _var("bcd", 20, 2),
    "61": _var("bcd", 29, 2),
    "62": _var("hex", 999, 2),
    "63": _var("text", 163, 2),
    "64": _fixed("text", 8),
}


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _ecb(key: bytes) -> Any:
    return DES.new(key, DES.MODE_ECB) if len(key) == 8 else DES3.new(key, DES3.MODE_ECB)


def _cup_ecb(key: bytes, blocks: list[bytes]) -> bytes:
    folded = bytes(8)
    for block in blocks:
        folded = _xor(folded, block)
    text, cipher = folded.hex().upper().encode(), _ecb(key)
    mixed: bytes = cipher.encrypt(_xor(cipher.encrypt(text[:8]), text[8:]))
    return mixed


def _x99(key: bytes, blocks: list[bytes]) -> bytes:
    state, cipher = bytes(8), DES.new(key[:8], DES.MODE_ECB)
    for block in blocks:
        state = cipher.encrypt(_xor(state, block))
    return state


def _x919(key: bytes, blocks: list[bytes]) -> bytes:
    inner = DES.new(key[8:], DES.MODE_ECB).decrypt(_x99(key, blocks))
    outer: bytes = DES.new(key[:8], DES.MODE_ECB).encrypt(inner)
    return outer


MACS = {"cup-ecb": _cup_ecb, "x9.9": _x99, "x9.19": _x919}


def mac(algorithm: str, key: bytes, data: bytes) -> str:
    """F64: the first eight hex characters."""
    padded = data.ljust(-(-len(data) // 8) * 8, b"\0")
    blocks = [padded[at : at + 8] for at in range(0, len(padded), 8)]
    return MACS[algorithm](key, blocks)[:4].hex().upper()


def pin_block(key: bytes, pin: str, pan: str, *, with_pan: bool = True) -> str:
    """Format 0 under a PIN key."""
    clear = bytes.fromhex(f"0{len(pin)}{pin}".ljust(16, "F"))
    if with_pan:
        clear = _xor(clear, bytes.fromhex("0000" + pan[-13:-1]))
    encrypted: bytes = _ecb(key).encrypt(clear)
    return encrypted.hex().upper()


@dataclass(frozen=True)
class Reply:
    """An answer: its fields, and the frame it came in without the length."""

    fields: Fields
    raw: bytes

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields


@dataclass(frozen=True)
class Identity:
    """Which terminal this is, and its master key."""

    terminal_id: str
    tmk: bytes
    scheme: str = "3des"
    mac: str = "cup-ecb"
    merchant: str = MERCHANT


class ForeignTerminal:
    """One terminal on one connection."""

    def __init__(self, who: Identity, port: int) -> None:
        self.who = who
        self.port = port
        self.trace, self.batch = 0, "000001"
        self.pin_key = self.mac_key = self.track_key = b""
        self.mac_key_is_half = False
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection, opened when there is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        return self._streams

    def hang_up(self) -> None:
        """Close the socket at once."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def pack(self, mti: str, fields: Fields, *, spoil_mac: bool = False) -> bytes:
        """A whole frame, with its MAC where the dialect wants one and none is given."""
        message = {"h": TPDU + HEADER, "t": mti, **fields}
        if mti in _WITH_MAC and "64" not in fields:
            raw, _ = iso8583.encode({**message, "64": "00000000"}, SPEC)
            key = self.mac_key or bytes(range(8))
            code = mac(self.who.mac, key, bytes(raw[11:-8]))
            message["64"] = ("0" if code[0] != "0" else "1") + code[1:] if spoil_mac else code
        raw, _ = iso8583.encode({k: v for k, v in message.items() if v != ""}, SPEC)
        return len(raw).to_bytes(2, "big") + bytes(raw)

    async def send(self, frame: bytes) -> None:
        """Bytes as they are."""
        _, writer = await self.connect()
        writer.write(frame)
        await writer.drain()

    async def receive(self) -> Reply:
        """The next answer; TPDU swapped, header echoed, and a MAC it carries must be right."""
        reader, _ = await self.connect()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            size = int.from_bytes(await reader.readexactly(2), "big")
            raw = await reader.readexactly(size)
        decoded, _ = iso8583.decode(raw, SPEC)
        fields = dict(decoded)
        told = SIGN_IN_AGAIN if fields.get("39") in ("77", "99", "A0") else HEADER
        assert fields["h"] in (SWAPPED_TPDU + HEADER, SWAPPED_TPDU + told)
        if "64" in fields:
            assert fields["64"] == mac(self.who.mac, self.mac_key, raw[11:-8]), "wrong reply MAC"
        if fields["t"] in ("0210", "0410") and fields.get("39") == "00":
            assert "64" in fields, "an approval without a MAC"
        return Reply(fields, raw)

    async def ask(self, mti: str, fields: Fields, **options: bool) -> Reply:
        """One exchange."""
        return await self.ask_raw(self.pack(mti, fields, **options))

    async def ask_raw(self, frame: bytes) -> Reply:
        """One exchange of bytes as they are."""
        await self.send(frame)
        return await self.receive()

    async def hears_hang_up(self) -> bytes:
        """Wait until the gateway closes; what it said before that."""
        reader, _ = await self.connect()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""

    def next_trace(self) -> str:
        """A fresh F11."""
        self.trace += 1
        return f"{self.trace:06d}"

    def sign_in_fields(self) -> Fields:
        """A 0800."""
        scheme = SCHEME_CODES[self.who.scheme]
        return {**self._self(), "11": self.next_trace(), "60": f"00{self.batch}{scheme}"} | {
            "63": "001"
        }

    async def sign_in(self) -> Reply:
        """Fetch working keys; every check value must be right."""
        answer = await self.ask("0800", self.sign_in_fields())
        assert (answer["t"], answer["39"]) == ("0810", "00")
        self.batch = answer["60"][2:8]
        self._take_keys(bytes.fromhex(answer["62"]))
        return answer

    def _take_keys(self, wrapped: bytes) -> None:
        size = 8 if self.who.scheme == "des" else 16
        count = 3 if self.who.scheme == "3des-tdk" else 2
        assert len(wrapped) == count * (size + 4)
        master, keys = DES3.new(self.who.tmk, DES3.MODE_ECB), []
        for at in range(0, len(wrapped), size + 4):
            block, check = wrapped[at : at + size], wrapped[at + size : at + size + 4]
            is_half = size == 16 and not any(block[8:])
            key = master.decrypt(block[:8] if is_half else block)
            assert _ecb(key).encrypt(bytes(8))[:4] == check, "wrong check value"
            keys.append((key, is_half))
        self.pin_key, (self.mac_key, self.mac_key_is_half) = keys[0][0], keys[1]
        self.track_key = keys[2][0] if count == 3 else b""

    def _self(self) -> Fields:
        return {"41": self.who.terminal_id, "42": self.who.merchant}

    def echo(self) -> Fields:
        """A 0820 echo test."""
        return {**self._self(), "60": f"00{self.batch}301"}

    def card_sale(
        self,
        pan: str,
        pin: str = "",
        *,
        amount_fen: int = 1990,
        chip: bytes = b"",
        changes: Fields | None = None,
    ) -> Fields:
        """A 0200 by magnetic stripe, or by chip; an empty change takes a field out."""
        digit = "1" if pin else "2"
        fields = {
            **self._self(),
            "2": pan,
            "3": "000000",
            "4": f"{amount_fen:012d}",
            "11": self.next_trace(),
            "14": "3012",
            "22": ("05" if chip else "02") + digit,
            "25": "00",
            "35": f"{pan}D3012{'201' if chip else '101'}0000012300",
            "49": "156",
            "60": f"22{self.batch}000{'5' if chip else '2'}0",
        }
        if chip:
            fields |= {"23": "001", "55": chip.hex().upper()}
        if pin:
            fields |= {"26": "12", "53": "2600000000000000"}
            fields["52"] = pin_block(self.pin_key or bytes(range(8)), pin, pan)
        return _changed(fields, changes)

    def scan_sale(
        self, code: str, *, amount_fen: int = 1990, changes: Fields | None = None
    ) -> Fields:
        """A 0200 by scanned code."""
        device = "A2025" + "01002" + "04" + "02013" + "0000010499001"
        fields = {
            **self._self(),
            "3": "000000",
            "4": f"{amount_fen:012d}",
            "11": self.next_trace(),
            "22": "032",
            "25": "00",
            "49": "156",
            "59": f"{device}A3{len(code):03d}{code}",
            "60": f"22{self.batch}00060",
        }
        return _changed(fields, changes)

    def void(self, sale: Fields, answer: Reply, changes: Fields | None = None) -> Fields:
        """The 0200 that voids a sale which was answered so."""
        return self._return(sale, answer, "23", {}, changes)

    def refund(
        self, sale: Fields, answer: Reply, amount_fen: int, changes: Fields | None = None
    ) -> Fields:
        """The 0220 that refunds a part of a sale or all of it."""
        special = {"4": f"{amount_fen:012d}", "63": "000"}
        return self._return(sale, answer, "25", special, changes)

    def _return(
        self, sale: Fields, answer: Reply, type_code: str, special: Fields, changes: Fields | None
    ) -> Fields:
        kept = ("2", "4", "14", "22", "25", "35", "41", "42", "49", "59")
        original = sale["60"][2:8] + sale["11"] + answer["13"]
        fields = {name: sale[name] for name in kept if name in sale} | {
            "3": "200000",
            "11": self.next_trace(),
            "37": answer["37"],
            "60": f"{type_code}{self.batch}000" + sale["60"][11:],
            "61": original,
        }
        return _changed(fields | special, changes)

    def inquiry(self, sale: Fields, changes: Fields | None = None) -> Fields:
        """The 0200 that asks what became of a sale."""
        fields = {
            **self._self(),
            "3": "390000",
            "11": self.next_trace(),
            "25": "00",
            "49": "156",
            "60": f"92{self.batch}000",
            "61": sale["60"][2:8] + sale["11"],
        }
        return _changed(fields, changes)

    def qr_query(self, tags: str) -> Fields:
        """The 0200 that asks for a sale by code or voucher number, as F59 names it."""
        return {
            **self._self(),
            "3": "390000",
            "11": self.next_trace(),
            "22": "032",
            "25": "00",
            "49": "156",
            "59": tags,
            "60": f"91{self.batch}000",
        }

    @staticmethod
    def reversal(sale: Fields, changes: Fields | None = None) -> Fields:
        """The 0400 of a 0200."""
        dropped = ("2", "14", "23", "26", "35", "37", "52", "53", "59", "64")
        fields = {name: value for name, value in sale.items() if name not in dropped}
        return _changed(fields | {"39": "98"}, changes)


def _changed(fields: Fields, changes: Fields | None) -> Fields:
    return {name: value for name, value in (fields | (changes or {})).items() if value != ""}

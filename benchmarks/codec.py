"""The metric ``codec``: our codec beside pyiso8583, in one run, on the same messages.

Rules: both read and write the same bytes with the same field table (ours, put into
pyiso8583's words); they take turns in short rounds, and the median round counts, so
what else the machine does hits both. Time is this process's own, one core of it. The
server pass is what a door does with a sale before and after the payment, the three usual
sales in turn (swipe with PIN, chip with PIN, scanned code): frame, decode, name, check for
missing fields, check the MAC, answer, MAC, encode, frame.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import iso8583

from benchmarks.postgres import PostgresServer
from benchmarks.windows import Plan
from pos_protocol import asks, management_asks
from pos_protocol.card import chip_card, magnetic_card
from pos_protocol.codec import Message, decode, encode, encode_with_mac, mac_input
from pos_protocol.errors import CodecError
from pos_protocol.fields.original import Original
from pos_protocol.fields.totals import ClassTotals, SettlementTotals
from pos_protocol.framing import frame
from pos_protocol.session import HostSession, Received, reply_to
from pos_protocol.spec import FIELDS, Content, FieldSpec
from pos_protocol.terminal import Request, Terminal, TerminalIdentity, TerminalScheme
from pos_protocol.tlv import ber_build
from pos_protocol.transactions import identify, missing_fields
from signing.pos import CipherKey, mac_cup_ecb, mac_matches

_ROUNDS: Final = 15
_ROUND_S: Final = 0.12
_WARM: Final = 400
_PAN: Final = "9900000000000010"
_HEADER: Final = bytes.fromhex("603100311108")
_CHIP_TAGS: Final = (
    ("9F26", 8), ("9F27", 1), ("9F10", 19), ("9F37", 4), ("9F36", 2), ("95", 5), ("9A", 3),
    ("9C", 1), ("9F02", 6), ("5F2A", 2), ("82", 2), ("9F1A", 2), ("9F03", 6), ("9F33", 3),
    ("9F34", 3), ("9F35", 1), ("9F1E", 8), ("84", 8), ("9F09", 2), ("9F41", 4),
)  # fmt: skip
_CODECS: Final = {Content.ASCII: "ascii", Content.TEXT: "latin-1"}
_APPROVAL: Final[dict[int, str | bytes]] = {
    12: "101236", 13: "1122", 15: "1122", 32: "00096500", 37: "101236060953", 38: "654321",
    39: "00", 44: "03080000   48025800   ", 63: "CUP",
}  # fmt: skip


class _Keys:
    """A MAC key and no other; the PIN block is as random as any."""

    def __init__(self) -> None:
        self.key = CipherKey(bytes.fromhex("DAB36167E6DFB5EF"))

    def unwrap_keys(self, _scheme: TerminalScheme, _keys: bytes) -> bool:
        return True

    def mac(self, data: bytes) -> bytes:
        return mac_cup_ecb(self.key, data)

    def pin_block(self, _pin: str, _pan: str) -> bytes:
        return bytes.fromhex("3D87C8B8FA17C67C")


async def codec(_postgres: PostgresServer, _plan: Plan, notes: list[str]) -> dict[str, float]:
    """Decoding, encoding and the server pass, per second of one core."""
    keys = _Keys()
    sales = [request.payload for request in _requests(keys)[:3]]
    payloads = [*_synthetic(keys), *_samples()]
    figures = _compare(payloads, "")
    figures |= _compare(sales[1:2], "chip_sale_")
    serve = _server_pass(keys)
    streams = [frame(sale) for sale in sales]
    if not all(map(serve, streams)):
        notes.append("codec: the server pass does not answer")
    _repeat(serve, streams, _WARM)
    passes = [(_per_s(serve, streams), _per_s(serve, streams[1:2])) for _ in range(_ROUNDS)]
    figures["server_pass_per_s"] = round(statistics.median(each for each, _ in passes))
    figures["chip_sale_server_pass_per_s"] = round(statistics.median(each for _, each in passes))
    figures["messages"] = len(payloads)
    figures["errors"] = len(notes)
    return figures


def _compare(payloads: Sequence[bytes], prefix: str) -> dict[str, float]:
    """Rates and ratios over ``payloads``; each figure's name begins with ``prefix``."""
    table = _oracle_table()
    messages = [decode(payload) for payload in payloads]
    theirs = [iso8583.decode(payload, table)[0] for payload in payloads]

    def decode_theirs(payload: bytes) -> object:
        return iso8583.decode(payload, table)

    def encode_theirs(document: dict[str, str]) -> object:
        return iso8583.encode(document, table)

    _repeat(decode, payloads, _WARM)
    _repeat(encode, messages, _WARM)
    rates: dict[str, list[float]] = {"decode": [], "encode": [], "decode2": [], "encode2": []}
    for _ in range(_ROUNDS):
        rates["decode"].append(_per_s(decode, payloads))
        rates["decode2"].append(_per_s(decode_theirs, payloads))
        rates["encode"].append(_per_s(encode, messages))
        rates["encode2"].append(_per_s(encode_theirs, theirs))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    return {
        f"{prefix}decode_per_s": round(middle["decode"]),
        f"{prefix}encode_per_s": round(middle["encode"]),
        f"{prefix}decode_ratio_to_pyiso8583": _ratio(rates["decode"], rates["decode2"]),
        f"{prefix}encode_ratio_to_pyiso8583": _ratio(rates["encode"], rates["encode2"]),
        f"{prefix}pyiso8583_decode_per_s": round(middle["decode2"]),
        f"{prefix}pyiso8583_encode_per_s": round(middle["encode2"]),
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of rounds that stood side by side."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2)


def _repeat(work: Callable[[Any], object], items: Sequence[Any], times: int) -> None:
    for _ in range(times):
        for item in items:
            work(item)


def _per_s(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """How many items a second of this core does, over one round."""
    done, started = 0, time.process_time()
    until = started + _ROUND_S
    while time.process_time() < until:
        for _ in range(1 + 50 // len(items)):
            for item in items:
                work(item)
            done += len(items)
    return done / (time.process_time() - started)


def _server_pass(keys: _Keys) -> Callable[[bytes], bytes]:
    """What a door does with a frame, but for the payment."""
    session, key = HostSession(), keys.key

    def serve(stream: bytes) -> bytes:
        (event,) = session.receive_data(stream)
        if not isinstance(event, Received):
            return b""
        message, payload = event.message, event.payload
        row = identify(message)
        if row is None or missing_fields(message, row):
            return b""
        if not mac_matches(mac_cup_ecb(key, mac_input(payload)), message.data(64)):
            return b""
        reply = reply_to(message, _APPROVAL, transaction=row)
        return frame(encode_with_mac(reply, lambda body: mac_cup_ecb(key, body)))

    return serve


def _requests(keys: _Keys) -> list[Request]:
    """The sales of a usual day: by swipe, by chip with a PIN, by code."""
    identity = TerminalIdentity(terminal_id="22003600", merchant_id="104512541110001")
    device = Terminal(identity, keys, trace=7, batch="006603")
    chip_data = ber_build((tag, bytes(range(size))) for tag, size in _CHIP_TAGS)
    swipe, chip = magnetic_card(_PAN, "3012"), chip_card(_PAN, "3012", chip_data)
    original = Original("006603", "000007", "1122")
    totals = SettlementTotals(ClassTotals(debit_fen=199000, debit_count=100))
    sale = device.sale(chip, 1990, "123456")
    return [
        device.sale(swipe, 1990, "123456"),
        sale,
        device.qr_sale("289900000000000017", 1990),
        device.reversal(sale),
        device.ask(asks.void(swipe, 1990, original, "101236060953")),
        device.ask(management_asks.settlement(totals, "001")),
        device.sign_in(),
        device.echo(),
    ]


def _synthetic(keys: _Keys) -> list[bytes]:
    """Those requests and their answers, as payloads."""
    payloads = []
    for request in _requests(keys):
        payloads.append(request.payload)
        fields = dict(_APPROVAL)
        if request.message.mti == "0800":
            fields[62] = bytes(range(40))
        answer = reply_to(request.message, fields)
        has_mac = 64 in request.message.fields
        payloads.append(encode_with_mac(answer, keys.mac) if has_mac else encode(answer))
    return payloads


def _samples() -> list[bytes]:
    """The public messages that both can read, behind the usual header; none without them."""
    folder = Path(os.environ.get("POSGATE_SAMPLES", "../shared/samples"))
    file = folder / "pos_messages.json"
    if not file.exists():
        return []
    payloads = []
    for sample in json.loads(file.read_text("utf-8")):
        said = sample["decoded"]
        if sample["status"] != "full":
            continue
        raw = bytes.fromhex(sample["hex"])
        before = 2 * ("len" in said)
        before += sum(len(said.get(part, "")) // 2 for part in ("tpdu", "skipped", "header"))
        payload = bytes(5) + _HEADER + raw[before:]
        try:
            payloads.append(encode(_plain(decode(payload))))
        except CodecError:  # a vendor's own field
            continue
    return payloads


def _plain(message: Message) -> Message:
    """Without odd pad nibbles, which pyiso8583 does not keep."""
    message.pads = ()
    return message


def _oracle_table() -> dict[str, dict[str, Any]]:
    """Our field table in pyiso8583's words."""
    fixed = {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "desc": ""}
    heads = {"h": 11, "t": 2, "p": 8, "1": 8}
    table: dict[str, dict[str, Any]] = {
        name: {**fixed, "max_len": size} for name, size in heads.items()
    }
    for spec in FIELDS.values():
        table[str(spec.number)] = _oracle_line(spec)
    return table


def _oracle_line(spec: FieldSpec) -> dict[str, Any]:
    line = {
        "data_enc": _CODECS.get(spec.content, "b"),
        "len_enc": "bcd",
        "len_type": spec.size.prefix_bytes,
        "max_len": spec.length,
        "desc": "",
    }
    if spec.is_bcd:
        line["len_count"] = "nibbles"
        line["left_pad" if spec.align_right else "right_pad"] = "0"
    return line

"""The floor of a card sale: only the work that no gateway can avoid.

``python -m benchmarks.floor_card SPEC``. Per sale: cut the frame, parse the request (any
message of the dialect may come, so it is decoded), verify its MAC, insert a row durably, put the
PIN under the host's key, one MAC towards the host, one round trip to the sandbox's card host
(multiplexed on one connection), parse the reply, verify its MAC, amount and code, update the row
durably, answer with a MAC.

Messages are written by cutting fixed places of the one bitmap that the load sends. Left
out: any message but this one, unknown terminals, sign-in, repeats, declines, time-outs, reversals,
reconnecting, events, ledger, kept replies, encrypted card numbers, logs, metrics, bounds. Whatever
is not as expected closes the connection, and the benchmark counts an error.
"""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import orjson
import uvloop

from benchmarks.books import FLOOR_BATCH
from benchmarks.floor_store import FloorStore
from channels.unionpay.card_wire import CardAccount, build_sign_on, read_sign_on
from gateway.cli.ready_file import write_atomically
from pos_protocol.codec import decode
from pos_protocol.framing import frame
from signing.pos import (
    MAC_ALGORITHMS,
    CipherKey,
    KeyScheme,
    mac_cup_ecb,
    translate_pin_block,
    unwrap_working_keys,
)

_TPDU: Final = bytes.fromhex("6000030000")
_HEADER: Final = bytes.fromhex("602200000000")
_BITS_OF_A_BITMAP: Final = 64


def _bitmap(*fields: int) -> bytes:
    return sum(1 << (_BITS_OF_A_BITMAP - field) for field in fields).to_bytes(8)


# where the fields of the terminal's 0200 stand (swipe with PIN, 16-digit card)
_SALE: Final = b"\x02\x00" + _bitmap(3, 4, 11, 22, 25, 26, 35, 41, 42, 49, 52, 53, 60, 64)
_SALE_BYTES: Final = 114
# … and those of the host's 0210
_REPLY: Final = b"\x02\x10" + _bitmap(
    2, 3, 4, 11, 12, 13, 15, 25, 32, 37, 38, 39, 41, 42, 44, 49, 53, 60, 63, 64
)
_ANSWER: Final = b"\x02\x10" + _bitmap(3, 4, 11, 12, 13, 25, 37, 38, 39, 41, 42, 49, 60, 64)


class _Keys:
    """A terminal's working keys and its master key, parsed once."""

    __slots__ = ("mac", "pin")

    def __init__(self, tmk: str, wrapped: str) -> None:
        master = CipherKey(bytes.fromhex(tmk))
        working = unwrap_working_keys(KeyScheme.TDES, master, bytes.fromhex(wrapped))
        self.mac, self.pin = CipherKey(working.mac), CipherKey(working.pin)


class _Sale:
    __slots__ = ("amount", "connection", "keys", "order_no", "request")

    def __init__(
        self, connection: "_Terminal", request: bytes, keys: _Keys, order_no: str, amount: str
    ) -> None:
        self.connection = connection
        self.request = request
        self.keys = keys
        self.order_no = order_no
        self.amount = amount


class _Host(asyncio.Protocol):
    """The one connection to the card host."""

    def __init__(self, floor: "Floor") -> None:
        self._floor = floor
        self._received = b""
        self._trace = 0
        self._waiting: dict[bytes, _Sale] = {}
        self._transport: asyncio.Transport | None = None
        self.sign_on: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def sell(self, sale: _Sale) -> None:
        floor, request = self._floor, sale.request
        self._trace += 1
        trace = bytes.fromhex(f"{self._trace:06d}")
        self._waiting[trace] = sale
        block = translate_pin_block(
            request[81:89], request[38:46].hex(), source=sale.keys.pin, target=floor.host_pin
        )
        body = b"%b%b%b%b156%b%b%b" % (
            request[11:30],
            trace,
            request[33:55],
            floor.link_ids,
            block,
            request[89:97],
            floor.link_f60,
        )
        code = mac_cup_ecb(floor.host_mac, body)
        self.write(b"\x00\x72" + _TPDU + _HEADER + body + code)

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        start, size = 0, len(data)
        while size - start >= 2:
            end = start + 2 + (data[start] << 8 | data[start + 1])
            if end > size:
                break
            self._reply(data[start + 2 : end])
            start = end
        self._received = data[start:]

    def _reply(self, reply: bytes) -> None:
        if not self.sign_on.done():
            self.sign_on.set_result(reply)
            return
        message = decode(reply)
        fields = message.fields
        sale = self._waiting.pop(bytes.fromhex(message.text(11)))
        if (
            reply[11:21] != _REPLY
            or fields[4] != sale.amount
            or fields[39] != "00"
            or mac_cup_ecb(self._floor.host_mac, reply[11:-8]) != reply[-8:]
        ):
            sale.connection.hang_up()
            return
        done = partial(sale.connection.answer, sale, reply)
        self._floor.store.update(sale.order_no, message.text(37), done)


class _Terminal(asyncio.Protocol):
    """One terminal's connection."""

    def __init__(self, floor: "Floor") -> None:
        self._floor = floor
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        size = 2 + (data[0] << 8 | data[1]) if len(data) >= 2 else 2
        if len(data) < size:
            self._received = data
            return
        self._received = data[size:]
        request = data[2:size]
        message = decode(request)
        keys = self._floor.terminals.get(message.text(41))
        if (
            keys is None
            or len(request) != _SALE_BYTES
            or request[11:21] != _SALE
            or mac_cup_ecb(keys.mac, request[11:-8]) != request[-8:]
        ):
            self.hang_up()
            return
        order_no = f"{message.text(41)}{message.text(60)[2:8]}{message.text(11)}"
        amount = message.text(4)
        sale = _Sale(self, request, keys, order_no, amount)
        self._floor.store.insert(order_no, amount, partial(self._floor.host.sell, sale))

    def answer(self, sale: _Sale, reply: bytes) -> None:
        request = sale.request
        body = b"%b%b%b%b%b%b%b" % (
            _ANSWER,
            request[21:33],
            reply[42:47],
            request[35:36],
            reply[55:75],
            request[55:81],
            request[97:106],
        )
        code = mac_cup_ecb(sale.keys.mac, body)
        payload = b"\x60\x00\x00\x00\x03" + request[5:11] + body + code
        if self._transport is not None:
            self._transport.write(len(payload).to_bytes(2) + payload)


class Floor:
    """What the connections share."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self.store = FloorStore()
        self.terminals = {
            terminal["terminal_id"]: _Keys(terminal["tmk"], terminal["wrapped"])
            for terminal in spec["terminals"]
        }
        self.link_ids = (spec["link_terminal_id"] + spec["link_merchant_id"]).encode()
        self.link_f60 = b"\x00\x13" + bytes.fromhex(f"22{FLOOR_BATCH}000200")
        self.host: _Host
        self.host_mac: CipherKey
        self.host_pin: CipherKey

    async def start(self) -> int:
        """Connect everything and listen; returns the port."""
        spec, loop = self._spec, asyncio.get_running_loop()
        await self.store.open(spec["dsn"])
        _, self.host = await loop.create_connection(
            lambda: _Host(self), spec["card_host"], spec["card_port"]
        )
        await self._sign_on()
        server = await loop.create_server(lambda: _Terminal(self), "127.0.0.1", 0, backlog=1024)
        return int(server.sockets[0].getsockname()[1])

    async def _sign_on(self) -> None:
        spec = self._spec
        account = CardAccount(
            merchant_id=spec["link_merchant_id"],
            terminal_id=spec["link_terminal_id"],
            tpdu=_TPDU,
            header=_HEADER,
            master=CipherKey(bytes.fromhex(spec["link_tmk"])),
            mac=MAC_ALGORITHMS["cup-ecb"],
        )
        self.host.write(frame(build_sign_on(account, "000001")))
        reply = decode(await self.host.sign_on)
        read_sign_on(reply, account)  # raises if it was refused
        working = unwrap_working_keys(KeyScheme.TDES, account.master, reply.data(62))
        self.host_mac, self.host_pin = CipherKey(working.mac), CipherKey(working.pin)


async def _main(spec: dict[str, Any]) -> None:
    port = await Floor(spec).start()
    write_atomically(Path(spec["ready_file"]), {"port": port, "pid": os.getpid()})
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(_main(orjson.loads(Path(sys.argv[1]).read_bytes())))

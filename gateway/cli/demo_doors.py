"""The demo's own payments: every scenario through every door it can come through."""

import asyncio
from dataclasses import dataclass
from typing import Final, cast

import orjson

from channels.http import HttpClient
from channels.port import HttpRequest
from domain.errors import PosgateError, Unavailable
from domain.ids import IdSource
from gateway.cli.installation import InstalledKey, InstalledTerminal
from gateway.cli.terminal_client import TerminalClient, TerminalPlace
from gateway.sources import SystemClock
from pos_protocol.card import magnetic_card
from pos_protocol.terminal import Request
from sandbox.scenarios import EXPECTED, SCENARIOS, Expected
from signing.merchant import authorization, request_string, sign

_FINAL: Final = ("succeeded", "failed", "closed", "reversed")
_PATIENCE_S: Final = 75.0
_PEEK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRow:
    """One line of the demo's table."""

    door: str
    channel: str
    scenario: str
    amount_fen: int
    expected: str
    actual: str


class MerchantClient:
    """A cashier program: signs its requests and reads the answers."""

    def __init__(self, http: HttpClient, base_url: str, key: InstalledKey, ids: IdSource) -> None:
        self._http = http
        self._base_url = base_url
        self._key = key
        self._ids = ids
        self._clock = SystemClock()

    async def call(
        self, method: str, path: str, body: bytes = b""
    ) -> tuple[int, dict[str, object]]:
        """One signed call: status and JSON."""
        timestamp, nonce = str(self._clock.now_ms() // 1000), self._ids.new()
        message = request_string(method, path, timestamp, nonce, body)
        signature = sign(self._key.secret.encode(), message)
        headers = {
            "Authorization": authorization(self._key.key_id, timestamp, nonce, signature),
            "Content-Type": "application/json",
        }
        answer = await self._http.send(
            HttpRequest(
                method=method,
                url=self._base_url + path,
                headers=headers,
                body=body,
                timeout_s=40,
            )
        )
        return answer.status, orjson.loads(answer.body)

    async def pay(self, number: str, code: str, amount_fen: int) -> dict[str, object]:
        """``POST /v1/payments`` by scanned code."""
        body = {
            "merchant_order_no": number,
            "amount": amount_fen,
            "currency": "CNY",
            "subject": "Demo sale",
            "method": {"type": "auth_code", "auth_code": code},
        }
        return (await self.call("POST", "/v1/payments", orjson.dumps(body)))[1]

    async def final_status(self, number: str) -> str:
        """Ask until the payment is final; what it is by then if patience ends."""
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        while True:
            _, payment = await self.call("GET", f"/v1/payments?merchant_order_no={number}")
            status = str(payment.get("status", "not found"))
            if status in _FINAL or self._clock.monotonic_s() > until_s:
                return status
            await asyncio.sleep(_PEEK_S)


class DemoDoors:
    """Pays every scenario at once and compares what came of it."""

    def __init__(
        self,
        merchant: MerchantClient,
        pos_host: str,
        pos_port: int,
        pos_merchant_id: str,
        terminals: list[InstalledTerminal],
        ids: IdSource,
    ) -> None:
        self._merchant = merchant
        self._pos_host = pos_host
        self._pos_port = pos_port
        self._pos_merchant_id = pos_merchant_id
        self._terminals = list(terminals)
        self._ids = ids

    async def run(self, *, once: bool) -> list[DemoRow]:
        """Every scenario (``once``: those that wait for no payer), as rows in table order."""
        wanted = [
            (channel, scenario, expected)
            for (channel, scenario), expected in EXPECTED.items()
            if not (once and expected.waits_for_payer)
        ]
        work = []
        for number, (channel, scenario, expected) in enumerate(wanted):
            amount_fen = 100 * (number + 1) + 99
            if channel != "card":
                work.append(self._https(channel, scenario, expected, amount_fen))
            work.append(self._pos(channel, scenario, expected, amount_fen))
        return list(await asyncio.gather(*work))

    async def _https(
        self, channel: str, scenario: str, expected: Expected, amount_fen: int
    ) -> DemoRow:
        number = self._ids.new("demo-")
        code = cast("str", SCENARIOS[channel][scenario])
        await self._merchant.pay(number, code, amount_fen)
        actual = await self._merchant.final_status(number)
        return DemoRow(
            door="https",
            channel=channel,
            scenario=scenario,
            amount_fen=amount_fen,
            expected=expected.status,
            actual=actual,
        )

    async def _pos(
        self, channel: str, scenario: str, expected: Expected, amount_fen: int
    ) -> DemoRow:
        client = TerminalClient(self._place(self._terminals.pop()))
        try:
            actual = await self._sell(client, channel, scenario, amount_fen)
        except PosgateError as error:
            actual = error.message
        finally:
            await client.close()
        return DemoRow(
            door="pos",
            channel=channel,
            scenario=scenario,
            amount_fen=amount_fen,
            expected=expected.status,
            actual=actual,
        )

    def _place(self, terminal: InstalledTerminal) -> TerminalPlace:
        return TerminalPlace(
            host=self._pos_host,
            port=self._pos_port,
            merchant_id=self._pos_merchant_id,
            terminal_id=terminal.terminal_id,
            tmk=bytes.fromhex(terminal.tmk),
        )

    async def _sell(
        self, client: TerminalClient, channel: str, scenario: str, amount_fen: int
    ) -> str:
        signed_in = await client.exchange(client.terminal.sign_in())
        if not signed_in.approved:
            raise Unavailable(f"sign-in answered {signed_in.response_code}")
        request = self._sale(client, channel, scenario, amount_fen)
        outcome = await client.exchange(request)
        terminal = client.terminal
        number = f"{terminal.identity.terminal_id}-{terminal.batch}-{request.trace}"
        status = await self._merchant.final_status(number)
        if outcome.approved != (status == "succeeded"):
            return f"{status}, but the terminal was told {outcome.response_code}"
        return status

    @staticmethod
    def _sale(client: TerminalClient, channel: str, scenario: str, amount_fen: int) -> Request:
        value = SCENARIOS[channel][scenario]
        if isinstance(value, str):
            return client.terminal.qr_sale(value, amount_fen)
        return client.terminal.sale(magnetic_card(value["pan"], "3012"), amount_fen, value["pin"])

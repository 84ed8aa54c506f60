"""Cashier software under load: pays over HTTPS and never lets go of a number.

Rules: what was not answered is sent again under the same number and body with a fresh
nonce until an answer comes; a payment is asked about until it is final; some are
cancelled or refunded, and these calls are repeated in the same way; every answer's
signature is checked. An answered request is sometimes sent once more as it was: its
nonce must be refused unless whoever remembered it was killed meanwhile.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from sandbox.scenarios import ALIPAY_CODES
from signing.merchant import answer_string, authorization, request_string, sign, verify
from tests.crash.history import Bill, History, Refund, seen
from tests.crash.meter import Meter
from tests.crash.till import code_scenario

FINAL: Final = ("succeeded", "failed", "closed", "reversed")
REFUND_FINAL: Final = ("succeeded", "failed")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_RETRY_S: Final = 0.1
_PAY: Final = "/v1/payments"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose signature is right."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def is_answer(self) -> bool:
        """Whether it decides something; a 503 or a 500 does not."""
        return self.status < 500

    @property
    def code(self) -> str:
        """The stable code of an error."""
        return str((self.json.get("error") or {}).get("code", ""))


@dataclass(frozen=True, slots=True)
class Door:
    """The API of one gateway, and what a cashier knows of it.

    ``memory`` counts how often the used nonces were forgotten. ``has_refunds`` says
    whether the refunds call is there.
    """

    http: aiohttp.ClientSession
    base_url: str
    key_id: str
    secret: bytes
    notify_url: str
    memory: Callable[[], int]
    has_refunds: bool = True

    async def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply | None:
        """One request as it stands; ``None`` when no answer came.

        Raises:
            ValueError: the answer is not signed with the merchant's secret.
        """
        try:
            async with self.http.request(
                method, self.base_url + path, data=body or None, headers=headers, timeout=_TIMEOUT
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        said = answer.headers
        if "Posgate-Signature" in said:
            message = answer_string(said["Posgate-Timestamp"], said["Posgate-Nonce"], raw)
            if not verify(self.secret, message, said["Posgate-Signature"]):
                raise ValueError("a wrong signature")
        elif answer.status < 400:
            raise ValueError("no signature")
        return Reply(answer.status, said, orjson.loads(raw))

    def signed(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The headers of a request, with a fresh nonce."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(12)
        signature = sign(self.secret, request_string(method, path, timestamp, nonce, body))
        return {
            "Authorization": authorization(self.key_id, timestamp, nonce, signature),
            "Content-Type": "application/json",
        }


class Cashier:
    """See the module."""

    def __init__(
        self, name: str, door: Door, rng: random.Random, history: History, meter: Meter
    ) -> None:
        self._name = name
        self._door = door
        self._rng = rng
        self._history = history
        self._meter = meter
        self._count = 0

    async def run(self, selling: Callable[[], bool]) -> None:
        """Take payments while ``selling``; ends with none left undecided."""
        while selling():
            await self._bill()
            await asyncio.sleep(self._rng.uniform(0.02, 0.25))

    async def _bill(self) -> None:
        rng = self._rng
        self._count += 1
        bill = self._history.bill(f"{self._name}-{self._count}", rng.randint(100, 99_999))
        body = {
            "merchant_order_no": bill.number,
            "amount": bill.amount_fen,
            "currency": "CNY",
            "subject": "咖啡",
            "method": {"type": "auth_code", "auth_code": ALIPAY_CODES[code_scenario(rng)]},
            "notify_url": self._door.notify_url,
            "wait_s": rng.choice((0, 1, 5)),
        }
        reply, sent_s = await self._until_answered("POST", _PAY, body)
        if reply.status not in (200, 201):
            self._fault(bill, f"was answered {reply.status} {reply.code}")
            return
        self._take(bill, reply.json)
        if bill.statuses[-1] == "succeeded":
            self._meter.approved(sent_s, "api")
        if rng.random() < 0.05:
            await self._contradict(bill, body)
        if bill.statuses[-1] not in FINAL and rng.random() < 0.25:
            await self._cancel(bill)
        await self._final(bill)
        if bill.statuses[-1] == "succeeded":
            await self._afterwards(bill)

    async def _afterwards(self, bill: Bill) -> None:
        """What merchants do with a payment that succeeded: mostly nothing."""
        lot = self._rng.random()
        if lot < 0.12:
            await self._cancel(bill)
            await self._final(bill)
        elif lot < 0.35 and self._door.has_refunds:
            await self._refund_some(bill)

    def _take(self, bill: Bill, payment: Mapping[str, Any]) -> None:
        """Note a payment as it was shown."""
        own = (bill.id or payment["id"], bill.number, bill.amount_fen)
        if (payment["id"], payment["merchant_order_no"], payment["amount"]) != own:
            self._fault(bill, "its number shows another payment")
            return
        bill.id = str(payment["id"])
        seen(bill.statuses, "parked" if payment["case_id"] else str(payment["status"]))

    def _fault(self, bill: Bill, what: str) -> None:
        self._history.fault(f"bill {bill.number}: {what}")

    async def _contradict(self, bill: Bill, body: Mapping[str, Any]) -> None:
        """The same number with another amount is a conflict."""
        other = {**body, "amount": bill.amount_fen + 1}
        reply, _ = await self._until_answered("POST", _PAY, other)
        if reply.status != 409:
            self._fault(bill, f"another amount under its number was answered {reply.status}")

    async def _cancel(self, bill: Bill) -> None:
        bill.is_cancelled = True
        self._history.counts["cancels"] += 1
        reply, _ = await self._until_answered("POST", f"{_PAY}/{bill.id}/cancel", None)
        if reply.status == 200:
            self._take(bill, reply.json)
        else:
            self._fault(bill, f"its cancel was answered {reply.status} {reply.code}")

    async def _final(self, bill: Bill) -> None:
        """Ask until the payment is final, or parked for a person."""
        ends = {*FINAL, "parked"}
        if bill.is_cancelled:
            ends.discard("succeeded")
        while bill.statuses[-1] not in ends:
            await asyncio.sleep(2 * _RETRY_S)
            reply, _ = await self._until_answered("GET", f"{_PAY}/{bill.id}", None)
            if reply.status != 200:
                self._fault(bill, f"a query was answered {reply.status} {reply.code}")
                return
            self._take(bill, reply.json)

    async def _refund_some(self, bill: Bill) -> None:
        """A part of it, or two parts at once that may be more than there is."""
        parts = 1 if self._rng.random() < 0.6 else 2
        refunds = [
            Refund(f"{bill.number}-r{number}", self._rng.randint(1, bill.amount_fen))
            for number in range(parts)
        ]
        bill.refunds.extend(refunds)
        async with asyncio.TaskGroup() as group:
            for refund in refunds:
                group.create_task(self._refund(bill, refund))

    async def _refund(self, bill: Bill, refund: Refund) -> None:
        body = {"merchant_refund_no": refund.number, "amount": refund.amount_fen}
        reply, _ = await self._until_answered("POST", f"{_PAY}/{bill.id}/refunds", body)
        if reply.status in (409, 422):
            refund.refused_as = reply.code
            self._history.counts[f"refund refused: {reply.code}"] += 1
            return
        while True:
            if reply.status not in (200, 201):
                self._fault(bill, f"refund {refund.number} was answered {reply.status}")
                return
            shown = reply.json
            own = (refund.id or shown["id"], refund.number, refund.amount_fen, bill.id)
            said = tuple(shown[name] for name in ("id", "merchant_refund_no", "amount"))
            if (*said, shown["payment_id"]) != own:
                self._fault(bill, f"refund {refund.number} shows another one")
                return
            refund.id = str(shown["id"])
            is_parked = bool(shown.get("case_id"))
            seen(refund.statuses, "parked" if is_parked else str(shown["status"]))
            if is_parked or shown["status"] in REFUND_FINAL:
                return
            await asyncio.sleep(2 * _RETRY_S)
            reply, _ = await self._until_answered("GET", f"/v1/refunds/{refund.id}", None)

    async def _until_answered(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[Reply, float]:
        """The first answer that decides, and when the request was first on its way."""
        raw = b"" if body is None else orjson.dumps(body)
        first_s = 0.0
        while True:
            sent_s, memory = time.monotonic(), self._door.memory()
            headers = self._door.signed(method, path, raw)
            reply = await self._ask(method, path, raw, headers)
            first_s = first_s or sent_s
            # the client may itself repeat a GET on a broken connection, nonce and all
            is_own_replay = reply is not None and method == "GET" and reply.code == "nonce_used"
            if reply is not None and reply.is_answer and not is_own_replay:
                if self._rng.random() < 0.06:
                    await self._replay(method, path, raw, headers, memory)
                return reply, first_s
            if reply is not None and reply.status == 500:
                self._history.counts["500 answers"] += 1
            await asyncio.sleep(_RETRY_S)

    async def _ask(
        self, method: str, path: str, raw: bytes, headers: Mapping[str, str]
    ) -> Reply | None:
        try:
            return await self._door.send(method, path, raw, headers)
        except ValueError as error:
            self._history.fault(f"{method} {path}: answered with {error}")
            return None

    async def _replay(
        self, method: str, path: str, raw: bytes, headers: Mapping[str, str], memory: int
    ) -> None:
        """The very same request: refused while its nonce is remembered."""
        reply = await self._ask(method, path, raw, headers)
        if reply is None or not reply.is_answer or self._door.memory() != memory:
            return
        self._history.counts["replays refused"] += 1
        if (reply.status, reply.code) != (401, "nonce_used"):
            self._history.fault(f"{method} {path}: a replay was answered {reply.status}")

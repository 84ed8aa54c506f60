"""Draining, and what a new process makes of what the old one left."""

import asyncio
from typing import Any

import pytest

from channels.port import AnswerLost, HttpRequest, HttpResponse, Send
from gateway.store.port import JobKind, Store
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.http.line import Line, signed_payment
from tests.support.gateway import Place, Running, scanned, with_seams
from tests.support.waiting import eventually

APPROVED = ALIPAY_CODES[Scenario.APPROVED]


class Gate:
    """A network that holds requests until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.reached = asyncio.Event()

    def __call__(self, send: Send) -> Send:
        async def held(request: HttpRequest) -> HttpResponse:
            self.reached.set()
            await self.opened.wait()
            return await send(request)

        return held


async def test_draining_finishes_the_old_and_hangs_up(place: Place) -> None:
    """SIGTERM: no new connection, idle ones closed at once, the others after their answer."""
    gate = Gate()
    async with with_seams(place, wrap_send=gate).gateway() as running:
        idle, fresh, half, asked = [await Line.to(running) for _ in range(4)]
        idle.writer.write(b"GET /healthz HTTP/1.1\r\nHost: pos.example\r\n\r\n")
        alive = await idle.reader.readuntil(b'"alive"}')
        assert b"connection: close" not in alive.lower()
        payment = signed_payment(running, "half")
        start, end = payment[:-9], payment[-9:]
        half.writer.write(start)
        asked.writer.write(signed_payment(running, "old"))
        await gate.reached.wait()
        await eventually(lambda: running.gateway.api_door.in_flight() == 2)
        stopping = asyncio.create_task(running.gateway.stop(20))
        assert await idle.heard() == b""
        assert await fresh.heard() == b""
        with pytest.raises(OSError):
            await Line.to(running)
        half.writer.write(end)
        refused = await half.heard()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nconnection: close\r\n" in refused.lower()
        assert b'"unavailable"' in refused
        assert not stopping.done()
        gate.opened.set()
        paid = await asked.heard()
        assert paid.startswith(b"HTTP/1.1 201 ")
        assert b"\r\nconnection: close\r\n" in paid.lower()
        assert b'"succeeded"' in paid
        await stopping
    assert len(await place.charges()) == 1


async def test_a_till_that_dials_again_never_meets_the_one_that_leaves(place: Place) -> None:
    """Two gateways on one port, one of them draining: the other gets all that comes."""
    gate = Gate()
    async with with_seams(place, wrap_send=gate).gateway() as leaving:
        place.configure(http={"port": leaving.bound.api_port})
        first = asyncio.create_task(leaving.api.pay(APPROVED, "first", wait_s=20))
        await gate.reached.wait()
        async with place.gateway() as taking:
            stopping = asyncio.create_task(leaving.gateway.stop(20))
            await eventually(lambda: not leaving.gateway.core.payments.accepting())
            for _ in range(20):
                paid = await taking.api.call(
                    "POST", "/v1/payments", scanned(APPROVED), Connection="close"
                )
                assert paid.status == 201
            assert not stopping.done()
            gate.opened.set()
            assert (await first).json["status"] == "succeeded"
            await stopping


async def test_a_payment_that_outlasts_the_drain_is_left_to_recovery(place: Place) -> None:
    """The next process asks the channel; the customer is charged once."""
    gate = Gate()
    async with with_seams(place, wrap_send=gate).gateway() as running:
        first = asyncio.create_task(running.api.pay(APPROVED, "left", wait_s=20))
        await gate.reached.wait()
        await running.gateway.stop(0.1)
        await asyncio.gather(first, return_exceptions=True)
    payment = await _recovered(place, "left")
    charged, returned = await place.charge(payment)
    assert (payment["status"], charged - returned) == ("closed", 0)


class LostAnswers:
    """A network that brings requests there and no answer back."""

    def __call__(self, send: Send) -> Send:
        async def lose(request: HttpRequest) -> HttpResponse:
            await send(request)
            raise AnswerLost("cut")

        return lose


async def _recovered(place: Place, number: str) -> dict[str, object]:
    """What the next process on the same database makes of an open payment."""
    async with place.session() as it:
        open_ = await it.store.payment_by_order("M0001", "api", number)
        assert open_ is not None
        assert open_.standing.status.value not in ("succeeded", "failed", "closed", "reversed")
        (job,) = await it.store.jobs(JobKind.SETTLE, "", 10)
        # its time has come
        assert await it.store.renew(job.kind, job.subject, 0, job.fence, given_back=True)
    async with place.gateway() as running:
        payment: dict[str, object] = await running.api.final(open_.order.id)
        taken = [line for line in running.lines() if line["event"] == "recovery takes over"]
        assert [line["payment_id"] for line in taken] == [open_.order.id]
        return payment


@pytest.mark.parametrize(
    ("scenario", "status", "charged"),
    [
        (Scenario.APPROVED, "succeeded", (1990, 0)),
        (Scenario.NEVER_PAYS, "closed", (0, 0)),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, "closed", (0, 0)),
    ],
    ids=lambda value: getattr(value, "value", None),
)
async def test_an_unknown_payment_survives_a_restart(
    place: Place, scenario: Scenario, status: str, charged: tuple[int, int]
) -> None:
    """Left unknown by one process, finished by the next as the channel says."""
    place.configure(payments={"till_wait_s": 30})
    async with with_seams(place, wrap_send=LostAnswers()).gateway(drain_s=0) as running:
        reply = await running.api.pay(ALIPAY_CODES[scenario], "lost", wait_s=0)

        async def is_lost() -> bool:
            return bool((await running.api.get(reply.json["id"])).json["status"] == "unknown")

        await eventually(is_lost)
    payment = await _recovered(place, "lost")
    assert payment["status"] == status
    assert await place.charge(payment) == charged


async def test_two_processes_on_one_database_charge_once(place: Place) -> None:
    """The key is claimed in the store: two gateways, one number, one payment."""
    async with place.gateway() as one, place.gateway() as two:
        replies = await asyncio.gather(
            *(running.api.pay(APPROVED, "shared") for running in (one, two) * 10)
        )
        assert sorted(reply.status for reply in replies) == [200] * 19 + [201]
        assert {reply.json["status"] for reply in replies} == {"succeeded"}
        payment = replies[0].json
        undone = await asyncio.gather(one.api.cancel(payment["id"]), two.api.cancel(payment["id"]))
        assert {reply.json["status"] for reply in undone} == {"reversed"}
    assert await place.charge(payment) == (1990, 1990)


async def test_too_much_at_once_is_refused_and_changes_nothing(place: Place) -> None:
    """Beyond ``payments.max_in_flight`` the answer is 503 before anything is written."""
    gate = Gate()
    place.configure(payments={"max_in_flight": 1})
    async with with_seams(place, wrap_send=gate).gateway() as running:
        first = asyncio.create_task(running.api.pay(APPROVED, "one"))
        await gate.reached.wait()
        refused = await running.api.pay(APPROVED, "two")
        assert (refused.status, refused.code) == (503, "unavailable")
        assert (await running.api.find("two")).status == 404
        gate.opened.set()
        assert (await first).json["status"] == "succeeded"
        assert (await running.api.pay(APPROVED, "two")).json["status"] == "succeeded"


async def test_a_client_that_hangs_up_does_not_stop_its_payment(running: Running) -> None:
    """The order was claimed: it ends as the channel says, and its number finds it."""
    code = ALIPAY_CODES[Scenario.USER_PAYING]
    asked = asyncio.create_task(running.api.pay(code, "gone", wait_s=20))

    async def is_claimed() -> bool:
        return (await running.api.find("gone")).status == 200

    await eventually(is_claimed)
    asked.cancel()
    payment = await running.api.final((await running.api.find("gone")).json["id"])
    assert payment["status"] == "succeeded"


async def test_too_many_requests_at_once_are_refused(place: Place) -> None:
    """Beyond ``http.max_in_flight``: 503, and the one before is not disturbed."""
    gate = Gate()
    place.configure(http={"max_in_flight": 1})
    async with with_seams(place, wrap_send=gate).gateway() as running:
        first = asyncio.create_task(running.api.pay(APPROVED))
        await gate.reached.wait()
        refused = await running.api.find("anything")
        assert (refused.status, refused.code) == (503, "unavailable")
        assert "Posgate-Signature" not in refused.headers
        gate.opened.set()
        assert (await first).json["status"] == "succeeded"
        assert (await running.api.find("anything")).status == 404


async def test_a_fault_of_ours_is_explained_and_logged(place: Place) -> None:
    """500 internal_error in the one form; the log has the request id, the answer no detail."""

    class Broken:
        def __init__(self, real: Store) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def payment(self, _payment_id: str) -> None:
            raise RuntimeError("a detail of ours")

    async with with_seams(place, wrap_store=Broken).gateway() as running:
        reply = await running.api.get("pay_x")
        assert (reply.status, reply.code) == (500, "internal_error")
        assert b"detail" not in reply.raw
        assert (await running.api.find("nothing")).status == 404
    (fault,) = [line for line in running.lines() if line["event"] == "request fault"]
    assert fault["request_id"] == reply.json["error"]["request_id"]
    assert "RuntimeError" in fault["exception"]

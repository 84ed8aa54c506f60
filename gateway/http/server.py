"""The HTTPS door: aiohttp in, the use cases, JSON out.

Rules: one wrapper (:meth:`ApiServer._serve`) measures, authenticates, maps every
error of ours once, signs the answer and writes one log line; a handler only knows
its own call. No answer is ever an unexplained 500: a fault of ours is logged with
its request id and told as ``internal_error``.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import web

from channels.codes import detect_channel, normalise
from domain.clock import Clock
from domain.errors import (
    InvalidRequest,
    PosgateError,
    TooLarge,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from domain.ids import IdSource, is_merchant_number
from domain.payment import Payment
from gateway.directory import KnownKey
from gateway.http.answers import payment_body
from gateway.http.auth import Authenticator
from gateway.http.bodies import DEFAULT_WAIT_S, CreatePayment, parse_create_payment
from gateway.http.errors import error_body, plain_error_body, status_of
from gateway.http.operations import Operations
from gateway.live import is_over
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.payments import Begun, Draft, Payments
from signing.keywrap import Sealer

_JSON: Final = "application/json"
_BODY_GRACE_S: Final = 30
Handler = Callable[["Call"], Awaitable["Result"]]


@dataclass(slots=True)
class Call:
    """One authenticated request."""

    key: KnownKey
    request: web.Request
    body: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a handler answers; ``payment`` is named in the log."""

    body: bytes
    status: int = 200
    payment: Payment | None = None
    headers: dict[str, str] = field(default_factory=dict)


class ApiServer:
    """The routes and what they share."""

    def __init__(
        self,
        *,
        payments: Payments,
        authenticator: Authenticator,
        operations: Operations,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
        metrics: Metrics,
        log: Log,
        max_body_bytes: int,
        max_in_flight: int,
    ) -> None:
        self._payments = payments
        self._authenticator = authenticator
        self._operations = operations
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._log = log
        self._max_body_bytes = max_body_bytes
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._runner: web.AppRunner | None = None

    def in_flight(self) -> int:
        """Requests being answered."""
        return self._in_flight

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(
            client_max_size=self._max_body_bytes, middlewares=[self._explain_routes]
        )
        app.router.add_post("/v1/payments", self._signed("create", self._create))
        app.router.add_get("/v1/payments", self._signed("find", self._find))
        app.router.add_get("/v1/payments/{id}", self._signed("get", self._get))
        app.router.add_post("/v1/payments/{id}/cancel", self._signed("cancel", self._cancel))
        self._operations.add_routes(app)
        return app

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; returns the real port."""
        self._runner = web.AppRunner(
            self.application(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=75,
            shutdown_timeout=1,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls, reuse_port=True, backlog=1024)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and close what is idle."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _explain_routes(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answers that the router makes (404, 405) carry our error body too."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            code = {404: "route_not_found", 405: "method_not_allowed"}.get(
                error.status, "http_error"
            )
            body = plain_error_body(code, error.reason, self._ids.new("req_"))
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            self._metrics.request("api", str(error.status))
            return web.Response(body=body, status=error.status, content_type=_JSON, headers=headers)

    def _signed(
        self, name: str, handler: Handler
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            return await self._serve(name, handler, request)

        return serve

    async def _serve(self, name: str, handler: Handler, request: web.Request) -> web.Response:
        started_s = self._clock.monotonic_s()
        request_id = self._ids.new("req_")
        key: KnownKey | None = None
        payment: Payment | None = None
        code = ""
        headers = {"Request-Id": request_id}
        self._in_flight += 1
        try:
            if self._in_flight > self._max_in_flight:
                raise Unavailable("too many requests in flight: send it again")
            body = await self._read(request)
            key = await self._authenticator.authenticate(
                request.method, request.raw_path, request.headers.get("Authorization", ""), body
            )
            result = await handler(Call(key, request, body, request_id))
            answer, status, payment = result.body, result.status, result.payment
            headers.update(result.headers)
        except PosgateError as error:
            answer, status = error_body(error, request_id), status_of(error)
            code = getattr(error, "code", "unavailable")
        except Exception:
            self._log.exception("request fault", request_id=request_id, call=name)
            answer, status, code = self._fault(request_id), 500, "internal_error"
        finally:
            self._in_flight -= 1
        if key is not None:
            signed = self._authenticator.sign_answer(key, answer)
            headers["Posgate-Timestamp"] = signed.timestamp
            headers["Posgate-Nonce"] = signed.nonce
            headers["Posgate-Signature"] = signed.signature
        self._metrics.request("api", str(status))
        self._line(name, request_id, key, payment, status, code, started_s)
        return web.Response(body=answer, status=status, content_type=_JSON, headers=headers)

    @staticmethod
    def _fault(request_id: str) -> bytes:
        return plain_error_body(
            "internal_error", "our fault; the payment's state can be queried", request_id
        )

    def _line(
        self,
        name: str,
        request_id: str,
        key: KnownKey | None,
        payment: Payment | None,
        status: int,
        code: str,
        started_s: float,
    ) -> None:
        """The one canonical line of a request."""
        elapsed_ms = round((self._clock.monotonic_s() - started_s) * 1000, 1)
        fields: dict[str, object] = {
            "call": name,
            "status": status,
            "ms": elapsed_ms,
            "request_id": request_id,
        }
        if key is not None:
            fields["merchant_no"] = key.merchant.merchant_no
        if payment is not None:
            fields["payment_id"] = payment.order.id
            fields["channel"] = payment.order.channel
            fields["payment_status"] = payment.standing.status.value
        if code:
            fields["code"] = code
        self._log.info("api request", **fields)

    async def _read(self, request: web.Request) -> bytes:
        if "Content-Encoding" in request.headers:
            raise UnsupportedMedia("content_encoding", "send the body as it is, uncompressed")
        if request.method == "GET":
            return b""
        try:
            async with asyncio.timeout(_BODY_GRACE_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            message = f"the body exceeds {self._max_body_bytes} bytes"
            raise TooLarge("body_too_large", message) from None
        except TimeoutError:
            raise InvalidRequest("body_too_slow", "the body did not arrive in time") from None
        if body and request.content_type != _JSON:
            raise UnsupportedMedia("content_type", f"send Content-Type: {_JSON}")
        return body

    async def _create(self, call: Call) -> Result:
        asked = parse_create_payment(call.body)
        channel = detect_channel(asked.auth_code)
        if channel is None:
            raise Unprocessable(
                "auth_code_unknown",
                "method.auth_code: not a payment code of a known wallet",
                field="method.auth_code",
            )
        begun = await self._payments.begin(self._draft(call.key, asked, channel))
        payment = await self._wait(begun, asked.wait_s)
        if begun.replayed:
            headers = {"Idempotent-Replayed": "true"}
            return Result(payment_body(payment), 200, payment, headers)
        return Result(payment_body(payment), 201, payment)

    async def _wait(self, begun: Begun, wait_s: int) -> Payment:
        live = begun.live
        if live is None:
            return await self._payments.watch(begun.payment, wait_s, is_over)
        if not begun.replayed:
            self._payments.spawn(self._payments.run(live))
        await live.final(wait_s)
        if live.fault is not None:
            raise live.fault
        return live.payment

    def _draft(self, key: KnownKey, asked: CreatePayment, channel: str) -> Draft:
        metadata = orjson.dumps(asked.metadata, option=orjson.OPT_SORT_KEYS)
        merchant_no = key.merchant.merchant_no
        said = orjson.dumps(
            [
                asked.amount_fen,
                asked.currency,
                asked.subject,
                asked.auth_code,
                asked.notify_url,
                asked.expires_in_s,
                asked.store_id,
                asked.terminal_id,
                metadata.decode(),
            ]
        )
        return Draft(
            merchant_no=merchant_no,
            door="api",
            order_key=asked.merchant_order_no,
            fingerprint=self._sealer.token(said),
            amount_fen=asked.amount_fen,
            currency=asked.currency,
            subject=asked.subject,
            method="auth_code",
            channel=channel,
            auth_code=normalise(asked.auth_code),
            terminal_id=asked.terminal_id,
            store_id=asked.store_id,
            notify_url=asked.notify_url,
            metadata_json=metadata.decode() if asked.metadata else "",
            expires_in_s=asked.expires_in_s,
        )

    async def _get(self, call: Call) -> Result:
        payment = await self._payments.find(
            call.key.merchant.merchant_no, call.request.match_info["id"]
        )
        return Result(payment_body(payment), 200, payment)

    async def _find(self, call: Call) -> Result:
        number = call.request.query.get("merchant_order_no")
        if number is None:
            raise InvalidRequest(
                "missing_field", "merchant_order_no: is needed", field="merchant_order_no"
            )
        if not is_merchant_number(number):
            raise InvalidRequest(
                "invalid_field",
                "merchant_order_no: must be 1-64 of A-Z a-z 0-9 _ -",
                field="merchant_order_no",
            )
        payment = await self._payments.find_by_order(call.key.merchant.merchant_no, number)
        return Result(payment_body(payment), 200, payment)

    async def _cancel(self, call: Call) -> Result:
        if call.body and call.body.strip() != b"{}":
            raise InvalidRequest("unknown_field", "this call takes no body")
        payment = await self._payments.find(
            call.key.merchant.merchant_no, call.request.match_info["id"]
        )
        undone = (await self._payments.cancel(payment)).payment
        undone = await self._payments.watch(undone, DEFAULT_WAIT_S, is_over)
        return Result(payment_body(undone), 200, undone)

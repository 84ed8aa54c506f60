"""The API door: one request in, one answer out, whatever carried it here.

Rules: one wrapper (:meth:`ApiDoor.handle`) routes, measures, authenticates, maps every
error of ours once, signs the answer and writes one log line; a handler only knows
its own call. No answer is ever an unexplained 500: a fault of ours is logged with
its request id and told as ``internal_error``. No aiohttp and no socket in here: a
simulation speaks to it directly.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from urllib.parse import unquote

from domain.clock import Clock
from domain.errors import PosgateError, RequestError, Unavailable, UnsupportedMedia
from domain.ids import IdSource
from gateway.directory import KnownKey
from gateway.events.follower import Follower
from gateway.http.auth import Authenticator
from gateway.http.call import (
    ApiRequest,
    ApiResponse,
    Call,
    EventStream,
    Handler,
    Methods,
    Result,
    Routes,
)
from gateway.http.errors import code_of, error_body, plain_error_body, status_of
from gateway.logs import Log
from gateway.metrics import Metrics

JSON: Final = "application/json"
_IDENTITY: Final = "{id}"
_MOST_PARTS: Final = 6
"""``/v1/payments/{id}/refunds`` has five, the empty one before the first slash included."""
ReadBody = Callable[[], Awaitable[bytes]]


class ApiDoor:
    """Every signed call."""

    def __init__(
        self,
        *,
        routes: Routes,
        authenticator: Authenticator,
        clock: Clock,
        ids: IdSource,
        metrics: Metrics,
        log: Log,
        max_in_flight: int,
    ) -> None:
        self.routes: Final = routes
        self._authenticator = authenticator
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._log = log
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    def in_flight(self) -> int:
        """Requests being answered."""
        return self._in_flight

    async def handle(self, request: ApiRequest, read: ReadBody | None = None) -> ApiResponse:
        """Answer one request. Never raises but when it is cancelled.

        ``read`` fetches the body of a request that was made without; a fault that it
        raises from ``domain.errors`` is answered as the call's own.
        """
        path, _, query = request.raw_path.partition("?")
        methods, identity = self._find(path)
        if methods is None:
            return self.refusal(404, "route_not_found", "Not Found")
        # HEAD is a GET whose answer's body stays here
        found = methods.get("GET" if request.method == "HEAD" else request.method)
        if found is None:
            return self._wrong_method(methods)
        name, handler = found
        return await self._serve(name, handler, request, read, query, identity)

    def _find(self, path: str) -> tuple[Methods | None, str]:
        """The calls at ``path`` and the id in it; the plain path of a payment goes first."""
        methods = self.routes.get(path)
        if methods is not None and _IDENTITY not in path:
            return methods, ""
        if not path.startswith("/"):  # the absolute form, as a proxy writes it
            path = "/" + path.partition("://")[2].partition("/")[2]
        parts = path.split("/", _MOST_PARTS)
        if "%" in path:
            parts = [unquote(part) for part in parts]
        identity = ""
        if len(parts) > 3:
            identity, parts[3] = parts[3], _IDENTITY
            if not identity:
                return None, ""
        return self.routes.get("/".join(parts)), identity

    def _wrong_method(self, methods: Methods) -> ApiResponse:
        allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
        return self.refusal(405, "method_not_allowed", "Method Not Allowed", ",".join(allowed))

    def refusal(self, status: int, code: str, message: str, allow: str = "") -> ApiResponse:
        """The answer to what is no call of ours; unsigned, since nobody was asked who it is."""
        headers = {"Content-Type": JSON}
        if allow:
            headers["Allow"] = allow
        self._metrics.request("api", str(status))
        return ApiResponse(status, headers, plain_error_body(code, message, self._ids.new("req_")))

    async def _serve(
        self,
        name: str,
        handler: Handler,
        request: ApiRequest,
        read: ReadBody | None,
        query: str,
        identity: str,
    ) -> ApiResponse:
        started_s = self._clock.monotonic_s()
        request_id = self._ids.new("req_")
        key: KnownKey | None = None
        result: Result | None = None
        code = why = ""
        headers = {"Content-Type": JSON, "Request-Id": request_id}
        self._in_flight += 1
        try:
            if self._in_flight > self._max_in_flight:
                raise Unavailable("too many requests in flight: send it again")
            body = await _body(request, read)
            key = await self._authenticator.authenticate(
                request.method, request.raw_path, request.headers.get("Authorization", ""), body
            )
            heard = request.headers.get("Last-Event-ID", "")
            result = await handler(Call(key, body, query, identity, heard))
            answer, status = result.body, result.status
            headers.update(result.headers)
        except PosgateError as error:
            answer, status = error_body(error, request_id), status_of(error)
            code = code_of(error)
            why = "" if isinstance(error, RequestError) else error.message
        except Exception:
            self._log.exception("request fault", request_id=request_id, call=name)
            answer, status, code = _fault(request_id), 500, "internal_error"
        finally:
            self._in_flight -= 1
        stream = None
        if key is not None and result is not None and result.stream is not None:
            stream = self._stream(key, result.stream)
        elif key is not None:
            signed = self._authenticator.sign_answer(key, answer)
            headers["Posgate-Timestamp"] = signed.timestamp
            headers["Posgate-Nonce"] = signed.nonce
            headers["Posgate-Signature"] = signed.signature
        self._metrics.request("api", str(status))
        self._line(name, request_id, key, result, status, code, why, started_s)
        return ApiResponse(status, headers, answer, stream)

    def _stream(self, key: KnownKey, follower: Follower) -> EventStream:
        """What has no end to be signed at: each of its messages is signed."""
        authenticator = self._authenticator
        return EventStream(
            follower,
            sign=partial(authenticator.sign_answer, key),
            is_allowed=partial(authenticator.is_allowed, key),
        )

    def _line(
        self,
        name: str,
        request_id: str,
        key: KnownKey | None,
        result: Result | None,
        status: int,
        code: str,
        why: str,
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
        if result is not None and result.payment is not None:
            payment = result.payment
            fields["payment_id"] = payment.order.id
            fields["channel"] = payment.order.channel
            fields["payment_status"] = payment.standing.status._value_
        if result is not None and result.refund is not None:
            refund = result.refund
            fields["refund_id"] = refund.order.id
            fields["payment_id"] = refund.order.payment_id
            fields["channel"] = refund.order.channel
            fields["refund_status"] = refund.standing.status.value
        if code:
            fields["code"] = code
        if why:
            fields["reason"] = why
        self._log.info("api request", **fields)


async def _body(request: ApiRequest, read: ReadBody | None) -> bytes:
    """The body of a call, nothing of it unpacked."""
    if "Content-Encoding" in request.headers:
        raise UnsupportedMedia("content_encoding", "send the body as it is, uncompressed")
    if request.method == "GET":
        return b""
    body = request.body if read is None else await read()
    kind = request.headers.get("Content-Type", "")
    if body and kind != JSON and kind.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMedia("content_type", f"send Content-Type: {JSON}")
    return body


def _fault(request_id: str) -> bytes:
    return plain_error_body(
        "internal_error", "our fault; the payment's state can be queried", request_id
    )

"""The control server's answers: what an outside checker may ask and order.

* ``GET /healthz`` → ``{"status":"ok"}``
* ``GET /charges`` → ``[{"channel","order_no","charged_fen","returned_fen"}, …]``
* ``GET /calls`` → ``{"alipay":n,"unionpay_card":n}``, the requests that came so far
* ``POST /faults`` with ``{"channel","rules":[…]}`` replaces one channel's faults
  (see :class:`sandbox.faults.FaultRule`; an empty list ends them) → ``{"channel","rules":n}``

Errors are ``{"error":{"code","message"}}`` with 400, 404 or 405.
"""

from typing import Final

import orjson

from sandbox.connection import HttpAnswer
from sandbox.effects import Effect
from sandbox.faults import FaultError, parse_rules
from sandbox.http_wire import HttpRequest
from sandbox.world import World

_ROUTES: Final = "GET /healthz, GET /charges, GET /calls, POST /faults"


def handle(request: HttpRequest, world: World, now_ms: int) -> HttpAnswer:
    """Answer one control request."""
    match request.method, request.path:
        case "GET", "/healthz":
            return _json({"status": "ok"})
        case "GET", "/charges":
            return _json(world.charges(now_ms))
        case "GET", "/calls":
            return _json(world.calls)
        case "POST", "/faults":
            return _set_faults(request.body, world)
        case _, "/healthz" | "/charges" | "/calls" | "/faults":
            return _error(405, "method_not_allowed", _ROUTES)
        case _:
            return _error(404, "not_found", _ROUTES)


def _set_faults(body: bytes, world: World) -> HttpAnswer:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _error(400, "invalid_request", "the body is not JSON")
    if not isinstance(raw, dict) or raw.keys() != {"channel", "rules"}:
        return _error(400, "invalid_request", "the body needs channel and rules, nothing else")
    faults = world.faults.get(raw["channel"]) if isinstance(raw["channel"], str) else None
    if faults is None:
        return _error(400, "invalid_request", f"channel must be one of {sorted(world.faults)}")
    try:
        rules = parse_rules(raw["rules"])
    except FaultError as error:
        return _error(400, "invalid_request", str(error))
    faults.replace(rules)
    return _json({"channel": raw["channel"], "rules": len(rules)})


def _json(value: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(Effect(orjson.dumps(value)), status)


def _error(status: int, code: str, message: str) -> HttpAnswer:
    return _json({"error": {"code": code, "message": message}}, status)

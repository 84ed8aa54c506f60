"""The control server's answers: what an outside checker may ask and order.

* ``GET /healthz`` → ``{"status":"ok"}``
* ``GET /charges`` → ``[{"channel","order_no","charged_fen","returned_fen"}, …]``
* ``GET /calls`` → ``{"alipay":n,"unionpay_card":n}``, the requests that came so far
* ``GET /notices`` → what merchants were told, the latest thousand:
  ``[{"channel","order_no","event","attempts","state","last_status"}, …]``
* ``POST /pay`` with ``{"code"}`` or ``{"order"}``, and ``as`` (a scenario's word), ``payer``:
  a payer scans it or opens it and pays (see :mod:`sandbox.wallet`)
  → ``{"channel","order_no","amount_fen","paid","why","subject"}``
* ``POST /adjust`` with ``{"order_no","amount_fen"}``: the acquirer of cards gives that much of
  an order back by itself, as an error's adjustment (see :mod:`sandbox.card_files`)
  → ``{"order_no","returned_fen"}``
* ``POST /faults`` with ``{"channel","rules":[…]}`` replaces one channel's faults
  (see :class:`sandbox.faults.FaultRule`; an empty list ends them) → ``{"channel","rules":n}``

Errors are ``{"error":{"code","message"}}`` with 400, 404 or 405.
"""

from dataclasses import asdict
from typing import Final

import orjson

from sandbox.card_books import BooksFull
from sandbox.connection import HttpAnswer
from sandbox.effects import Effect
from sandbox.faults import FaultError, parse_rules
from sandbox.http_wire import HttpRequest
from sandbox.wallet import ACTS, Payer
from sandbox.world import World

_ROUTES: Final = (
    "GET /healthz, GET /charges, GET /calls, GET /notices, POST /pay, POST /adjust, POST /faults"
)


def handle(request: HttpRequest, world: World, now_ms: int) -> HttpAnswer:
    """Answer one control request."""
    match request.method, request.path:
        case "GET", "/healthz":
            return _json({"status": "ok"})
        case "GET", "/charges":
            return _json(world.charges(now_ms))
        case "GET", "/calls":
            return _json(world.calls)
        case "GET", "/notices":
            return _json(world.notifier.history())
        case "POST", "/faults" | "/pay" | "/adjust":
            return _ORDERS[request.path](request.body, world, now_ms)
        case _, "/healthz" | "/charges" | "/calls" | "/faults" | "/notices" | "/pay" | "/adjust":
            return _error(405, "method_not_allowed", _ROUTES)
        case _:
            return _error(404, "not_found", _ROUTES)


def _set_faults(body: bytes, world: World, now_ms: int) -> HttpAnswer:
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


def _pay(body: bytes, world: World, now_ms: int) -> HttpAnswer:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _error(400, "invalid_request", "the body is not JSON")
    if not isinstance(raw, dict) or not all(isinstance(one, str) for one in raw.values()):
        return _error(400, "invalid_request", "the body must be an object of texts")
    unknown = raw.keys() - {"code", "order", "as", "payer"}
    if unknown or ("code" in raw) == ("order" in raw):
        return _error(400, "invalid_request", "the body needs code or order; also: as, payer")
    acts = {act.value: act for act in ACTS}
    act = acts.get(raw.get("as", "approved"))
    if act is None:
        return _error(400, "invalid_request", f"as must be one of {sorted(acts)}")
    payer = Payer(
        code=raw.get("code", ""),
        order=raw.get("order", ""),
        act=act,
        payer_id=raw.get("payer", ""),
    )
    answer = world.pay(payer, now_ms)
    if answer is None:
        return _error(404, "not_found", "no channel knows this code or order")
    return _json(asdict(answer), 200 if not answer.why else 409)


def _adjust(body: bytes, world: World, now_ms: int) -> HttpAnswer:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _error(400, "invalid_request", "the body is not JSON")
    if not isinstance(raw, dict) or raw.keys() != {"order_no", "amount_fen"}:
        return _error(400, "invalid_request", "the body needs order_no and amount_fen, only these")
    number, amount_fen = raw["order_no"], raw["amount_fen"]
    if not isinstance(number, str) or type(amount_fen) is not int:
        return _error(400, "invalid_request", "order_no must be text, amount_fen a whole number")
    books = world.card_state.books
    order = books.find(number)
    if order is None:
        return _error(404, "not_found", "the card host knows no such order")
    try:
        books.adjust(order, amount_fen, now_ms)
    except (ValueError, BooksFull) as error:
        return _error(409, "cannot_be_adjusted", str(error) or "the books are full")
    return _json({"order_no": number, "returned_fen": order.returned_fen})


_ORDERS: Final = {"/faults": _set_faults, "/pay": _pay, "/adjust": _adjust}
"""What may be ordered, by its path."""


def _json(value: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(Effect(orjson.dumps(value)), status)


def _error(status: int, code: str, message: str) -> HttpAnswer:
    return _json({"error": {"code": code, "message": message}}, status)

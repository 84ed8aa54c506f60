"""The OpenAPI document of the HTTPS API, built from the tables it is checked against.

Rules: statuses, payment states and bounds come from the code that enforces them; a
test walks the routes of the application and this document and finds them equal.
"""

from typing import Final

from gateway.http.bodies import DEFAULT_WAIT_S, MAX_WAIT_S
from gateway.http.openapi_schemas import NUMBER, Schema, schemas

_REFUSALS: Final = {
    "400": "a field is missing, unknown or malformed",
    "401": "no valid signature, time or nonce",
    "403": "a limit of the merchant's stops it, or an operator's PIN is wanting",
    "404": "no such payment or refund of this merchant",
    "409": "the number was used with other content, or the payment's state does not allow it",
    "413": "the body is too large",
    "415": "not uncompressed application/json",
    "422": "well-formed, and impossible",
    "503": "not now: send it again",
}


def _refusals(*statuses: str) -> Schema:
    schema = {"$ref": "#/components/schemas/Error"}
    content = {"application/json": {"schema": schema}}
    return {status: {"description": _REFUSALS[status], "content": content} for status in statuses}


def _answer(schema: str, description: str) -> Schema:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _body(schema: str) -> Schema:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"required": True, "content": content}


_IDENTITY: Final[Schema] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}


_WAIT: Final[Schema] = {
    "name": "wait_s",
    "in": "query",
    "description": "answer once it is over, or beyond `after`, or after this long",
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0},
}
_AFTER: Final[Schema] = {
    "name": "after",
    "in": "query",
    "description": "the version that the caller knows",
    "schema": {"type": "integer", "minimum": 0},
}
_GO_ON: Final = (
    {**_AFTER, "description": "go on after this event's id"},
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "the same, as a reader that connects again says it",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
)


_POLL: Final[Schema] = {
    **_WAIT,
    "description": "no stream: what came after `after`, waited for so long (StoreEvents)",
}


def _event_paths() -> Schema:
    events: Schema = {
        "description": (
            "events of the form text/event-stream: `id`, `event` (payment. and the status) and "
            "`data`, the payment; `posgate-timestamp`, `posgate-nonce` and `posgate-signature` "
            "sign the data as an answer is signed"
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    polled = {"schema": {"$ref": "#/components/schemas/StoreEvents"}}
    heard = {**events, "content": {**events["content"], "application/json": polled}}
    of_payment = {
        "operationId": "followPayment",
        "summary": "A payment as it stands, and again whenever it moves",
        "parameters": [_IDENTITY, *_GO_ON],
        "responses": {"200": events, **_refusals("400", "401", "404", "503")},
    }
    of_store = {
        "operationId": "followStore",
        "summary": "Every payment of a store when it moves",
        "parameters": [_IDENTITY, *_GO_ON, _POLL],
        "responses": {"200": heard, **_refusals("400", "401", "404", "422", "503")},
    }
    return {
        "/v1/payments/{id}/events": {"get": of_payment},
        "/v1/stores/{id}/events": {"get": of_store},
    }


def _payment_paths() -> Schema:
    number = {"name": "merchant_order_no", "in": "query", "required": True, "schema": NUMBER}
    create = {
        "operationId": "createPayment",
        "summary": "Take a payment by the payer's scanned code, or show a code to scan",
        "requestBody": _body("CreatePayment"),
        "responses": {
            "201": _answer("Payment", "the payment, final or as far as it is after wait_s"),
            "200": _answer("Payment", "a replay (Idempotent-Replayed: true): the payment now"),
            **_refusals("400", "401", "403", "409", "413", "415", "422", "503"),
        },
    }
    find = {
        "operationId": "findPayment",
        "summary": "A payment by the merchant's own number",
        "parameters": [number],
        "responses": {"200": _answer("Payment", "it"), **_refusals("400", "401", "404", "503")},
    }
    get = {
        "operationId": "getPayment",
        "summary": "A payment by its id, at once or when it moves",
        "parameters": [_IDENTITY, _WAIT, _AFTER],
        "responses": {
            "200": _answer("Payment", "it"),
            **_refusals("400", "401", "404", "422", "503"),
        },
    }
    cancel = {
        "operationId": "cancelPayment",
        "summary": "Undo a payment: it ends closed (was unpaid) or reversed (money returned)",
        "parameters": [_IDENTITY],
        "responses": {
            "200": _answer("Payment", "the payment, undone or being undone"),
            **_refusals("400", "401", "404", "409", "413", "415", "503"),
        },
    }
    return {
        "/v1/payments": {"post": create, "get": find},
        "/v1/payments/{id}": {"get": get},
        "/v1/payments/{id}/cancel": {"post": cancel},
    }


def _refund_paths() -> Schema:
    create = {
        "operationId": "createRefund",
        "summary": "Return a part or all of a succeeded payment",
        "parameters": [_IDENTITY],
        "requestBody": _body("CreateRefund"),
        "responses": {
            "201": _answer("Refund", f"the refund, final or as it is after {DEFAULT_WAIT_S} s"),
            "200": _answer("Refund", "a replay (Idempotent-Replayed: true): the refund now"),
            **_refusals("400", "401", "404", "409", "413", "415", "422", "503"),
        },
    }
    listed = {
        "operationId": "listRefunds",
        "summary": "The refunds of a payment",
        "parameters": [_IDENTITY],
        "responses": {"200": _answer("RefundList", "them"), **_refusals("401", "404", "503")},
    }
    get = {
        "operationId": "getRefund",
        "summary": "A refund by its id",
        "parameters": [_IDENTITY],
        "responses": {"200": _answer("Refund", "it"), **_refusals("401", "404", "503")},
    }
    return {
        "/v1/payments/{id}/refunds": {"post": create, "get": listed},
        "/v1/refunds/{id}": {"get": get},
    }


_SIGNING: Final = (
    'Authorization: POSGATE-HMAC-SHA256 key_id="…",timestamp="<unix s>",nonce="…",'
    'signature="<hex>". The signature is HMAC-SHA256 with the secret over '
    "METHOD, path?query, timestamp, nonce and hex(sha256(body)), each followed by a line feed. "
    "A nonce is good once. Answers carry Posgate-Timestamp, Posgate-Nonce and "
    "Posgate-Signature over timestamp, nonce and hex(sha256(body)), each followed by a line feed."
)


def openapi_document() -> Schema:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Posgate", "version": "1", "description": _SIGNING},
        "paths": {**_payment_paths(), **_event_paths(), **_refund_paths()},
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "merchant": {"type": "apiKey", "in": "header", "name": "Authorization"}
            },
        },
        "security": [{"merchant": []}],
    }

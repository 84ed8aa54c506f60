"""The OpenAPI document of the HTTPS API, built from the tables it is checked against.

Rules: statuses, payment states and bounds come from the code that enforces them; a
test walks the routes of the application and this document and finds them equal.
"""

from typing import Any, Final

from domain.money import MAX_AMOUNT_FEN
from domain.payment import Status
from domain.refund import RefundStatus
from gateway.http.bodies import (
    DEFAULT_WAIT_S,
    MAX_CODE,
    MAX_EXPIRES_S,
    MAX_METADATA,
    MAX_METADATA_NAME,
    MAX_METADATA_TEXT,
    MAX_OPERATOR,
    MAX_PIN,
    MAX_REASON,
    MAX_STORE_ID,
    MAX_WAIT_S,
    MAX_WALLETS,
    WALLETS,
)
from gateway.http.refund_calls import MAX_LISTED

Schema = dict[str, Any]

_NUMBER: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_AMOUNT: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_AMOUNT_FEN,
    "description": "fen, 1/100 yuan",
}


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _scanned_method() -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "auth_code"],
        "properties": {
            "type": {"const": "auth_code"},
            "auth_code": {**_text(MAX_CODE), "description": "the payer's code as scanned"},
        },
    }


def _code_method() -> Schema:
    wallets = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_WALLETS,
        "uniqueItems": True,
        "items": {"enum": list(WALLETS)},
        "description": "who may scan it; one alone: that wallet's own code",
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type"],
        "properties": {"type": {"const": "qr"}, "wallets": wallets},
    }


def _shown_method() -> Schema:
    return {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "code": {"type": "string", "description": "qr: what the payer scans, as a QR code"},
            "code_expires_at": {**_TIME, "description": "qr: ask for the next code by then"},
        },
    }


def _create_schema() -> Schema:
    method = {"oneOf": [_scanned_method(), _code_method()]}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["merchant_order_no", "amount", "currency", "subject", "method"],
        "properties": {
            "merchant_order_no": {**_NUMBER, "description": "the idempotency key"},
            "amount": _AMOUNT,
            "currency": {"const": "CNY"},
            "subject": _text(128),
            "method": method,
            "notify_url": {
                **_text(512),
                "format": "uri",
                "description": "an https address that is told of every end; see notifications",
            },
            "expires_in_s": {"type": "integer", "minimum": 1, "maximum": MAX_EXPIRES_S},
            "wait_s": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_WAIT_S,
                "default": DEFAULT_WAIT_S,
                "description": "answer after this long with whatever state there is",
            },
            "store_id": _text(MAX_STORE_ID),
            "terminal_id": _text(32),
            "metadata": {
                "type": "object",
                "maxProperties": MAX_METADATA,
                "propertyNames": {"minLength": 1, "maxLength": MAX_METADATA_NAME},
                "additionalProperties": {"type": "string", "maxLength": MAX_METADATA_TEXT},
                "description": "kept and shown; the text of `cashier` is a dimension of reports",
            },
            "operator_id": {
                **_text(MAX_OPERATOR),
                "description": "who lets it through above the small-amount limit",
            },
            "operator_pin": {**_text(MAX_PIN), "format": "password"},
        },
    }


_REFUSAL: Final[Schema] = {
    "type": ["object", "null"],
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "message_zh": {"type": "string"},
        "channel_code": _TEXT_OR_NULL,
    },
}


def _payment_schema() -> Schema:
    return {
        "type": "object",
        "required": ["id", "merchant_order_no", "status", "amount", "currency", "channel"],
        "properties": {
            "id": {"type": "string"},
            "merchant_order_no": _NUMBER,
            "status": {"enum": [status.value for status in Status]},
            "version": {
                "type": "integer",
                "minimum": 1,
                "description": "rises with every change; what after= and an event's id mean",
            },
            "amount": _AMOUNT,
            "currency": {"const": "CNY"},
            "subject": {"type": "string"},
            "channel": {**_TEXT_OR_NULL, "description": "null: no wallet has begun (qr)"},
            "channel_order_no": _TEXT_OR_NULL,
            "channel_trade_no": _TEXT_OR_NULL,
            "method": _shown_method(),
            "expires_at": {**_TIME, "description": "qr: nobody can pay it from then on"},
            "store_id": _TEXT_OR_NULL,
            "terminal_id": _TEXT_OR_NULL,
            "metadata": {"type": "object"},
            "created_at": _TIME,
            "paid_at": _TIME_OR_NULL,
            "refunded_amount": {
                "type": "integer",
                "description": "fen that went back, by refunds or by an undo",
            },
            "error": _REFUSAL,
            "case_id": _TEXT_OR_NULL,
        },
    }


def _create_refund_schema() -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["merchant_refund_no", "amount"],
        "properties": {
            "merchant_refund_no": {**_NUMBER, "description": "the idempotency key"},
            "amount": _AMOUNT,
            "reason": _text(MAX_REASON),
        },
    }


def _refund_schema() -> Schema:
    return {
        "type": "object",
        "required": ["id", "payment_id", "merchant_refund_no", "amount", "status"],
        "properties": {
            "id": {"type": "string"},
            "payment_id": {"type": "string"},
            "merchant_refund_no": _NUMBER,
            "amount": _AMOUNT,
            "currency": {"const": "CNY"},
            "reason": _TEXT_OR_NULL,
            "status": {"enum": [status.value for status in RefundStatus]},
            "channel_refund_no": {"type": "string"},
            "created_at": _TIME,
            "done_at": _TIME_OR_NULL,
            "error": _REFUSAL,
            "case_id": _TEXT_OR_NULL,
        },
    }


def _refund_list_schema() -> Schema:
    refunds = {
        "type": "array",
        "maxItems": MAX_LISTED,
        "description": f"the newest first, at most {MAX_LISTED}",
        "items": {"$ref": "#/components/schemas/Refund"},
    }
    return {"type": "object", "required": ["refunds"], "properties": {"refunds": refunds}}


def _error_schema() -> Schema:
    names = ("code", "message", "message_zh", "field", "request_id")
    properties = {name: {"type": "string"} for name in names}
    error = {
        "type": "object",
        "required": ["code", "message", "request_id"],
        "properties": properties,
    }
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


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


def _event_paths() -> Schema:
    events = {
        "description": (
            "events of the form text/event-stream: `id`, `event` (payment. and the status) and "
            "`data`, the payment; `posgate-timestamp`, `posgate-nonce` and `posgate-signature` "
            "sign the data as an answer is signed"
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    of_payment = {
        "operationId": "followPayment",
        "summary": "A payment as it stands, and again whenever it moves",
        "parameters": [_IDENTITY, *_GO_ON],
        "responses": {"200": events, **_refusals("400", "401", "404", "503")},
    }
    of_store = {
        "operationId": "followStore",
        "summary": "Every payment of a store when it moves",
        "parameters": [_IDENTITY, *_GO_ON],
        "responses": {"200": events, **_refusals("400", "401", "404", "503")},
    }
    return {
        "/v1/payments/{id}/events": {"get": of_payment},
        "/v1/stores/{id}/events": {"get": of_store},
    }


def _payment_paths() -> Schema:
    number = {"name": "merchant_order_no", "in": "query", "required": True, "schema": _NUMBER}
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
            "schemas": {
                "CreatePayment": _create_schema(),
                "Payment": _payment_schema(),
                "CreateRefund": _create_refund_schema(),
                "Refund": _refund_schema(),
                "RefundList": _refund_list_schema(),
                "Error": _error_schema(),
            },
            "securitySchemes": {
                "merchant": {"type": "apiKey", "in": "header", "name": "Authorization"}
            },
        },
        "security": [{"merchant": []}],
    }

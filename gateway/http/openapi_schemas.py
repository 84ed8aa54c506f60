"""What goes into the API's calls and comes out of them, as OpenAPI schemas.

Rules: as ``openapi.py``: statuses, payment states and bounds come from the code that
enforces them.
"""

from typing import Any, Final

from domain.ids import MERCHANT_NUMBER
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
    MAX_NOTIFY_URL,
    MAX_OPERATOR,
    MAX_PIN,
    MAX_REASON,
    MAX_STORE_ID,
    MAX_SUBJECT,
    MAX_TERMINAL_ID,
    MAX_WAIT_S,
    MAX_WALLETS,
    WALLETS,
)
from gateway.http.refund_calls import MAX_LISTED

Schema = dict[str, Any]

NUMBER: Final[Schema] = {"type": "string", "pattern": f"^{MERCHANT_NUMBER}$"}
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
            "merchant_order_no": {**NUMBER, "description": "the idempotency key"},
            "amount": _AMOUNT,
            "currency": {"const": "CNY"},
            "subject": _text(MAX_SUBJECT),
            "method": method,
            "notify_url": {
                **_text(MAX_NOTIFY_URL),
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
            "terminal_id": _text(MAX_TERMINAL_ID),
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
            "merchant_order_no": NUMBER,
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
            "merchant_refund_no": {**NUMBER, "description": "the idempotency key"},
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
            "merchant_refund_no": NUMBER,
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


def _store_events_schema() -> Schema:
    event = {
        "type": "object",
        "required": ["id", "event", "payment"],
        "properties": {
            "id": {"type": "integer", "description": "where the store stood after it"},
            "event": {"type": "string", "description": "payment. and the status"},
            "payment": {"$ref": "#/components/schemas/Payment"},
        },
    }
    return {
        "type": "object",
        "required": ["events", "last_event_id"],
        "properties": {
            "events": {"type": "array", "items": event, "description": "empty: none in time"},
            "last_event_id": {
                "type": ["integer", "null"],
                "description": "what the next call gives as after; null: call again as before",
            },
        },
    }


def _error_schema() -> Schema:
    names = ("code", "message", "message_zh", "field", "request_id")
    properties = {name: {"type": "string"} for name in names}
    error = {
        "type": "object",
        "required": ["code", "message", "request_id"],
        "properties": properties,
    }
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def schemas() -> Schema:
    """Every schema by the name that the calls refer to."""
    return {
        "CreatePayment": _create_schema(),
        "Payment": _payment_schema(),
        "CreateRefund": _create_refund_schema(),
        "Refund": _refund_schema(),
        "RefundList": _refund_list_schema(),
        "StoreEvents": _store_events_schema(),
        "Error": _error_schema(),
    }

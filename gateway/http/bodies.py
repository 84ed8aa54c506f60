"""Request bodies: JSON in, checked values out.

Rules: pure. Every fault names its field (``method.auth_code``) and its form. A key
that the call does not know is refused, so that a misspelt option is not silently
ignored. Wrong types and forms are 400; a well-formed value that cannot be is 422.
Values that could be secret are never quoted back.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import orjson

from domain.errors import InvalidRequest, Unprocessable
from domain.ids import is_merchant_number
from domain.money import CNY, MAX_AMOUNT_FEN
from domain.record import record

_CREATE_FIELDS: Final = frozenset(
    (
        "merchant_order_no",
        "amount",
        "currency",
        "subject",
        "method",
        "notify_url",
        "expires_in_s",
        "wait_s",
        "store_id",
        "terminal_id",
        "metadata",
        "operator_id",
        "operator_pin",
    )
)
_REFUND_FIELDS: Final = frozenset(("merchant_refund_no", "amount", "reason"))
DEFAULT_WAIT_S: Final = 5
MAX_WAIT_S: Final = 30
MAX_EXPIRES_S: Final = 7200
MAX_REASON: Final = 256
MAX_STORE_ID: Final = 32
MAX_TERMINAL_ID: Final = 32
MAX_SUBJECT: Final = 128
MAX_NOTIFY_URL: Final = 512
MAX_NUMBER: Final = 2**63 - 1
"""What the store can count to."""
MAX_CODE: Final = 128
MAX_OPERATOR: Final = 16
MAX_PIN: Final = 12
WALLETS: Final = ("alipay", "unionpay_qr", "wechat")
"""What ``method.wallets`` may name."""
MAX_WALLETS: Final = len(WALLETS)
MAX_METADATA: Final = 20
MAX_METADATA_NAME: Final = 40
MAX_METADATA_TEXT: Final = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")


@record
class CreatePayment:
    """A checked body of ``POST /v1/payments``; ``repr`` shows no code and no PIN.

    ``auth_code`` is ``""`` for a code of ours that the payer scans (``method.type`` ``qr``),
    which ``wallets`` may narrow down.
    """

    merchant_order_no: str
    amount_fen: int
    currency: str
    subject: str
    auth_code: str
    notify_url: str
    expires_in_s: int
    wait_s: int
    store_id: str
    terminal_id: str
    metadata: Mapping[str, str]
    operator_id: str = ""
    operator_pin: str = ""
    wallets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"CreatePayment({self.merchant_order_no!r}, {self.amount_fen})"


@record
class CreateRefund:
    """A checked body of ``POST /v1/payments/{id}/refunds``."""

    merchant_refund_no: str
    amount_fen: int
    reason: str


def parse_object(body: bytes) -> dict[str, object]:
    """A JSON object.

    Raises:
        InvalidRequest: ``invalid_json``.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequest("invalid_json", "the body is not valid JSON") from None
    if not isinstance(data, dict):
        raise InvalidRequest("invalid_json", "the body must be a JSON object")
    return data


def parse_create_payment(body: bytes) -> CreatePayment:
    """Check the body of ``POST /v1/payments``.

    Raises:
        InvalidRequest: a field is missing, unknown or malformed.
        Unprocessable: a value that is well-formed and cannot be.
    """
    data = _known_fields(body, _CREATE_FIELDS)
    auth_code, wallets = _method(data)
    return CreatePayment(
        merchant_order_no=_number(data, "merchant_order_no"),
        amount_fen=_amount(data),
        currency=_currency(data),
        subject=_text(data, "subject", MAX_SUBJECT),
        auth_code=auth_code,
        notify_url=_notify_url(data),
        expires_in_s=_whole(data, "expires_in_s", MAX_EXPIRES_S, 1, MAX_EXPIRES_S),
        wait_s=_whole(data, "wait_s", DEFAULT_WAIT_S, 0, MAX_WAIT_S),
        store_id=_text(data, "store_id", MAX_STORE_ID, needed=False),
        terminal_id=_text(data, "terminal_id", MAX_TERMINAL_ID, needed=False),
        metadata=_metadata(data),
        operator_id=_text(data, "operator_id", MAX_OPERATOR, needed=False),
        operator_pin=_text(data, "operator_pin", MAX_PIN, needed=False),
        wallets=wallets,
    )


def parse_create_refund(body: bytes) -> CreateRefund:
    """Check the body of ``POST /v1/payments/{id}/refunds``.

    Raises:
        InvalidRequest: a field is missing, unknown or malformed.
        Unprocessable: a value that is well-formed and cannot be.
    """
    data = _known_fields(body, _REFUND_FIELDS)
    return CreateRefund(
        merchant_refund_no=_number(data, "merchant_refund_no"),
        amount_fen=_amount(data),
        reason=_text(data, "reason", MAX_REASON, needed=False),
    )


def query_number(query: str, name: str, default: int, most: int = MAX_NUMBER) -> int:
    """A whole number of a query, the first of its name.

    Raises:
        InvalidRequest: it is none.
        Unprocessable: it is more than ``most``.
    """
    value = _first(query, name)
    if value is None:
        return default
    number = whole_number(value, name)
    if number > most:
        raise Unprocessable("out_of_range", f"{name}: must be 0-{most}", field=name)
    return number


def query_merchant_number(query: str, name: str) -> str:
    """A merchant's own number in a query, the first of its name.

    Raises:
        InvalidRequest: it is missing, or none.
    """
    value = _first(query, name)
    if value is None:
        raise _needed(name)
    return _merchant_number(value, name)


def _first(query: str, name: str) -> str | None:
    """The first value of a query parameter, decoded."""
    for given, value in parse_qsl(query, keep_blank_values=True):
        if given == name:
            return value
    return None


def whole_number(text: str, name: str) -> int:
    """A whole number written in digits.

    Raises:
        InvalidRequest: it is none, or longer than any of ours.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_NUMBER)):
        raise _invalid(name, "must be a whole number")
    return int(text)


def refuse_body(body: bytes) -> None:
    """For a call that takes none; an empty object is let through.

    Raises:
        InvalidRequest: ``unknown_field``.
    """
    if body and body.strip() != b"{}":
        raise InvalidRequest("unknown_field", "this call takes no body")


def _known_fields(body: bytes, fields: frozenset[str]) -> dict[str, object]:
    data = parse_object(body)
    if not fields.issuperset(data):
        unknown = next(name for name in data if name not in fields)
        raise _invalid(unknown[:64], "unknown field", "unknown_field")
    return data


def _number(data: Mapping[str, object], name: str) -> str:
    return _merchant_number(_text(data, name, 64), name)


def _merchant_number(number: str, name: str) -> str:
    if not is_merchant_number(number):
        raise _invalid(name, "must be 1-64 of A-Z a-z 0-9 _ -")
    return number


def _invalid(field: str, message: str, code: str = "invalid_field") -> InvalidRequest:
    return InvalidRequest(code, f"{field}: {message}", field=field)


def _needed(field: str) -> InvalidRequest:
    return InvalidRequest("missing_field", f"{field}: is needed", field=field)


def _text(data: Mapping[str, object], name: str, longest: int, *, needed: bool = True) -> str:
    value = data.get(name)
    if value is None:
        if needed:
            raise _needed(name)
        return ""
    if not isinstance(value, str):
        raise _invalid(name, "must be text")
    if not 1 <= len(value) <= longest:
        raise _invalid(name, f"must have 1-{longest} characters")
    if not value.isprintable() and _CONTROL.search(value):
        raise _invalid(name, "must not contain control characters")
    return value


def _whole(data: Mapping[str, object], name: str, default: int, low: int, high: int) -> int:
    value = data.get(name, default)
    if type(value) is not int and not _is_longer(value):
        raise _invalid(name, "must be a whole number")
    if type(value) is not int or not low <= value <= high:
        raise Unprocessable("out_of_range", f"{name}: must be {low}-{high}", field=name)
    return value


def _is_longer(value: object) -> bool:
    """Whether it is a number beyond 64 bits: the reader of JSON gives no integer for such."""
    return isinstance(value, float) and not -MAX_NUMBER < value < MAX_NUMBER


def _amount(data: Mapping[str, object]) -> int:
    if data.get("amount") is None:
        raise _needed("amount")
    value = data["amount"]
    if type(value) is not int and not _is_longer(value):
        raise _invalid("amount", "must be a whole number of fen")
    if type(value) is not int or not 1 <= value <= MAX_AMOUNT_FEN:
        message = f"amount: must be 1-{MAX_AMOUNT_FEN} fen"
        raise Unprocessable("amount_out_of_range", message, field="amount")
    return value


def _currency(data: Mapping[str, object]) -> str:
    value = _text(data, "currency", 3)
    if value != CNY:
        raise Unprocessable("currency_not_supported", "currency: only CNY", field="currency")
    return value


def _method(data: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """The payer's code, or ``""`` and the wallets that may scan ours."""
    method = data.get("method")
    if method is None:
        raise _needed("method")
    if not isinstance(method, dict):
        raise _invalid("method", "must be an object")
    kind = method.get("type")
    if kind is None:
        raise _needed("method.type")
    if not isinstance(kind, str):
        raise _invalid("method.type", "must be text")
    if kind not in ("auth_code", "qr"):
        raise Unprocessable(
            "method_not_open",
            "method.type: only auth_code and qr are open here",
            field="method.type",
        )
    known = ("type", "auth_code") if kind == "auth_code" else ("type", "wallets")
    for name in method:
        if name not in known:
            raise _invalid(f"method.{name[:64]}", "unknown field", "unknown_field")
    if kind == "qr":
        return "", _wallets(method)
    return _auth_code(method), ()


def _wallets(method: Mapping[str, object]) -> tuple[str, ...]:
    given = method.get("wallets")
    if given is None:
        return ()
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_WALLETS:
        raise _invalid("method.wallets", f"must be a list of 1-{MAX_WALLETS} wallets")
    if any(not isinstance(one, str) or one not in WALLETS for one in given):
        raise _invalid("method.wallets", f"must be of {', '.join(WALLETS)}")
    if len(set(given)) != len(given):
        raise _invalid("method.wallets", "must name each wallet once")
    return tuple(given)


def _auth_code(method: Mapping[str, object]) -> str:
    code = method.get("auth_code")
    if code is None:
        raise _needed("method.auth_code")
    if not isinstance(code, str) or not 1 <= len(code) <= MAX_CODE:
        raise _invalid("method.auth_code", f"must be text of 1-{MAX_CODE} characters")
    return code


def _notify_url(data: Mapping[str, object]) -> str:
    value = _text(data, "notify_url", MAX_NOTIFY_URL, needed=False)
    if value and not _URL.fullmatch(value):
        raise _invalid("notify_url", "must be an http or https address")
    return value


def _metadata(data: Mapping[str, object]) -> Mapping[str, str]:
    value = data.get("metadata")
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_METADATA:
        raise _invalid("metadata", f"must be an object of at most {MAX_METADATA} texts")
    for name, text in value.items():
        is_short = 1 <= len(name) <= MAX_METADATA_NAME
        if not is_short or not isinstance(text, str) or len(text) > MAX_METADATA_TEXT:
            sizes = (
                f"names of 1-{MAX_METADATA_NAME}, texts of at most {MAX_METADATA_TEXT} characters"
            )
            raise _invalid("metadata", sizes)
        if _CONTROL.search(name) or _CONTROL.search(text):
            raise _invalid("metadata", "must not contain control characters")
    return value

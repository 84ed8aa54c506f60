"""What a caller of the load generator believes."""

import orjson

from benchmarks.barcode_till import BarcodeTill
from signing.merchant import answer_string, sign

SECRET = b"no-secret-of-anybody"


def answer(request: bytes, status: str) -> bytes:
    """What the gateway says to a payment that succeeded."""
    asked = orjson.loads(request.partition(b"\r\n\r\n")[2])
    told = {"status": "succeeded"} | {name: asked[name] for name in ("merchant_order_no", "amount")}
    body = orjson.dumps(told)
    signature = sign(SECRET, answer_string("1", "n", body))
    head = (
        f"HTTP/1.1 {status}\r\nPosgate-Timestamp: 1\r\nPosgate-Nonce: n\r\n"
        f"Posgate-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_a_repeat_that_says_it_was_made_again_is_an_error() -> None:
    """The first answer of a payment is 201, every later one 200; nothing else is believed."""
    till = BarcodeTill(1, "host", "key", SECRET, "run", orders=1)
    first, again = till.build(), till.build()
    assert till.judge(first, answer(first, "201 Created")) == ""
    assert till.judge(again, answer(again, "200 OK")) == ""
    assert till.judge(again, answer(again, "201 Created")).startswith("201")


def test_a_payment_that_was_there_before_anybody_asked_is_an_error() -> None:
    """A first answer that calls itself a repeat: somebody else's payment."""
    till = BarcodeTill(1, "host", "key", SECRET, "run")
    first = till.build()
    assert till.judge(first, answer(first, "200 OK")).startswith("200")

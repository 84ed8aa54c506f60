"""Bad input gets a clear answer and changes nothing: one stable code, and the field's name.

Every question here goes to one standing gateway; :func:`nothing_changed` is asked after
each.
"""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.gateway import Reply, Running, scanned

pytestmark = pytest.mark.asyncio(loop_scope="module")

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
NEEDED = ("merchant_order_no", "amount", "currency", "subject", "method")


def check_error(reply: Reply, status: int, code: str = "", field: str | None = None) -> None:
    """The one form of an error."""
    assert reply.status == status, (reply.status, reply.raw)
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json.keys() == {"error"}
    error = reply.json["error"]
    assert error.keys() - {"field"} == {"code", "message", "request_id"}
    assert error["request_id"].startswith("req_")
    assert error["message"]
    assert code in ("", error["code"])
    if field is not None:
        assert error.get("field", "") == field


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_changed(standing: Running) -> AsyncIterator[None]:
    """Neither a charge nor an order comes of a refused request."""
    before = await standing.place.charges()
    yield
    assert await standing.place.charges() == before
    async with standing.place.session() as it:
        assert list(await it.store.jobs(None, "", 100)) == []


@pytest.mark.parametrize("name", NEEDED)
async def test_a_missing_field_is_named(standing: Running, name: str) -> None:
    """400 missing_field, for absent and for null."""
    body = scanned(APPROVED)
    del body[name]
    check_error(await standing.api.call("POST", "/v1/payments", body), 400, "missing_field", name)
    body[name] = None
    check_error(await standing.api.call("POST", "/v1/payments", body), 400, "missing_field", name)


@pytest.mark.parametrize(
    ("method", "field", "status"),
    [
        ({}, "method.type", 400),
        ({"type": None, "auth_code": APPROVED}, "method.type", 400),
        ({"type": 1, "auth_code": APPROVED}, "method.type", 400),
        ({"type": "cash", "auth_code": APPROVED}, "method.type", 422),
        ({"type": "auth_code"}, "method.auth_code", 400),
        ({"type": "auth_code", "auth_code": None}, "method.auth_code", 400),
        ({"type": "auth_code", "auth_code": 28}, "method.auth_code", 400),
        ({"type": "auth_code", "auth_code": ""}, "method.auth_code", 400),
        ({"type": "auth_code", "auth_code": "2" * 129}, "method.auth_code", 400),
        ({"type": "auth_code", "auth_code": APPROVED, "x": 1}, "method.x", 400),
        ("auth_code", "method", 400),
        ([], "method", 400),
    ],
)
async def test_a_bad_method_is_named(
    standing: Running, method: object, field: str, status: int
) -> None:
    """Down to the field inside."""
    check_error(await standing.api.pay(APPROVED, method=method), status, field=field)


@pytest.mark.parametrize(
    "code",
    ["990000000000000001", "28000000000000x001", "28", "28" + "0" * 40, "支付宝", "28 0000", "\0"],
)
async def test_an_unknown_prefix_is_a_clear_no(standing: Running, code: str) -> None:
    """422 auth_code_unknown; the code is not quoted back."""
    reply = await standing.api.pay(code)
    check_error(reply, 422, "auth_code_unknown", "method.auth_code")
    assert code == "28" or code.encode() not in reply.raw


@pytest.mark.parametrize("code", ["130000000000000001", "6200000000000000001"])
async def test_a_channel_that_is_not_open_is_a_clear_no(standing: Running, code: str) -> None:
    """A known wallet without an account."""
    check_error(await standing.api.pay(code), 422, "channel_not_open")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("0", 422), ("-1", 422), ("1000000000000", 422), ("99999999999999999999", 422),
        ("1.5", 400), ("1.0", 400), ('"1"', 400), ("true", 400), ("false", 400), ("1e3", 400),
        ("1E2", 400), ("-0.0", 400), ("[]", 400), ("{}", 400), ('"１２"', 400), ('"19.90"', 400),
        ("null", 400), ('""', 400),
    ],
)  # fmt: skip
async def test_an_amount_is_a_whole_number_of_fen(
    standing: Running, text: str, status: int
) -> None:
    """As it stands in the JSON text; nothing is rounded, read from text or taken for true."""
    body = orjson.dumps(scanned(APPROVED, amount="AMOUNT")).replace(b'"AMOUNT"', text.encode())
    check_error(await standing.api.call("POST", "/v1/payments", body), status, field="amount")


@pytest.mark.parametrize(
    "text",
    ["01", "+1", "0x10", "１２", "1_000", "NaN", "Infinity", "1.", ".5", "1,000", "'1'", "1e400"],
)
async def test_an_amount_that_json_does_not_know(standing: Running, text: str) -> None:
    """Not JSON: 400 invalid_json."""
    body = orjson.dumps(scanned(APPROVED, amount="AMOUNT")).replace(b'"AMOUNT"', text.encode())
    check_error(await standing.api.call("POST", "/v1/payments", body), 400, "invalid_json")


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("merchant_order_no", "", 400),
        ("merchant_order_no", "a" * 65, 400),
        ("merchant_order_no", "a b", 400),
        ("merchant_order_no", "a\n", 400),
        ("merchant_order_no", "订单", 400),
        ("merchant_order_no", "１２３", 400),
        ("merchant_order_no", "a/../b", 400),
        ("merchant_order_no", 7, 400),
        ("merchant_order_no", ["a"], 400),
        ("currency", "USD", 422),
        ("currency", "cny", 422),
        ("currency", "CNYY", 400),
        ("currency", 156, 400),
        ("subject", "", 400),
        ("subject", "a" * 129, 400),
        ("subject", "a\u0000b", 400),
        ("subject", "a\nb", 400),
        ("subject", "\u001b[31m", 400),
        ("subject", "a\u007f", 400),
        ("subject", {"zh": "奶茶"}, 400),
        ("notify_url", "ftp://example.com", 400),
        ("notify_url", "javascript:alert(1)", 400),
        ("notify_url", "https://", 400),
        ("notify_url", "https://a b", 400),
        ("notify_url", "https://a\r\nX: y", 400),
        ("notify_url", "https://a/" + "b" * 512, 400),
        ("notify_url", 1, 400),
        ("expires_in_s", 0, 422),
        ("expires_in_s", -1, 422),
        ("expires_in_s", 7201, 422),
        ("expires_in_s", "60", 400),
        ("expires_in_s", 1.5, 400),
        ("expires_in_s", True, 400),
        ("wait_s", -1, 422),
        ("wait_s", 31, 422),
        ("wait_s", "5", 400),
        ("wait_s", True, 400),
        ("wait_s", 10**30, 422),
        ("store_id", "", 400),
        ("store_id", "a" * 33, 400),
        ("store_id", 1, 400),
        ("store_id", "a\tb", 400),
        ("terminal_id", "a" * 33, 400),
        ("terminal_id", False, 400),
        ("metadata", [], 400),
        ("metadata", "x", 400),
        ("metadata", {"a": 1}, 400),
        ("metadata", {"": "a"}, 400),
        ("metadata", {"a" * 41: "a"}, 400),
        ("metadata", {"a": "b" * 501}, 400),
        ("metadata", {"a": {"b": "c"}}, 400),
        ("metadata", {"a": "b\u0000"}, 400),
        ("metadata", {"a\u001b[2J": "b"}, 400),
        ("metadata", {str(number): "x" for number in range(21)}, 400),
    ],
)
async def test_a_bad_value_is_named(
    standing: Running, field: str, value: object, status: int
) -> None:
    """Wrong types and forms are 400, well-formed and impossible ones 422."""
    body = scanned(APPROVED) | {field: value}
    raw = orjson.dumps(body) if value != 10**30 else _huge(body, field)
    check_error(await standing.api.call("POST", "/v1/payments", raw), status, field=field)


def _huge(body: dict[str, object], field: str) -> bytes:
    return orjson.dumps(body | {field: "HUGE"}).replace(b'"HUGE"', b"1" + b"0" * 30)


@pytest.mark.parametrize("name", ["ammount", "Amount", "amount_fen", "__proto__", "", "id", "\0"])
async def test_an_unknown_field_is_refused(standing: Running, name: str) -> None:
    """A misspelt option is not silently ignored."""
    body = scanned(APPROVED) | {name: 1}
    reply = await standing.api.call("POST", "/v1/payments", body)
    check_error(reply, 400, "unknown_field", name)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"", b"null", b"[]", b"1", b'"a"', b"{}{}", b"{'a':1}", b"\xff\xfe", b"{\"a\":}",
        b"\xef\xbb\xbf{}", b"[" * 5000, b'{"subject":"\\ud800"}', b"amount=1", b"<xml/>",
    ],
)  # fmt: skip
async def test_what_is_not_a_json_object(standing: Running, body: bytes) -> None:
    """400 invalid_json, never a 500."""
    check_error(await standing.api.call("POST", "/v1/payments", body), 400, "invalid_json")


async def test_an_oversized_body_is_refused(standing: Running) -> None:
    """413, declared or not, and the next request is answered."""
    large = orjson.dumps(scanned(APPROVED, subject="a" * 70_000))
    check_error(await standing.api.call("POST", "/v1/payments", large), 413, "body_too_large")
    assert (await standing.api.find("nothing")).status == 404


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "", "json"]
)
async def test_another_content_type_is_refused(standing: Running, kind: str) -> None:
    """415 content_type."""
    body = orjson.dumps(scanned(APPROVED))
    headers = {
        "Authorization": standing.api.authorization("POST", "/v1/payments", body),
        "Content-Type": kind,
    }
    reply = await standing.api.send("POST", "/v1/payments", body, headers)
    check_error(reply, 415, "content_type")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "x"])
async def test_a_compressed_body_is_refused(standing: Running, encoding: str) -> None:
    """415 content_encoding: no bomb is ever unpacked."""
    body = gzip.compress(orjson.dumps(scanned(APPROVED)))
    reply = await standing.api.call("POST", "/v1/payments", body, Content_Encoding=encoding)
    check_error(reply, 415, "content_encoding")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/", "/v1/payment", "/v1/payments/", "/v2/payments", "/v1/refunds",
        "/v1/refunds/", "/v1/refunds/x/y", "/v1/payments//cancel", "/v1/payments/x/cancel/y",
        "/v1/payments/../payments/x/y", "/%00", "/v1/payments/a%2fb/c", "/v1/payments/x/",
        "/v1/payments/x/refunds/y", "/v1/payments/x/refunds/", "/favicon.ico", "/admin",
        "/v1/payments/" + "x/" * 500,
    ],
)  # fmt: skip
async def test_an_unknown_route(standing: Running, path: str) -> None:
    """404 in our own form."""
    check_error(await standing.api.call("POST", path), 404, "route_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/payments"),
        ("PUT", "/v1/payments/pay_x"),
        ("PATCH", "/v1/payments/pay_x"),
        ("POST", "/v1/payments/pay_x"),
        ("GET", "/v1/payments/pay_x/cancel"),
        ("DELETE", "/v1/payments/pay_x/refunds"),
        ("POST", "/v1/refunds/ref_x"),
        ("POST", "/healthz"),
        ("OPTIONS", "/v1/payments"),
        ("TRACE", "/v1/payments"),
    ],
)
async def test_a_method_that_is_not_there(standing: Running, method: str, path: str) -> None:
    """405 in our own form, with Allow."""
    reply = await standing.api.call(method, path)
    check_error(reply, 405, "method_not_allowed")
    assert reply.headers["Allow"]


@pytest.mark.parametrize(
    "number", ["", "a%20b", "%00", "%ff", "a" * 65, "%E8%AE%A2", "a%0a", "..", "%2527"]
)
async def test_a_bad_number_in_a_search(standing: Running, number: str) -> None:
    """400 with the field's name."""
    check_error(await standing.api.find(number), 400, field="merchant_order_no")


async def test_a_search_for_nothing(standing: Running) -> None:
    """The parameter is needed."""
    reply = await standing.api.call("GET", "/v1/payments")
    check_error(reply, 400, "missing_field", "merchant_order_no")


@pytest.mark.parametrize(
    "identity",
    [
        "%00",
        "%ff",
        "..%2f..",
        "%27%20OR%201=1%20--",
        "a" * 4000,
        "%F0%9F%92%A9",
        "*",
        "pay_%0a",
        "%7B%7D",
    ],
)
async def test_a_bad_id_is_not_found(standing: Running, identity: str) -> None:
    """404, however strange, for a look and for an undo."""
    path = f"/v1/payments/{identity}"
    check_error(await standing.api.call("GET", path), 404)
    check_error(await standing.api.call("POST", f"{path}/cancel"), 404)


async def test_an_undo_takes_no_body(standing: Running) -> None:
    """A body that asks for more than the call does is refused, an empty object is not."""
    path = "/v1/payments/pay_x/cancel"
    check_error(await standing.api.call("POST", path, {"amount": 1}), 400, "unknown_field")
    check_error(await standing.api.call("POST", path, {}), 404, "payment_not_found")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01 not http\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
    ],
)
async def test_what_is_not_http(standing: Running, raw: bytes) -> None:
    """A 4xx or a closed connection, never a 500; others are served on."""
    trust = ssl.create_default_context(cafile=str(standing.place.installation.ca_file))
    reader, writer = await asyncio.open_connection("127.0.0.1", standing.bound.api_port, ssl=trust)
    writer.write(raw)
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    assert line == b"" or line.split()[1].startswith(b"4"), line
    assert (await standing.api.find("nothing")).status == 404


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=140),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner),
    max_leaves=5,
)
FIELDS = (*NEEDED, "notify_url", "expires_in_s", "wait_s", "store_id", "terminal_id", "metadata")
DOCUMENTED = {400, 413, 415, 422}


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.dictionaries(st.sampled_from(FIELDS), json_values, min_size=1, max_size=3))
async def test_any_json_value_in_any_field(standing: Running, changes: dict[str, Any]) -> None:
    """A documented refusal in the one form; the code is of no wallet, so nothing is ever paid."""
    body = scanned("990000000000000001") | changes
    reply = await standing.api.call("POST", "/v1/payments", body)
    assert reply.status in DOCUMENTED, (reply.status, body)
    check_error(reply, reply.status)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=st.binary(max_size=200))
async def test_any_bytes_as_a_body(standing: Running, body: bytes) -> None:
    """Noise is refused in the one form."""
    reply = await standing.api.call("POST", "/v1/payments", body)
    assert reply.status in DOCUMENTED
    check_error(reply, reply.status)

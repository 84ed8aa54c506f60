"""What the operator and the curious ask, unsigned: health, readiness, metrics, documents."""

import re

import aiohttp
import orjson
import pytest
from aiohttp import web

from domain.errors import InvalidRequest
from domain.payment import Status
from domain.refund import RefundStatus
from gateway.bootstrap import Gateway
from gateway.cli.free_ports import free_port
from gateway.cli.terminal_client import TerminalClient
from gateway.http.bodies import parse_create_payment
from gateway.http.openapi import openapi_document
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.gateway import Place, Running, scanned

module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_healthz_says_alive(standing: Running) -> None:
    reply = await standing.api.send("GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"status": "alive"})


@module_loop
async def test_readyz_names_store_and_every_channel(standing: Running) -> None:
    reply = await standing.api.send("GET", "/readyz")
    assert reply.status == 200
    assert reply.json["ready"] is reply.json["store"] is reply.json["accepting"] is True
    assert reply.json["nonces"] is True
    assert reply.json["channels"].keys() == {"alipay-1", "card-1"}


@module_loop
async def test_metrics_count_what_happened(standing: Running) -> None:
    """Prometheus text; closed label lists; nothing of a caller in a label."""
    await standing.api.pay(ALIPAY_CODES[Scenario.APPROVED], "metered")
    reply = await standing.api.send("GET", "/metrics")
    text = reply.raw.decode()
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    line = 'posgate_payments_total{channel="alipay",door="api",status="succeeded"}'
    assert re.search(re.escape(line) + r" [1-9]", text), text
    assert 'operation="pay",verdict="succeeded"' in text
    assert 'posgate_requests_total{code="201",door="api"}' in text
    for bound in ("store_queued", "nonces", "payments_in_flight", "pos_connections",
                  "refunds_in_flight", "api_in_flight", "directory_entries", "recovering"):  # fmt: skip
        assert f"posgate_{bound} " in text
    for private in ("metered", standing.place.key.key_id, "M0001"):
        assert private not in text


@module_loop
async def test_the_document_lists_exactly_the_calls(standing: Running) -> None:
    """Every signed call with its method, and no other."""
    document = (await standing.api.send("GET", "/v1/openapi.json")).json
    said = {(verb.upper(), path) for path, calls in document["paths"].items() for verb in calls}
    routes = standing.gateway.api_door.routes
    assert said == {(method, path) for path, methods in routes.items() for method in methods}


@module_loop
async def test_every_call_is_reached_and_nothing_else_is_served(standing: Running) -> None:
    """An unsigned call is asked who it is; the rest is the operator's five questions."""
    for path, methods in standing.gateway.api_door.routes.items():
        for method in methods:
            reply = await standing.api.send(method, path.replace("{id}", "some_id"))
            assert (reply.status, reply.code) == (401, "authorization_missing"), (method, path)
    unsigned = {
        route.resource.canonical
        for route in application(standing.gateway).router.routes()
        if route.resource is not None and route.method == "GET"
    }
    assert unsigned == {"/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/docs"}


def application(gateway: Gateway) -> web.Application:
    """The application of a started gateway."""
    assert gateway._api is not None
    return gateway._api.application()


@module_loop
async def test_the_document_resolves_and_knows_every_state(standing: Running) -> None:
    """No dangling reference; the states are the domain's."""
    document = (await standing.api.send("GET", "/v1/openapi.json")).json
    schemas = document["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert references == schemas.keys() - set()
    assert schemas["Payment"]["properties"]["status"]["enum"] == [one.value for one in Status]
    assert schemas["Refund"]["properties"]["status"]["enum"] == [one.value for one in RefundStatus]
    operations = [call["operationId"] for calls in document["paths"].values()
                  for call in calls.values()]  # fmt: skip
    assert len(operations) == len(set(operations)) == 9


def test_the_documents_bounds_of_a_payment_are_the_doors() -> None:
    """What just fits is taken, what is one more is refused."""
    fields = openapi_document()["components"]["schemas"]["CreatePayment"]["properties"]
    names, texts = fields["metadata"]["propertyNames"], fields["metadata"]["additionalProperties"]
    code = fields["method"]["oneOf"][0]["properties"]["auth_code"]

    def taken(*, extra: int = 0, many: int = 0, name: int = 0, text: int = 0) -> bool:
        metadata = {f"{n:02d}" + "n" * (names["maxLength"] - 2): "t" * texts["maxLength"]
                    for n in range(fields["metadata"]["maxProperties"] + many)}  # fmt: skip
        if name or text:
            key, value = metadata.popitem()
            metadata["n" * (len(key) + name)] = value + "t" * text
        body = scanned("2" * (code["maxLength"] + extra), metadata=metadata)
        try:
            parse_create_payment(orjson.dumps(body))
        except InvalidRequest:
            return False
        return True

    assert taken()
    assert not any((taken(extra=1), taken(many=1), taken(name=1), taken(text=1)))


@module_loop
async def test_an_answered_payment_is_as_documented(standing: Running) -> None:
    """Neither a member that the document lacks nor one that it needs and misses."""
    document = (await standing.api.send("GET", "/v1/openapi.json")).json
    schema = document["components"]["schemas"]["Payment"]
    for scenario in (Scenario.APPROVED, Scenario.DECLINED):
        payment = (await standing.api.pay(ALIPAY_CODES[scenario])).json
        assert payment.keys() == schema["properties"].keys() - {"expires_at"}  # of a code only
        assert set(schema["required"]) <= payment.keys()
        if payment["error"] is not None:
            assert payment["error"].keys() == schema["properties"]["error"]["properties"].keys()


@module_loop
async def test_an_answered_refund_is_as_documented(standing: Running) -> None:
    """As for payments, alone and in a list."""
    document = (await standing.api.send("GET", "/v1/openapi.json")).json
    schema = document["components"]["schemas"]["Refund"]
    payment = (await standing.api.pay(ALIPAY_CODES[Scenario.APPROVED])).json
    refund = (await standing.api.refund(payment["id"], 1)).json
    listed = (await standing.api.refunds(payment["id"])).json
    assert listed == {"refunds": [refund]}
    assert refund.keys() == schema["properties"].keys()
    assert set(schema["required"]) <= refund.keys()


@module_loop
async def test_the_page_needs_nothing_from_outside(standing: Running) -> None:
    """One page, no script, no address but its own."""
    reply = await standing.api.send("GET", "/docs")
    page = reply.raw.decode()
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#|/v1/openapi\.json")', page)
    for path in standing.gateway.api_door.routes:
        assert path in page


@module_loop
async def test_the_door_speaks_tls_only(standing: Running) -> None:
    """Plain HTTP gets nothing; a client that does not know the CA hangs up."""
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http://127.0.0.1:{standing.bound.api_port}/healthz")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(f"{standing.api.base_url}/healthz")


async def test_a_store_that_is_gone_is_not_ready_and_says_so(place: Place) -> None:
    """Liveness stays, readiness goes, a payment is refused with 503 and nothing is charged."""
    async with place.gateway() as running:
        await running.gateway.store.close()
        assert (await running.api.send("GET", "/healthz")).status == 200
        ready = await running.api.send("GET", "/readyz")
        assert (ready.status, ready.json["store"]) == (503, False)
        reply = await running.api.pay(ALIPAY_CODES[Scenario.APPROVED])
        assert (reply.status, reply.code) == (503, "unavailable")
    assert await place.charges() == []


async def test_nonces_that_nobody_remembers_are_not_ready_and_say_so(place: Place) -> None:
    """Warned of at the start; a request's line has the reason, the answer no address."""
    place.configure(http={"nonces": f"redis://:s3cret@127.0.0.1:{free_port()}/0"})
    async with place.gateway() as running:
        assert [line["event"] for line in running.lines()].count("nonce store away") == 1
        ready = await running.api.send("GET", "/readyz")
        assert (ready.status, ready.json["nonces"], ready.json["store"]) == (503, False, True)
        reply = await running.api.pay(ALIPAY_CODES[Scenario.APPROVED])
        assert (reply.status, reply.code) == (503, "unavailable")
        assert b"127.0.0.1" not in reply.raw
    (line,) = [line for line in running.lines() if line["event"] == "api request"]
    assert line["reason"] == "the nonce store cannot be reached"
    assert "s3cret" not in running.log_file.read_text()


async def test_a_card_link_shows_in_readiness(place: Place) -> None:
    """Signed in after the first sale; the detail names no key."""
    async with place.gateway() as running:
        client = TerminalClient(running.terminal())
        await client.exchange(client.terminal.sign_in())
        await client.close()
        health = (await running.api.send("GET", "/readyz")).json["channels"]["card-1"]
        assert health.keys() == {"ready", "detail"}

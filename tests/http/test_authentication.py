"""Only a fresh request with the merchant's own signature is heard; every refusal has one code."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest
import pytest_asyncio

from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.gateway import Place, Reply, Running, scanned
from tests.support.waiting import eventually

module_loop = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/payments"
BODY = orjson.dumps(scanned(ALIPAY_CODES[Scenario.APPROVED], "signed"))
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(loop_scope="module")
async def untouched(standing: Running) -> AsyncIterator[Running]:
    """The standing gateway, with not a single charge before or after."""
    assert await standing.place.charges() == []
    yield standing
    assert await standing.place.charges() == []


def refused(reply: Reply, code: str) -> None:
    """401 with this code, unsigned, and nothing of a payment in it."""
    assert (reply.status, reply.code) == (401, code), reply.raw
    assert reply.json["error"]["request_id"]
    assert "Posgate-Signature" not in reply.headers


@module_loop
async def test_no_authorization(untouched: Running) -> None:
    refused(await untouched.api.send("POST", PATH, BODY, JSON), "authorization_missing")


GOOD = 'key_id="k",timestamp="1",nonce="abcdefgh",signature="' + "0" * 64 + '"'


@module_loop
@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "Basic " + "QTpC",
        "POSGATE-HMAC-SHA256",
        "POSGATE-HMAC-SHA256 ",
        f"posgate-hmac-sha256 {GOOD}",
        f"POSGATE-HMAC-SHA512 {GOOD}",
        f"POSGATE-HMAC-SHA256  {GOOD},",
        f"POSGATE-HMAC-SHA256 {GOOD}, x=\"y\"",
        f"POSGATE-HMAC-SHA256 {GOOD},key_id=\"k\"",
        "POSGATE-HMAC-SHA256 " + GOOD.replace('key_id="k",', ""),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('nonce="abcdefgh",', ""),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('timestamp="1",', ""),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"1"', '""'),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"1"', '"-1"'),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"1"', '"1.5"'),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"1"', '"1e3"'),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"1"', '"９"'),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"1"', '"' + "9" * 13 + '"'),
        "POSGATE-HMAC-SHA256 " + GOOD.replace("abcdefgh", "short"),
        "POSGATE-HMAC-SHA256 " + GOOD.replace("abcdefgh", "a" * 65),
        "POSGATE-HMAC-SHA256 " + GOOD.replace("abcdefgh", "abc defgh"),
        "POSGATE-HMAC-SHA256 " + GOOD.replace("0" * 64, "0" * 63),
        "POSGATE-HMAC-SHA256 " + GOOD.replace("0" * 64, "g" * 64),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"', ""),
        "POSGATE-HMAC-SHA256 " + GOOD.replace('"', "'"),
        "POSGATE-HMAC-SHA256 " + "x" * 2000,
    ],
)  # fmt: skip
async def test_a_malformed_header(untouched: Running, header: str) -> None:
    reply = await untouched.api.send("POST", PATH, BODY, {**JSON, "Authorization": header})
    refused(reply, "authorization_malformed")
    assert header.encode() not in reply.raw


@module_loop
async def test_a_wrong_secret_and_an_unknown_key_look_the_same(untouched: Running) -> None:
    api, other = untouched.api, untouched.other
    texts = set()
    for header in (
        api.authorization("POST", PATH, BODY, secret=other.key.secret),
        api.authorization("POST", PATH, BODY, key_id=other.key.key_id),
        api.authorization("POST", PATH, BODY, key_id="key_nobody"),
        api.authorization("POST", PATH, BODY, key_id="key_nobody", secret="no such key"),
    ):
        reply = await api.send("POST", PATH, BODY, {**JSON, "Authorization": header})
        refused(reply, "signature_invalid")
        texts.add(reply.json["error"]["message"])
    assert len(texts) == 1


@module_loop
@pytest.mark.parametrize("bit", [0, 3, 100, 255])
async def test_one_flipped_bit_of_the_signature(untouched: Running, bit: int) -> None:
    good = untouched.api.authorization("POST", PATH, BODY)
    head, signature = good[:-65], good[-65:-1]
    flipped = f"{int(signature, 16) ^ 1 << bit:064x}"
    header = {**JSON, "Authorization": f'{head}{flipped}"'}
    refused(await untouched.api.send("POST", PATH, BODY, header), "signature_invalid")


@module_loop
async def test_another_request_than_the_signed_one(untouched: Running) -> None:
    """Method, path, query and every byte of the body belong to the signature."""
    api = untouched.api
    for method, path, body in (
        ("GET", PATH, BODY),
        ("POST", PATH + "/", BODY),
        ("POST", PATH + "?a=b", BODY),
        ("POST", "/V1/payments", BODY),
        ("POST", f"{api.base_url}{PATH}", BODY),
        ("POST", PATH, BODY + b" "),
        ("POST", PATH, BODY.replace(b"1990", b"1991")),
        ("POST", PATH, b""),
    ):
        header = {**JSON, "Authorization": api.authorization(method, path, body)}
        refused(await api.send("POST", PATH, BODY, header), "signature_invalid")
    swapped = api.authorization("GET", f"{PATH}?merchant_order_no=a")
    reply = await api.send("GET", f"{PATH}?merchant_order_no=b", headers={"Authorization": swapped})
    refused(reply, "signature_invalid")


@module_loop
@pytest.mark.parametrize("offset_s", [-100_000, -305, 305, 100_000])
async def test_a_time_outside_the_window(untouched: Running, offset_s: int) -> None:
    api = untouched.api
    header = api.authorization("POST", PATH, BODY, at_s=int(time.time()) + offset_s)
    reply = await api.send("POST", PATH, BODY, {**JSON, "Authorization": header})
    refused(reply, "timestamp_outside_window")


@module_loop
async def test_a_refused_request_spends_no_nonce(untouched: Running) -> None:
    """What is not signed costs no memory: the nonce is still good for the right request."""
    api, nonce = untouched.api, "nonce-kept-fresh"
    wrong = api.authorization("GET", f"{PATH}?merchant_order_no=a", nonce=nonce, secret="wrong")
    right = api.authorization("GET", f"{PATH}?merchant_order_no=a", nonce=nonce)
    path = f"{PATH}?merchant_order_no=a"
    refused(await api.send("GET", path, headers={"Authorization": wrong}), "signature_invalid")
    assert (await api.send("GET", path, headers={"Authorization": right})).status == 404


@module_loop
async def test_two_authorization_headers(untouched: Running) -> None:
    """Whichever is meant, both must not be tried: an unsigned first one is refused."""
    api = untouched.api
    header = api.authorization("POST", PATH, BODY)
    both = f"Bearer x, {header}"
    reply = await api.send("POST", PATH, BODY, {**JSON, "Authorization": both})
    refused(reply, "authorization_malformed")


@module_loop
async def test_a_nonce_is_good_once(standing: Running) -> None:
    """The same request again, byte for byte, and another one with its nonce."""
    api, path = standing.api, f"{PATH}?merchant_order_no=once"
    header = api.authorization("GET", path, nonce="nonce-used-once")
    assert (await api.send("GET", path, headers={"Authorization": header})).status == 404
    refused(await api.send("GET", path, headers={"Authorization": header}), "nonce_used")
    other_path = f"{PATH}?merchant_order_no=twice"
    again = api.authorization("GET", other_path, nonce="nonce-used-once")
    refused(await api.send("GET", other_path, headers={"Authorization": again}), "nonce_used")
    theirs = standing.other.authorization("GET", path, nonce="nonce-used-once")
    assert (await api.send("GET", path, headers={"Authorization": theirs})).status == 404


@module_loop
async def test_a_replayed_attack_of_a_hundred_gets_through_once(standing: Running) -> None:
    """At the same moment, one is heard."""
    api, path = standing.api, f"{PATH}?merchant_order_no=crowd"
    header = api.authorization("GET", path)
    replies = await asyncio.gather(
        *(api.send("GET", path, headers={"Authorization": header}) for _ in range(100))
    )
    assert sorted(reply.status for reply in replies) == [401] * 99 + [404]


@module_loop
async def test_upper_case_hex_is_the_same_signature(standing: Running) -> None:
    api, path = standing.api, f"{PATH}?merchant_order_no=hex"
    good = api.authorization("GET", path)
    upper = good[:-65] + good[-65:].upper()
    assert (await api.send("GET", path, headers={"Authorization": upper})).status == 404


@module_loop
async def test_answers_are_signed_by_the_callers_own_secret(standing: Running) -> None:
    """Errors after authentication too; another merchant's secret does not verify it."""
    reply = await standing.api.find("nothing")
    assert reply.status == 404
    assert standing.api.signed(reply)
    assert not standing.other.signed(reply)
    assert abs(int(reply.headers["Posgate-Timestamp"]) - time.time()) < 100
    again = await standing.api.find("nothing")
    assert again.headers["Posgate-Nonce"] != reply.headers["Posgate-Nonce"]
    tampered = Reply(200, reply.headers, reply.raw.replace(b"404", b"200") + b" ")
    assert not standing.api.signed(tampered)


class _MovedClock:
    """The machine's clock, moved by a test."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_s * 1000

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


async def test_a_nonce_outlives_its_window(place: Place) -> None:
    """As long as its time is accepted the nonce is refused; after that the time is."""
    clock = _MovedClock()
    async with replace(place, seams=replace(place.seams, clock=clock)).gateway() as running:
        api, path = running.api, f"{PATH}?merchant_order_no=late"
        header = api.authorization("GET", path, at_s=int(time.time()) + 200)
        headers = {"Authorization": header}
        assert (await api.send("GET", path, headers=headers)).status == 404
        for clock.ahead_s in (100, 300, 480):
            refused(await api.send("GET", path, headers=headers), "nonce_used")
        clock.ahead_s = 600
        refused(await api.send("GET", path, headers=headers), "timestamp_outside_window")


@pytest.mark.parametrize("whom", ["key", "merchant"])
async def test_a_disabled_caller_stops_within_the_fresh_time(place: Place, whom: str) -> None:
    """No restart is needed; the refusal does not say why."""
    place.configure(directory={"fresh_s": 0.05})
    async with place.gateway() as running:
        assert (await running.api.find("a")).status == 404
        async with place.session() as it:
            if whom == "key":
                await it.store.disable_api_key(place.key.key_id)
            else:
                await it.store.disable_merchant("M0001")

        async def is_refused() -> bool:
            return (await running.api.find("a")).status == 401

        await eventually(is_refused)
        refused(await running.api.find("a"), "signature_invalid")
        assert (await running.other.find("a")).status == 404


async def test_a_full_nonce_store_refuses_and_forgets_nothing(place: Place) -> None:
    """503 beyond the bound; a replay is still a replay."""
    place.configure(http={"max_nonces": 2})
    async with place.gateway() as running:
        api, path = running.api, f"{PATH}?merchant_order_no=full"
        header = api.authorization("GET", path)
        assert (await api.send("GET", path, headers={"Authorization": header})).status == 404
        assert (await api.find("second")).status == 404
        full = await api.find("third")
        assert (full.status, full.code) == (503, "unavailable")
        refused(await api.send("GET", path, headers={"Authorization": header}), "nonce_used")

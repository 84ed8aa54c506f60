"""Platform certificates: fetched, opened, verified, kept fresh, and both modes side by side."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.port import HttpRequest, HttpResponse, NotSent, Verdict
from channels.wechat.account import PlatformKeys
from channels.wechat.certificates import read_certificates
from channels.wechat.plugin import PLUGIN
from channels.wechat.v3 import Distrusted
from tests.channels.rigs import FixedClock, ref_of, services
from tests.channels.wechat_rigs import (
    APIV3_KEY,
    NOW_MS,
    PUBLIC_KEY_ID,
    WechatRig,
    certificate,
    platform_keys,
    secrets,
    v3_answer,
    v3_paid,
    v3_stamp,
    wechat_account,
)

SERIAL, NEW_SERIAL = "51856640BA57CBD6", "1F000000000000AA"
ACCOUNT = wechat_account()


def entry(
    name: str = "platform", serial: str = SERIAL, key: bytes = APIV3_KEY, **more: object
) -> dict[str, object]:
    pem = certificate(name, int(serial, 16))
    sealed = AESGCM(key).encrypt(b"abcdef012345", pem, b"certificate")
    return {
        "serial_no": serial,
        "effective_time": "2026-01-01T00:00:00+08:00",
        "expire_time": "2031-01-01T00:00:00+08:00",
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": "abcdef012345",
            "associated_data": "certificate",
            "ciphertext": base64.b64encode(sealed).decode(),
        },
        **more,
    }


def listed(
    *entries: Mapping[str, object], signer: str = "platform", serial: str = SERIAL
) -> HttpResponse:
    body = orjson.dumps({"data": entries})
    return HttpResponse(200, v3_stamp(body, signer=signer, serial=serial), body)


def read(response: HttpResponse, keys: PlatformKeys | None = None) -> Mapping[str, Any]:
    return read_certificates(response, ACCOUNT, keys or PlatformKeys({}), NOW_MS)


def test_the_first_list_is_verified_by_its_own_certificate() -> None:
    """Only who holds the APIv3 key can have encrypted it."""
    assert list(read(listed(entry()))) == [SERIAL]


def test_a_new_certificate_is_verified_by_the_old_one_or_by_the_public_key() -> None:
    old = PlatformKeys(read(listed(entry())))
    both = listed(entry(), entry("next", NEW_SERIAL))
    assert set(read(both, old)) == {SERIAL, NEW_SERIAL}
    by_key = listed(entry(), signer="wechat", serial=PUBLIC_KEY_ID)
    assert list(read(by_key, platform_keys())) == [SERIAL]


def test_the_one_that_lives_longest_is_named_in_requests() -> None:
    """While one replaces another both are listed: the old one ends before the next fetch."""
    old = entry(expire_time="2026-11-23T00:00:00+08:00")
    for both in ((old, entry("next", NEW_SERIAL)), (entry("next", NEW_SERIAL), old)):
        keys = PlatformKeys({})
        keys.replace_fetched(read(listed(*both)))
        assert (keys.serial, set(keys.known)) == (NEW_SERIAL, {SERIAL, NEW_SERIAL})


BAD = {
    "signed by another": listed(entry(), signer="somebody"),
    "under a serial that is not listed": listed(entry(), serial="FFFF"),
    "not signed": HttpResponse(200, {}, listed(entry()).body),
    "encrypted with another key": listed(entry(key=b"x" * 32)),
    "one of two does not open": listed(entry(), entry("next", NEW_SERIAL, b"x" * 32)),
    "another serial beside it": listed(entry() | {"serial_no": "ABCD"}),
    "no certificate": listed(entry() | {"encrypt_certificate": {}}),
    "not an entry": listed(entry(), "x"),  # type: ignore[arg-type]
    "empty": listed(),
    "expired": listed(entry(expire_time="2026-11-01T00:00:00+08:00")),
    "not yet": listed(entry(effective_time="2026-12-01T00:00:00+08:00")),
    "another answer": v3_answer({}),
    "refused": v3_answer({"code": "NO_AUTH"}, 403),
}


@pytest.mark.parametrize("response", BAD.values(), ids=BAD)
def test_a_list_that_is_not_believed_is_refused_as_a_whole(response: HttpResponse) -> None:
    with pytest.raises(Distrusted):
        read(response)


class Fetching(WechatRig):
    """A channel that holds no key of WeChat Pay's to begin with."""

    def __init__(self, *entries: Mapping[str, object], **settings: str) -> None:
        super().__init__(codepay="true")
        self.entries = list(entries)
        self.fetches = 0
        self.clock = self.ticking = LoopClock()
        named = dict(self.given.settings) | {
            "codepay": "true",
            "platform_public_key_id": "",
            "certificates_refresh_s": "36000",
            **settings,
        }
        account = replace(self.given, settings=named, secrets=secrets(platform_public_key=b""))
        self.channel = PLUGIN.build(account, services(send=self.send, clock=self.clock))

    async def send(self, request: HttpRequest) -> HttpResponse:
        if request.url.endswith("/v3/certificates"):
            self.fetches += 1
            if not self.entries:
                raise NotSent("refused")
            return listed(*self.entries)
        return await super().send(request)


class LoopClock(FixedClock):
    """Elapsed seconds that a test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 1000.0

    def monotonic_s(self) -> float:
        return self.elapsed_s


async def asked(rig: Fetching, **how: Any) -> Verdict:
    request = rig.request()
    rig.answers(v3_answer(v3_paid(request.order_no), **how))
    return (await rig.channel.query(ref_of(request))).verdict


async def test_without_any_key_they_are_fetched_before_the_first_call() -> None:
    rig = Fetching(entry())
    assert not rig.channel.health().ready
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED
    assert rig.channel.health().ready
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED
    assert rig.fetches == 1
    assert rig.keys.serial == SERIAL


async def test_an_answer_under_a_new_serial_fetches_once_and_is_read() -> None:
    rig = Fetching(entry())
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED
    rig.entries.append(entry("next", NEW_SERIAL))
    rig.ticking.elapsed_s += 61
    assert await asked(rig, signer="next", serial=NEW_SERIAL) is Verdict.SUCCEEDED
    assert rig.fetches == 2
    for _ in range(5):  # a flood of strange serials fetches no faster
        assert await asked(rig, signer="next", serial="FFFF") is Verdict.UNKNOWN
    assert rig.fetches == 2


async def test_a_failed_fetch_keeps_what_is_known_and_is_tried_later() -> None:
    rig = Fetching()
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.UNKNOWN
    assert rig.fetches == 1
    rig.entries.append(entry())
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.UNKNOWN
    rig.ticking.elapsed_s += 61
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED


async def test_certificates_that_cannot_be_renewed_are_told_and_kept() -> None:
    rig = Fetching(entry())
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED
    assert rig.channel.health().detail == ""
    rig.entries.clear()
    rig.ticking.elapsed_s += 12 * 3600 + 1
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED
    assert (rig.channel.health().ready, "twelve hours" in rig.channel.health().detail) == (
        True,
        True,
    )


async def test_what_keeps_them_from_being_fetched_is_told_at_once() -> None:
    """A defect in reading them must not wait for the old ones to end."""
    rig = Fetching(entry())
    assert await asked(rig, signer="platform", serial=SERIAL) is Verdict.SUCCEEDED
    rig.entries[:] = [{"serial_no": NEW_SERIAL}]
    rig.ticking.elapsed_s += 61
    assert await asked(rig, signer="next", serial=NEW_SERIAL) is Verdict.UNKNOWN
    health = rig.channel.health()
    assert health.ready
    assert health.detail.startswith("no platform certificates could be fetched: ")
    rig.entries[:] = [entry("next", NEW_SERIAL)]
    rig.ticking.elapsed_s += 61
    assert await asked(rig, signer="next", serial=NEW_SERIAL) is Verdict.SUCCEEDED
    assert rig.channel.health().detail == ""


async def test_both_modes_verify_side_by_side() -> None:
    """While a merchant is moved from one to the other, answers come under either."""
    rig = WechatRig(codepay="true", certificates_refresh_s="36000")
    rig.keys.replace_fetched(read(listed(entry())))
    request = rig.request()
    ways: list[dict[str, Any]] = [{}, {"signer": "platform", "serial": SERIAL}]
    for how in ways:
        rig.answers(v3_answer(v3_paid(request.order_no), **how))
        assert (await rig.channel.query(ref_of(request))).verdict is Verdict.SUCCEEDED
    rig.answers(v3_answer(v3_paid(request.order_no), signer="platform"))
    assert (await rig.channel.query(ref_of(request))).verdict is Verdict.UNKNOWN
    assert rig.keys.serial == PUBLIC_KEY_ID


async def test_they_are_kept_fresh_from_the_start_until_the_end() -> None:
    rig = Fetching(entry(), certificates_refresh_s="0.05")
    await rig.channel.start()
    for _ in range(40):
        rig.ticking.elapsed_s += 61
        await asyncio.sleep(0.01)
    await rig.channel.close()
    fetched = rig.fetches
    assert fetched >= 2
    await asyncio.sleep(0.2)
    assert rig.fetches == fetched

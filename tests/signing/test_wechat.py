"""WeChat Pay's APIv3 signatures and ciphers: known answers, and the ways a message can lie."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from signing.rsa import load_public_key, verify_sha256
from signing.wechat import (
    RSA_SCHEME,
    RsaMerchantKey,
    RsaPlatformKey,
    Stamp,
    WechatCipherError,
    WechatKeyError,
    WechatSignatureError,
    authorization,
    certificate_key,
    merchant_key,
    message_of,
    normal_serial,
    open_resource,
    pay_sign,
    platform_key,
    verify_message,
)
from tests.conftest import samples_folder

FILE = Path(__file__).resolve().parent.parent / "vectors" / "wechat_signing.json"
VECTORS: dict[str, dict[str, Any]] = {
    entry["id"]: entry for entry in json.loads(FILE.read_text(encoding="utf-8"))
}
MERCHANT = RsaMerchantKey(generate_private_key(public_exponent=65537, key_size=2048))
PLATFORM_SECRET = generate_private_key(public_exponent=65537, key_size=2048)
PLATFORM = RsaPlatformKey(PLATFORM_SECRET.public_key())
NOW_MS = 1_795_331_737_042
KEYS = {"ABC123": PLATFORM, "PUB_KEY_ID_0001": PLATFORM}


def stamped(body: bytes, *, at_ms: int = NOW_MS, serial: str = "ABC123") -> Stamp:
    """What WeChat Pay would put over ``body``."""
    timestamp, nonce = str(at_ms // 1000), "NONCE"
    message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    signature = RsaMerchantKey(PLATFORM_SECRET).sign(message)
    return Stamp(serial, timestamp, nonce, base64.b64encode(signature).decode())


def refused(stamp: Stamp, body: bytes = b"{}", now_ms: int = NOW_MS) -> WechatSignatureError:
    with pytest.raises(WechatSignatureError) as caught:
        verify_message(stamp, body, KEYS, now_ms)
    return caught.value


SIGNED = [
    "wx.v3.rsa.sign.go",
    "wx.v3.rsa.verify.java",
    "wx.v3.sign.get",
    "wx.v3.sign.post.native",
    "wx.v3.sign.post.codepay.gen",
    "wx.v3.jsapi.paysign.gen",
]


@pytest.mark.parametrize("name", SIGNED)
def test_published_signatures_verify(name: str) -> None:
    vector = VECTORS[name]
    key = load_public_key(vector["input"]["public_key_pem"].encode())
    expected = vector["expected"].get("signature_b64") or vector["expected"]["paySign"]
    signature = base64.b64decode(expected)
    assert verify_sha256(key, vector["input"]["message"].encode(), signature)


@pytest.mark.parametrize(
    "name", ["wx.v3.sign.get", "wx.v3.sign.post.native", "wx.v3.sign.post.codepay.gen"]
)
def test_the_message_that_we_sign_is_the_vendor_kits(name: str) -> None:
    """Taken apart and put together again, byte for byte."""
    text: str = VECTORS[name]["input"]["message"]
    method, path, timestamp, nonce, body = text[:-1].split("\n", 4)
    assert message_of(method, path, timestamp, nonce, body.encode()) == text.encode()


def test_the_header_holds_what_the_vendor_kits_hold() -> None:
    """Whatever their order: go and node kits write it differently."""
    vector = VECTORS["wx.v3.sign.post.native"]
    text: str = vector["input"]["message"]
    _, _, timestamp, nonce, _ = text.split("\n", 4)
    made = authorization(MERCHANT, "1230000109", "477ED0", timestamp, nonce, text.encode())
    scheme, _, parameters = made.partition(" ")
    theirs_scheme, _, theirs = vector["expected"]["authorization"].partition(" ")
    assert scheme == theirs_scheme == RSA_SCHEME
    names = [part.split("=")[0] for part in parameters.split(",")]
    assert sorted(names) == sorted(part.split("=")[0] for part in theirs.split(","))
    signature = parameters.split('signature="')[1].split('"')[0]
    public = MERCHANT.key.public_key()
    assert verify_sha256(public, text.encode(), base64.b64decode(signature))


def test_pay_sign_is_over_the_four_lines() -> None:
    message: str = VECTORS["wx.v3.jsapi.paysign.gen"]["input"]["message"]
    appid, timestamp, nonce, package = message[:-1].split("\n")
    signature = pay_sign(MERCHANT, appid, timestamp, nonce, package)
    assert verify_sha256(MERCHANT.key.public_key(), message.encode(), base64.b64decode(signature))


def test_a_published_notification_verifies_and_opens() -> None:
    vector = VECTORS["wx.v3.notify.full.go"]
    given_ = vector["input"]
    serial, key = certificate_key(given_["platform_cert_pem"].encode(), RSA_SCHEME)
    headers = {name.lower(): value for name, value in given_["headers"].items()}
    body = given_["body"].encode()
    stamp = Stamp.of(headers)
    assert serial == normal_serial(stamp.serial)
    verify_message(stamp, body, {serial: key}, int(stamp.timestamp) * 1000)
    opened = open_resource(json.loads(body)["resource"], given_["apiv3_key"].encode())
    assert opened == vector["expected"]["plaintext"].encode()


def test_a_real_answer_verifies_under_its_certificate() -> None:
    vector = VECTORS["wx.v3.response.verify.real"]
    serial, key = certificate_key(vector["input"]["platform_cert_pem"].encode(), RSA_SCHEME)
    timestamp, nonce, body = vector["input"]["message"][:-1].split("\n", 2)
    stamp = Stamp(serial, timestamp, nonce, vector["expected"]["signature_b64"])
    verify_message(stamp, body.encode(), {serial: key}, int(timestamp) * 1000 + 299_000)
    with pytest.raises(WechatSignatureError, match="five minutes"):
        verify_message(stamp, body.encode(), {serial: key}, int(timestamp) * 1000 + 301_000)


@pytest.mark.parametrize("name", ["wx.v3.aesgcm.java", "wx.v3.aesgcm.gunsluo", "wx.v3.aesgcm.gen"])
def test_published_resources_open(name: str) -> None:
    vector = VECTORS[name]
    given_, expected = vector["input"], vector["expected"]
    resource = {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": given_["nonce"],
        "associated_data": given_["aad"],
        "ciphertext": given_.get("ciphertext_b64") or expected["ciphertext_b64"],
    }
    opened = open_resource(resource, given_["key"].encode())
    assert opened == (given_.get("plaintext") or expected["plaintext"]).encode()


def test_a_published_certificate_opens_with_its_serial() -> None:
    vector = VECTORS["wx.v3.certificates.java"]
    (entry,) = json.loads(vector["input"]["response_body"])["data"]
    pem = open_resource(entry["encrypt_certificate"], vector["input"]["apiv3_key"].encode())
    serial, _ = certificate_key(pem, RSA_SCHEME)
    assert serial == normal_serial(vector["expected"]["serial_no"]) == entry["serial_no"]


@pytest.mark.parametrize("serial", ["ABC123", "abc123", "00ABC123", "PUB_KEY_ID_0001"])
def test_the_key_is_chosen_by_the_serial_in_both_modes(serial: str) -> None:
    verify_message(stamped(b"{}", serial=serial), b"{}", KEYS, NOW_MS)


def test_an_unknown_serial_is_told_apart() -> None:
    """New certificates may be there to be fetched; nothing else asks for that."""
    assert refused(stamped(b"{}", serial="FFFF")).unknown_serial
    assert not refused(replace(stamped(b"{}"), signature="AAAA")).unknown_serial


@pytest.mark.parametrize(
    "change",
    [
        {"serial": ""},
        {"timestamp": ""},
        {"nonce": ""},
        {"signature": ""},
        {"nonce": "other"},
        {"signature": "not base64!"},
        {"signature": "é"},
        {"signature": "A" * 4096},
        {"nonce": "\ud800"},
        {"timestamp": "1795331737.0"},
        {"timestamp": "-1795331737"},
        {"timestamp": "１７９５３３１７３７"},
        {"timestamp": "9" * 40},
        {"scheme": "WECHATPAY2-SM2-WITH-SM3"},
    ],
)
def test_a_stamp_that_was_touched_is_refused(change: dict[str, str]) -> None:
    refused(replace(stamped(b"{}"), **change))


def test_a_changed_body_is_refused() -> None:
    """The same JSON written otherwise is another body: it is never written anew."""
    refused(stamped(b'{"a":1}'), b'{"a": 1}')


@pytest.mark.parametrize(
    ("off_s", "good"), [(299, True), (-299, True), (301, False), (-301, False)]
)
def test_five_minutes_either_way(off_s: int, good: bool) -> None:
    stamp = stamped(b"{}", at_ms=NOW_MS + off_s * 1000)
    if good:
        verify_message(stamp, b"{}", KEYS, NOW_MS)
    else:
        refused(stamp)


@pytest.mark.samples
def test_the_captured_probe_fails_without_a_crash() -> None:
    """Hole 4: its signature is not base64 of anything, though it looks like it."""
    file = samples_folder() / "wechat" / "notify" / "v3_signtest_probe.headers.json"
    headers = {name.lower(): value for name, value in json.loads(file.read_text()).items()}
    stamp = Stamp.of(headers)
    assert "probe" in str(refused(stamp, b"{}", int(stamp.timestamp) * 1000))


@given(st.text(max_size=400))
def test_any_signature_text_is_refused_not_crashed_on(text: str) -> None:
    refused(replace(stamped(b"{}"), signature=text))
    refused(replace(stamped(b"{}"), signature="WECHATPAY/SIGNTEST/" + text))


def test_sensitive_fields_go_there_and_back() -> None:
    """RSA-OAEP with SHA-1, as the protocol fixes it: what the merchant gets back opens."""
    ours = RsaPlatformKey(MERCHANT.key.public_key())
    assert MERCHANT.decrypt(ours.encrypt("张三".encode())) == "张三".encode()
    with pytest.raises(WechatCipherError):
        ours.encrypt(b"x" * 215)
    with pytest.raises(WechatCipherError):
        MERCHANT.decrypt(b"x" * 256)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "AEAD_AES_128_GCM"},
        {"algorithm": None},
        {"nonce": "short"},
        {"nonce": 5},
        {"ciphertext": "not base64!"},
        {"ciphertext": "QUJD"},
        {"ciphertext": ""},
        {"associated_data": "other"},
    ],
)
def test_a_resource_that_was_touched_does_not_open(change: dict[str, object]) -> None:
    key = b"0123456789abcdef0123456789abcdef"
    sealed = AESGCM(key).encrypt(b"abcdef012345", b"text", b"transaction")
    resource: dict[str, object] = {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": "abcdef012345",
        "associated_data": "transaction",
        "ciphertext": base64.b64encode(sealed).decode(),
    }
    assert open_resource(resource, key) == b"text"
    with pytest.raises(WechatCipherError):
        open_resource(resource | change, key)


def test_keys_that_cannot_be_used_are_named(private_key: RSAPrivateKey) -> None:
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert merchant_key(pem, RSA_SCHEME).scheme == RSA_SCHEME
    assert platform_key(public, RSA_SCHEME).scheme == RSA_SCHEME
    for make, bad in (
        (merchant_key, public),
        (platform_key, pem),
        (certificate_key, public),
        (certificate_key, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
    ):
        with pytest.raises(WechatKeyError) as caught:
            make(bad, RSA_SCHEME)
        assert "BEGIN" not in str(caught.value)


def test_no_key_shows_itself() -> None:
    shown = repr((MERCHANT, PLATFORM))
    assert str(MERCHANT.key.private_numbers().d) not in shown
    assert "RSAPrivateKey" not in shown

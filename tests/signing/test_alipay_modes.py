"""Certificate mode, encryption and version 3, against published and captured answers."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from hypothesis import given
from hypothesis import strategies as st

from signing.alipay import AlipaySignatureError
from signing.alipay_aes import AesError, decrypt, encrypt, load_key
from signing.alipay_certificates import (
    CertificateError,
    certificate_serial,
    keys_of,
    one_key,
    root_serial,
)
from signing.alipay_v3 import (
    V3Request,
    answer_string,
    auth_string,
    authorization,
    string_to_sign,
    verify_answer,
)
from signing.rsa import load_public_key, sign_sha256, verify_sha256
from tests.channels.rigs import rsa_key

VECTORS = {
    vector["id"]: vector
    for vector in json.loads(
        (Path(__file__).resolve().parent.parent / "vectors" / "alipay_modes.json").read_text(
            "utf-8"
        )
    )
}
V3 = [name for name in VECTORS if name.startswith("ali.v3.")]


def pem(vector_id: str) -> bytes:
    return str(VECTORS[vector_id]["input"]["pem"]).encode()


@pytest.mark.parametrize("name", ["ali.cert_sn.app", "ali.cert_sn.alipay"])
def test_the_serial_of_a_certificate(name: str) -> None:
    assert certificate_serial(pem(name)) == VECTORS[name]["expected"]["sn"]


def test_the_serial_of_the_roots_leaves_out_what_is_not_rsa() -> None:
    """The bundle holds certificates that cannot even be parsed; wherever they stand."""
    bundle, expected = pem("ali.cert_sn.root"), VECTORS["ali.cert_sn.root"]["expected"]["sn"]
    assert root_serial(bundle) == expected
    broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert root_serial(broken + bundle + broken) == expected


def test_keys_by_the_serial_of_their_certificates() -> None:
    bundle = pem("ali.cert_sn.alipay") + b"\n" + pem("ali.cert_sn.app")
    keys = keys_of(bundle)
    serials = [VECTORS[f"ali.cert_sn.{name}"]["expected"]["sn"] for name in ("alipay", "app")]
    assert list(keys.by_serial) == serials
    assert isinstance(keys.of_answer(serials[0]), RSAPublicKey)
    assert keys.of_answer("") is None
    assert keys.of_answer("0" * 32) is None
    assert keys.named("0" * 32) == ()
    assert len(keys.named("")) == 2
    assert keys.named(serials[1]) == (keys.of_answer(serials[1]),)


def test_key_mode_has_one_key_whatever_is_named() -> None:
    key = rsa_key("alipay").public_key()
    keys = one_key(key)
    assert keys.of_answer("") is keys.of_answer("0" * 32) is key
    assert keys.named("x") == keys.named("") == (key,)


@pytest.mark.parametrize(
    "text", [b"", b"x", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"]
)
def test_what_holds_no_certificate_is_refused(text: bytes) -> None:
    for read in (certificate_serial, root_serial, keys_of):
        with pytest.raises(CertificateError):
            read(text)


def test_a_bundle_is_bounded() -> None:
    with pytest.raises(CertificateError, match="more than"):
        keys_of(pem("ali.cert_sn.app") * 101)


def test_aes_is_the_vendors() -> None:
    vector = VECTORS["ali.aes.easysdk"]
    key = load_key(vector["input"]["key_b64"].encode())
    plain, ciphertext = vector["input"]["plaintext"], vector["expected"]["ciphertext_b64"]
    assert encrypt(key, plain.encode()) == ciphertext
    assert decrypt(key, ciphertext) == plain.encode()


@given(st.binary(max_size=100), st.binary(min_size=16, max_size=16))
def test_what_is_encrypted_is_decrypted(plain: bytes, key: bytes) -> None:
    assert decrypt(key, encrypt(key, plain)) == plain


@pytest.mark.parametrize("text", ["", "x", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA=="])
def test_what_is_no_ciphertext_is_refused(text: str) -> None:
    with pytest.raises(AesError):
        decrypt(bytes(16), text)


@pytest.mark.parametrize(
    "padded", [b"a" * 14 + b"\x01\x02", b"a" * 15 + b"\x00", b"\x11" * 16, b"a" * 15 + b"\xff"]
)
def test_a_content_whose_padding_is_not_right_is_refused(padded: bytes) -> None:
    """Under the right key, written by somebody else's cipher."""
    raw = AES.new(bytes(16), AES.MODE_CBC, bytes(16)).encrypt(padded)
    with pytest.raises(AesError):
        decrypt(bytes(16), base64.b64encode(raw).decode())


@pytest.mark.parametrize("text", [b"", b"!", b"AAAA", base64.b64encode(bytes(32))])
def test_what_is_no_key_is_refused(text: bytes) -> None:
    with pytest.raises(AesError):
        load_key(text)


def v3_request(vector: Any) -> V3Request:
    request = vector["input"]["request"]
    said = dict(
        part.split("=", 1)
        for part in request["headers"]["authorization"].split(" ", 1)[1].split(",")
    )
    return V3Request(
        method=request["method"],
        uri=request["url"],
        body=request["body"].encode(),
        app_id=said["app_id"],
        nonce=said["nonce"],
        timestamp_ms=int(said["timestamp"]),
        app_cert_sn=said.get("app_cert_sn", ""),
        app_auth_token=request["headers"].get("alipay-app-auth-token", ""),
    )


@pytest.mark.parametrize("name", V3)
def test_a_request_of_version_3_is_the_vendors(name: str) -> None:
    """Captured from the official Node SDK, its signature included."""
    vector = VECTORS[name]
    request = v3_request(vector)
    text = string_to_sign(request)
    assert text.decode() == vector["expected"]["string_to_sign"]
    key = load_public_key(vector["input"]["public_key_pem"].encode())
    assert verify_sha256(key, text, base64.b64decode(vector["expected"]["sign"]))
    header = vector["input"]["request"]["headers"]["authorization"]
    assert header.startswith(f"ALIPAY-SHA256withRSA {auth_string(request)},sign=")


def test_our_header_verifies_and_names_the_certificate() -> None:
    request = replace(v3_request(VECTORS[V3[0]]), app_cert_sn="abc")
    header = authorization(request, rsa_key("app"))
    head, _, signature = header.partition(",sign=")
    assert head.startswith("ALIPAY-SHA256withRSA app_id=2014060600164699,app_cert_sn=abc,nonce=")
    key = rsa_key("app").public_key()
    assert verify_sha256(key, string_to_sign(request), base64.b64decode(signature))


def answered(body: bytes, **more: str) -> dict[str, str]:
    signature = sign_sha256(rsa_key("alipay"), answer_string("1717762879833", "n1", body))
    return {
        "Alipay-Timestamp": "1717762879833",
        "alipay-nonce": "n1",
        "ALIPAY-SIGNATURE": base64.b64encode(signature).decode(),
        **more,
    }


def test_an_answer_of_version_3_is_believed_as_it_came() -> None:
    keys = one_key(rsa_key("alipay").public_key())
    body = b'{"a": 1}'
    verify_answer(answered(body), body, keys)
    for headers, said in (
        (answered(body), body + b" "),
        (answered(body) | {"alipay-nonce": "n2"}, body),
        (answered(body) | {"ALIPAY-SIGNATURE": ""}, body),
        (answered(body) | {"ALIPAY-SIGNATURE": "?"}, body),
        (answered(body) | {"ALIPAY-SIGNATURE": "AAAA"}, body),
        ({}, body),
    ):
        with pytest.raises(AlipaySignatureError):
            verify_answer(headers, said, keys)


def test_in_certificate_mode_the_answer_names_its_certificate() -> None:
    keys = keys_of(pem("ali.cert_sn.alipay"))
    with pytest.raises(AlipaySignatureError, match="certificate"):
        verify_answer(answered(b"{}"), b"{}", keys)
    with pytest.raises(AlipaySignatureError, match="does not verify"):
        serial = VECTORS["ali.cert_sn.alipay"]["expected"]["sn"]
        verify_answer(answered(b"{}", **{"alipay-sn": serial}), b"{}", keys)

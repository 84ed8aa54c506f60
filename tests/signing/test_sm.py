"""The national algorithms: the standard's own vector, and both directions of each."""

import base64
import ctypes.util
import subprocess

import pytest
from cryptography.exceptions import InvalidTag

from signing import sm
from signing.sm import (
    Sm2PrivateKey,
    Sm2PublicKey,
    SmCipherError,
    SmKeyError,
    SmUnavailable,
    sm3,
    sm4_gcm_key,
    sm4_gcm_open,
    sm4_gcm_seal,
)
from signing.wechat import (
    SM_SCHEME,
    Stamp,
    WechatCipherError,
    WechatKeyError,
    merchant_key,
    open_resource,
    platform_key,
    verify_message,
)
from tests.signing.test_wechat import NOW_MS, VECTORS

_SPKI = "3059301306072a8648ce3d020106082a811ccf5501822d034200"
_PKCS8 = "308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420"
_POINT = "a144034200"


def pem(kind: str, der: str) -> bytes:
    body = base64.encodebytes(bytes.fromhex(der))
    return f"-----BEGIN {kind} KEY-----\n".encode() + body + f"-----END {kind} KEY-----\n".encode()


STANDARD = VECTORS["sm2.gmt0003.5"]
POINT: str = STANDARD["input"]["public_key_hex"]
PUBLIC = pem("PUBLIC", _SPKI + POINT)
PRIVATE = pem("PRIVATE", _PKCS8 + STANDARD["input"]["private_key_hex"] + _POINT + POINT)
MESSAGE: bytes = STANDARD["input"]["message"].encode()
SIGNATURE = bytes.fromhex(STANDARD["expected"]["asn1_der_hex"])


def test_the_standards_signature_verifies() -> None:
    """GM/T 0003.5-2012, annex A, with its identity."""
    key = Sm2PublicKey(PUBLIC)
    assert key.verify(MESSAGE, SIGNATURE)
    assert not key.verify(MESSAGE + b".", SIGNATURE)
    for bad in (b"", SIGNATURE[:-1], SIGNATURE[:-1] + b"\x00", b"x" * 72):
        assert not key.verify(MESSAGE, bad)


def test_what_we_sign_verifies_under_the_standards_key() -> None:
    private, public = Sm2PrivateKey(PRIVATE), Sm2PublicKey(PUBLIC)
    first, second = private.sign(MESSAGE), private.sign(MESSAGE)
    assert first != second
    assert public.verify(MESSAGE, first)
    assert public.verify(MESSAGE, second)


def test_what_is_encrypted_opens_and_nothing_else() -> None:
    """ASN.1, C1C3C2: a sequence of two integers, the hash of 32 bytes, then the text."""
    private, public = Sm2PrivateKey(PRIVATE), Sm2PublicKey(PUBLIC)
    sealed = public.encrypt("张三".encode())
    assert private.decrypt(sealed) == "张三".encode()
    assert sealed[0] == 0x30
    assert sealed[-8:-6] == b"\x04\x06"
    for bad in (b"", sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"x" * 100):
        with pytest.raises(SmCipherError):
            private.decrypt(bad)


def test_keys_that_cannot_be_used_are_named() -> None:
    p256 = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        check=True,
        capture_output=True,
    ).stdout
    for bad in (b"", b"x", PUBLIC, p256, b"x" * 100_000):
        with pytest.raises(SmKeyError) as caught:
            Sm2PrivateKey(bad)
        assert "BEGIN" not in str(caught.value)
    with pytest.raises(SmKeyError):
        Sm2PublicKey(PRIVATE)


def test_an_encrypted_key_is_refused_without_asking_anybody() -> None:
    sealed = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "SM2", "-aes-256-cbc", "-pass", "pass:x"],
        check=True,
        capture_output=True,
    ).stdout
    with pytest.raises(SmKeyError):
        Sm2PrivateKey(sealed)


def test_a_machine_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the configuration, with the mend, when a key is loaded; not at import."""
    sm._libcrypto.cache_clear()
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    try:
        with pytest.raises(SmUnavailable, match="OpenSSL 3"):
            Sm2PublicKey(PUBLIC)
        monkeypatch.setattr(ctypes.util, "find_library", lambda name: "libm.so.6")
        with pytest.raises(SmUnavailable, match="OpenSSL 3"):
            Sm2PublicKey(PUBLIC)
    finally:
        sm._libcrypto.cache_clear()


def test_sm3_of_abc() -> None:
    vector = VECTORS["sm3.abc"]
    assert sm3(vector["input"]["message"].encode()).hex() == vector["expected"]["hex"]


def test_sm4_gcm_under_the_key_that_comes_of_an_apiv3_key() -> None:
    """RFC 8998, A.1: the key, nonce, data and tag of SM4-GCM."""
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    nonce = bytes.fromhex("00001234567800000000ABCD")
    associated = bytes.fromhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2")
    text = bytes.fromhex(
        "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD"
        "EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA"
    )
    sealed = sm4_gcm_seal(key, nonce, text, associated)
    assert sealed.hex().upper() == (
        "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735"
        "D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D"
        "83DE3541E4C2B58177E065A9BF7B62EC"
    )
    assert sm4_gcm_open(key, nonce, sealed, associated) == text
    with pytest.raises(InvalidTag):
        sm4_gcm_open(key, nonce, sealed[:-1] + b"\x00", associated)
    assert sm4_gcm_key(b"abc") == sm3(b"abc")[:16]


def test_the_scheme_of_wechat_pay_both_ways() -> None:
    """Signed by the merchant; verified, encrypted and opened with WeChat Pay's key."""
    ours, theirs = merchant_key(PRIVATE, SM_SCHEME), platform_key(PUBLIC, SM_SCHEME)
    assert ours.scheme == theirs.scheme == SM_SCHEME
    timestamp = str(NOW_MS // 1000)
    signature = base64.b64encode(ours.sign(f"{timestamp}\nN\n{{}}\n".encode())).decode()
    stamp = Stamp("ABC", timestamp, "N", signature, SM_SCHEME)
    verify_message(stamp, b"{}", {"ABC": theirs}, NOW_MS)
    assert ours.decrypt(theirs.encrypt(b"name")) == b"name"
    with pytest.raises(WechatCipherError):
        ours.decrypt(b"name")
    with pytest.raises(WechatKeyError):
        merchant_key(PUBLIC, SM_SCHEME)


def test_a_notification_under_sm4_opens() -> None:
    apiv3_key = b"0123456789abcdef0123456789abcdef"
    sealed = sm4_gcm_seal(sm4_gcm_key(apiv3_key), b"abcdef012345", b"{}", b"transaction")
    resource = {
        "algorithm": "AEAD_SM4_GCM",
        "nonce": "abcdef012345",
        "associated_data": "transaction",
        "ciphertext": base64.b64encode(sealed).decode(),
    }
    assert open_resource(resource, apiv3_key) == b"{}"
    with pytest.raises(WechatCipherError):
        open_resource(resource | {"ciphertext": "QUJD"}, apiv3_key)

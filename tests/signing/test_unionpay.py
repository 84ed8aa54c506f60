"""UnionPay's ACP signatures: known answers, and whom an answer may be signed by."""

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from signing.rsa import RsaKeyError, load_public_key, sign_sha256, verify_sha256
from signing.unionpay import (
    AcpSignatureError,
    KeyedSigning,
    RsaSigning,
    keyed_signature,
    rsa_signature,
    sha256_hex,
    sm3_hex,
    string_to_sign,
)
from signing.unionpay_trust import (
    ChainTrust,
    load_certificate,
    load_own_key,
)
from tests.conftest import samples_folder
from tests.support.acp_chain import FROM, SIGNER_NAME, UNTIL, VALID_MS, Issued, chain, issue

FILE = Path(__file__).resolve().parent.parent / "vectors" / "unionpay_signing.json"
TEST_NAMES = ("00040000:SIGN",)
"""As in UnionPay's test system."""
VECTORS: dict[str, Any] = {v["id"]: v for v in json.loads(FILE.read_text(encoding="utf-8"))}
SECRET = b"a shared secret of the test"


@dataclass(frozen=True)
class AnyTrust:
    """Trusts whatever comes: the chain has tests of its own."""

    key: RSAPublicKey

    def public_key(self, certificate_pem: str, at_ms: int) -> RSAPublicKey:
        return self.key


def trust() -> ChainTrust:
    root, middle, _ = chain()
    return ChainTrust(root.certificate, middle.certificate)


def signed_by(signer: Issued, **more: str) -> dict[str, str]:
    """An answer as UnionPay signs it, with its certificate inside."""
    params = {
        "version": "5.1.0",
        "signMethod": "01",
        "respCode": "00",
        "orderId": "ORDER0000001",
        "signPubKeyCert": signer.pem,
        **more,
    }
    params["signature"] = rsa_signature(params, signer.key)
    return params


def believed(params: dict[str, str], at_ms: int = VALID_MS) -> bool:
    ours = RsaSigning(chain()[0].key, "1", trust())
    try:
        ours.verify(params, at_ms)
    except AcpSignatureError:
        return False
    return True


def test_the_text_that_is_signed_is_the_published_one() -> None:
    vector = VECTORS["up.sign.5.1.0"]
    params, expected = vector["input"]["params"], vector["expected"]
    text = string_to_sign(params | {"signature": "x", "empty": ""})
    assert text.decode() == expected["string_to_sign"]
    assert sha256_hex(text) == expected["sha256_hex"]


def test_the_published_rsa_signature_verifies_and_that_of_5_0_0_is_refused() -> None:
    """up.sign.5.1.0 is believed; up.sign.5.0.0, over SHA-1, never is."""
    good, old = VECTORS["up.sign.5.1.0"], VECTORS["up.sign.5.0.0"]
    key = load_public_key(good["input"]["public_key_pem"].encode())
    ours = RsaSigning(chain()[0].key, "1", AnyTrust(key))
    signature = good["expected"]["signature"]
    ours.verify(good["input"]["params"] | {"signature": signature}, VALID_MS)
    for version in ("5.0.0", "5.1.0"):
        lowered = old["input"]["params"] | {
            "version": version,
            "signature": old["expected"]["signature"],
        }
        with pytest.raises(AcpSignatureError):
            ours.verify(lowered, VALID_MS)


@pytest.mark.parametrize("name", ["up.sign.method11", "up.sign.method12"])
def test_the_published_keyed_signatures(name: str) -> None:
    vector = VECTORS[name]
    params = vector["input"]["params"]
    secret = vector["input"]["secureKey"].encode()
    expected = vector["expected"]["signature"]
    assert keyed_signature(params, secret, params["signMethod"]) == expected


def test_sm3_and_the_file_content_are_the_published_ones() -> None:
    assert (
        sm3_hex(VECTORS["sm3.abc"]["input"]["message"].encode())
        == (VECTORS["sm3.abc"]["expected"]["hex"])
    )
    vector = VECTORS["up.fileContent"]
    content = zlib.decompress(base64.b64decode(vector["expected"]["fileContent"]))
    assert content.decode() == vector["input"]["plaintext"]


@pytest.mark.samples
def test_a_real_notification_is_unionpays_signature_and_not_of_our_chain() -> None:
    """Its own certificate verifies it, and that proves nothing: the chain is not ours."""
    path = samples_folder() / "unionpay" / "notify" / "back_notify_20180726.form"
    params = dict(parse_qsl(path.read_text("ascii").strip(), strict_parsing=True))
    leaf = load_certificate(params["signPubKeyCert"].encode())
    key = leaf.public_key()
    assert isinstance(key, RSAPublicKey)
    then_ms = int(leaf.not_valid_before_utc.timestamp() * 1000) + 1
    RsaSigning(chain()[0].key, "1", AnyTrust(key)).verify(params, then_ms)
    with pytest.raises(AcpSignatureError):
        RsaSigning(chain()[0].key, "1", AnyTrust(key)).verify(params | {"txnAmt": "1"}, then_ms)
    root, middle, _ = chain()
    ours = ChainTrust(root.certificate, middle.certificate, TEST_NAMES)
    with pytest.raises(AcpSignatureError, match="configured chain"):
        RsaSigning(root.key, "1", ours).verify(params, then_ms)


def test_an_answer_of_the_chain_is_believed_though_its_links_are_sha_1() -> None:
    """The trap: the library's own check refuses exactly the chain that CFCA has."""
    root, middle, leaf = chain()
    assert type(leaf.certificate.signature_hash_algorithm).__name__ == "SHA1"
    with pytest.raises((UnsupportedAlgorithm, ValueError)):
        leaf.certificate.verify_directly_issued_by(middle.certificate)
    assert believed(signed_by(leaf))
    assert believed(signed_by(issue(SIGNER_NAME, root)))


@pytest.mark.parametrize("name", ["", "UnionPay", "041@Z@somebody@1", "中国银联股份有限公司"])
def test_a_certificate_of_the_chain_with_another_name_is_not_unionpays(name: str) -> None:
    """CFCA sells certificates to everybody."""
    assert not believed(signed_by(issue(name or "041@Z", chain()[1])))


def test_the_test_systems_name_counts_only_where_it_was_configured() -> None:
    root, middle, _ = chain()
    leaf = issue("041@Z2017-11-1@00040000:SIGN@00000001", middle)
    assert not believed(signed_by(leaf))
    ours = ChainTrust(root.certificate, middle.certificate, TEST_NAMES)
    assert ours.public_key(leaf.pem, VALID_MS) == leaf.key.public_key()


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_a_certificate_that_was_changed_anywhere_makes_no_other_key(flip: int) -> None:
    """Whatever cannot be parsed any more, and wherever that is noticed: it is no fault of ours."""
    root, middle, leaf = chain()
    ours = ChainTrust(root.certificate, middle.certificate)
    good, kept = leaf.certificate.public_bytes(Encoding.DER), 0
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= flip
        text = base64.encodebytes(bytes(changed)).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        try:
            key = ours.public_key(pem, VALID_MS)
        except AcpSignatureError:
            continue
        assert key == leaf.key.public_key(), "a mark outside of what was signed, at most"
        kept += 1
    assert kept < 5


def test_who_signs_his_own_certificate_is_not_believed() -> None:
    """Without the chain anybody could sign a notification, with UnionPay's name on it."""
    assert not believed(signed_by(issue(SIGNER_NAME)))
    forged_middle = issue("OCA1", owner="forger")  # its name is right, its key is not
    assert not believed(signed_by(issue(SIGNER_NAME, forged_middle)))
    forged = signed_by(issue("041@Z@forger@1", chain()[1]))
    assert not believed(forged | {"signPubKeyCert": chain()[2].pem})


def test_a_leaf_cannot_issue() -> None:
    assert not believed(signed_by(issue("041@Z@中国银联股份有限公司@2", chain()[2])))


@pytest.mark.parametrize("at", [FROM, UNTIL])
def test_a_certificate_counts_while_it_is_valid(at: object) -> None:
    answer = signed_by(chain()[2])
    edge_ms = int(at.timestamp() * 1000)  # type: ignore[attr-defined]  # a datetime
    assert believed(answer, edge_ms)
    assert not believed(answer, edge_ms + (-1000 if at is FROM else 1000))


@pytest.mark.parametrize(
    "change",
    [
        {"version": "5.0.0"},
        {"version": ""},
        {"signMethod": "11"},
        {"signMethod": ""},
        {"signature": ""},
        {"signature": "no base64!"},
        {"signature": "AAAA"},
        {"signPubKeyCert": ""},
        {"signPubKeyCert": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        {"respCode": "01"},
        {"added": "1"},
    ],
)
def test_whatever_was_changed_or_lowered_is_refused(change: dict[str, str]) -> None:
    answer = signed_by(chain()[2])
    assert believed(answer)
    assert not believed(answer | change)


def test_a_signature_over_the_text_itself_is_not_over_its_digest() -> None:
    """Method 01 hashes twice; the once-hashed one is another scheme."""
    answer = signed_by(chain()[2])
    once = base64.b64encode(sign_sha256(chain()[2].key, string_to_sign(answer))).decode()
    assert not believed(answer | {"signature": once})


def test_what_we_sign_verifies_with_our_key_and_names_our_certificate() -> None:
    key = chain()[0].key
    signed = RsaSigning(key, "68759585097", trust()).signed({"orderId": "A", "txnAmt": "1"})
    assert (signed["certId"], signed["signMethod"]) == ("68759585097", "01")
    digest = sha256_hex(string_to_sign(signed)).encode()
    assert verify_sha256(key.public_key(), digest, base64.b64decode(signed["signature"]))


@pytest.mark.parametrize("method", ["11", "12"])
def test_keyed_answers_are_held_to_the_secret_and_the_method(method: str) -> None:
    ours = KeyedSigning(method, SECRET)
    answer = ours.signed({"version": "5.1.0", "respCode": "00"})
    ours.verify(answer, VALID_MS)
    other = {"11": "12", "12": "11"}[method]
    for changed in (
        answer | {"respCode": "01"},
        answer | {"signature": ""},
        answer | {"signature": "é"},
        KeyedSigning(method, SECRET + b"x").signed({"version": "5.1.0", "respCode": "00"}),
        KeyedSigning(other, SECRET).signed({"version": "5.1.0", "respCode": "00"}),
        answer | {"version": "5.0.0"},
    ):
        with pytest.raises(AcpSignatureError):
            ours.verify(changed, VALID_MS)


@pytest.mark.parametrize(("method", "secret"), [("01", SECRET), ("13", SECRET), ("11", b"")])
def test_no_other_method_and_no_empty_secret(method: str, secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"11 or 12|bytes"):
        KeyedSigning(method, secret)


def test_a_middle_that_the_root_did_not_issue_is_no_chain() -> None:
    with pytest.raises(AcpSignatureError):
        ChainTrust(chain()[0].certificate, issue("OCA1", owner="forger").certificate)


def pfx(key: RSAPrivateKey, owner: Issued, password: bytes) -> bytes:
    sealed = BestAvailableEncryption(password)
    return pkcs12.serialize_key_and_certificates(b"sign", key, owner.certificate, None, sealed)


def test_our_key_comes_from_pkcs12_or_pem_with_its_decimal_serial() -> None:
    owner = issue("merchant", serial=68759585097)
    pem = owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data, password in (
        (pfx(owner.key, owner, b"000000"), "000000"),
        (pem + owner.pem.encode(), ""),
        (owner.pem.encode() + pem, ""),
    ):
        key, cert_id = load_own_key(data, password)
        assert key.private_numbers() == owner.key.private_numbers()
        assert cert_id == "68759585097"


def test_what_is_no_key_of_ours_is_refused_and_nothing_of_it_shown() -> None:
    owner = issue("merchant")
    pem = owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data, password in (
        (pfx(owner.key, owner, b"000000"), "111111"),
        (b"", ""),
        (b"\x30\x82garbage", "000000"),
        (pem, ""),
        (owner.pem.encode(), ""),
        (pem + chain()[0].pem.encode(), ""),
    ):
        with pytest.raises(RsaKeyError) as refused:
            load_own_key(data, password)
        assert "111111" not in str(refused.value)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=6), st.text(min_size=1))
def test_every_non_empty_value_is_covered(params: dict[str, str], value: str) -> None:
    """A parameter more, or another value, is another signature."""
    text = KeyedSigning("11", SECRET).signed(params)["signature"]
    changed = KeyedSigning("11", SECRET).signed(params | {"respCode": value})["signature"]
    assert (text == changed) == (params.get("respCode") == value)

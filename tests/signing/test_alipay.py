"""Alipay's signatures: known answers, and the ways an answer can lie."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from hypothesis import given
from hypothesis import strategies as st

from signing.alipay import (
    ERROR_RESPONSE,
    AlipaySignatureError,
    sign,
    signed_content,
    string_to_sign,
    verified_json,
    verify_notification,
)
from signing.rsa import load_public_key, sign_sha256, verify_sha256

FILE = Path(__file__).resolve().parent.parent / "vectors" / "alipay_signing.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
KEY = "alipay_trade_pay_response"
SIGN = '"c2lnbg=="'

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
RESULTS = st.dictionaries(st.text() | st.just("sign"), JSON_VALUES, max_size=5)


def of_kind(kind: str) -> list[object]:
    found = [pytest.param(entry, id=entry["id"]) for entry in VECTORS if entry["kind"] == kind]
    assert found, f"no vectors of kind {kind}"
    return list(found)


def signed(private_key: RSAPrivateKey, content: bytes) -> str:
    return base64.b64encode(sign_sha256(private_key, content)).decode()


@pytest.mark.parametrize("vector", of_kind("request"))
def test_request_vectors(vector: dict[str, Any]) -> None:
    """The string we build is the vendor kit's, and the kit's signature verifies over it."""
    content = string_to_sign(vector["params"] | {"sign": vector["sign"], "return_url": ""})
    assert content == vector["string_to_sign"].encode()
    signature = base64.b64decode(vector["sign"])
    assert verify_sha256(load_public_key(vector["public_key"].encode()), content, signature)


def verified(raw: bytes, response_key: str, key: RSAPublicKey) -> bytes:
    """The bytes that were verified; it is they that are read."""
    said = verified_json(raw, response_key, lambda _serial: key)
    is_error = ERROR_RESPONSE in json.loads(raw)
    content = signed_content(raw, ERROR_RESPONSE if is_error else response_key)
    assert said == json.loads(content)
    return content


@pytest.mark.parametrize("vector", of_kind("response"))
def test_response_vectors(vector: dict[str, Any]) -> None:
    """The signed bytes of published answers are cut out exactly, and verify."""
    raw, content = vector["raw"].encode(), vector["signed_content"].encode()
    assert signed_content(raw, vector["response_key"]) == content
    if "public_key" in vector:
        key = load_public_key(vector["public_key"].encode())
        assert verified(raw, vector["response_key"], key) == content


@pytest.mark.parametrize("vector", of_kind("notification"))
def test_notification_vectors(vector: dict[str, Any]) -> None:
    """Published notifications verify, or not, as their kit's tests say."""
    key = load_public_key(vector["public_key"].encode())
    params, drop = vector["params"], vector["drop_sign_type"]
    assert verify_notification(params, key, drop) == vector["valid"]
    assert not verify_notification(params, key, not drop)


def test_sign_is_over_the_string(private_key: RSAPrivateKey) -> None:
    """A request's sign verifies over its string to sign; Chinese text is UTF-8."""
    params = {"app_id": "1", "biz_content": '{"subject":"门店消费"}', "sign_type": "RSA2"}
    signature = base64.b64decode(sign(params, private_key))
    assert string_to_sign(params) == (
        'app_id=1&biz_content={"subject":"门店消费"}&sign_type=RSA2'.encode()
    )
    assert verify_sha256(private_key.public_key(), string_to_sign(params), signature)


@given(RESULTS, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (",\n  ", " : ")]))
def test_any_result_is_cut_out_exactly(
    result: dict[str, Any], ascii_only: bool, separators: tuple[str, str]
) -> None:
    """Whatever the result holds (braces in strings, escapes, an inner sign), its bytes come."""
    text = json.dumps(result, ensure_ascii=ascii_only, separators=separators)
    content = text.encode("utf-8", "surrogatepass")
    before = b'{"alipay_cert_sn" :"{\\"", "%s":\t' % KEY.encode()
    after = b' ,\r\n "sign":%s }\n' % SIGN.encode()
    assert signed_content(before + content + after, KEY) == content
    sign_first = b'{"sign":%s,"%s":' % (SIGN.encode(), KEY.encode())
    assert signed_content(sign_first + content + b"}", KEY) == content


@given(st.binary(max_size=80) | st.text('{}[]":,\\ sign', max_size=80).map(str.encode))
def test_garbage_is_refused_or_read_as_json_reads_it(garbage: bytes) -> None:
    """Damaged answers raise our error alone; what passes is one JSON member, unchanged."""
    raw = b'{"%s":{"a":%s},"sign":%s}' % (KEY.encode(), garbage, SIGN.encode())
    try:
        content = signed_content(raw, KEY)
    except AlipaySignatureError:
        return
    try:
        whole = json.loads(raw)
    except ValueError:
        return
    assert json.loads(content) == whole[KEY]


def test_every_cut_is_refused() -> None:
    """No truncated answer passes."""
    raw = f'{{"{KEY}":{{"a":"}}","b":[{{}}]}},"sign":{SIGN}}}'.encode()
    assert signed_content(raw, KEY) == b'{"a":"}","b":[{}]}'
    for end in range(len(raw)):
        with pytest.raises(AlipaySignatureError):
            signed_content(raw[:end], KEY)


def test_an_encrypted_answer_is_signed_with_its_quotes(private_key: RSAPrivateKey) -> None:
    """Of an encrypted answer the quoted cipher text is signed."""
    content = b'"HJjZXDcVHUcOrByocVgEmg=="'
    raw = f'{{"{KEY}":{content.decode()},"sign":"{signed(private_key, content)}"}}'.encode()
    assert verified(raw, KEY, private_key.public_key()) == content


def test_an_error_response_verifies_under_its_own_name(private_key: RSAPrivateKey) -> None:
    """Alipay's signed error answers are read; beside a result they are refused."""
    content = b'{"code":"40002","msg":"Invalid Arguments"}'
    error = f'"error_response":{content.decode()},"sign":"{signed(private_key, content)}"'
    public = private_key.public_key()
    assert verified(f"{{{error}}}".encode(), KEY, public) == content
    with pytest.raises(AlipaySignatureError):
        verified(f'{{"{KEY}":{{"code":"10000"}},{error}}}'.encode(), KEY, public)


@given(bit=st.integers(min_value=0))
def test_a_flipped_bit_does_not_verify(private_key: RSAPrivateKey, bit: int) -> None:
    """Whichever bit of an answer is changed, it is refused or reads as the same result."""
    content = b'{"code":"10000","total_amount":"20.00"}'
    raw = f'{{"{KEY}":{content.decode()},"sign":"{signed(private_key, content)}"}}'.encode()
    changed = (int.from_bytes(raw) ^ (1 << bit % (len(raw) * 8))).to_bytes(len(raw))
    try:
        assert verified(changed, KEY, private_key.public_key()) == content
    except AlipaySignatureError:
        return
    assert json.loads(changed)[KEY] == json.loads(content)


@pytest.mark.parametrize(
    "raw",
    [
        '{"KEY":{}}',
        '{"KEY":{},"sign":""}',
        '{"KEY":{},"sign":null}',
        '{"KEY":{},"sign":{}}',
        '{"KEY":{},"sign":"not base64!"}',
        '{"KEY":{},"sign":"c2ln\\nbg=="}',
        '{"KEY":{},"sign":"c2lnbg==","sign":"c2lnbg=="}',
        '{"KEY":{},"sign":"c2lnbg==","si\\u0067n":"c2lnbg=="}',
        '{"KEY":{},"KEY":{},"sign":"c2lnbg=="}',
        '{"KEY":{"sign":"c2lnbg=="}}',
        '{"x":{"KEY":{}},"sign":"c2lnbg=="}',
        '{"other_response":{},"sign":"c2lnbg=="}',
        '{"KEY":null,"sign":"c2lnbg=="}',
        '{"KEY":[],"sign":"c2lnbg=="}',
        '{"KEY":{},"sign":"c2lnbg=="}{}',
        '{"KEY":{},"sign":"c2lnbg=="},',
        '{"KEY":{} "sign":"c2lnbg=="}',
        '{"KEY":{},,"sign":"c2lnbg=="}',
        '{"KEY":{},"sign":"c2lnbg==",}',
        '[{"KEY":{},"sign":"c2lnbg=="}]',
        '\ufeff{"KEY":{},"sign":"c2lnbg=="}',
        "<html>",
        "",
    ],
)
def test_answers_without_one_good_sign_are_refused(raw: str, private_key: RSAPrivateKey) -> None:
    """Missing, empty, doubled, hidden or misplaced: refused before any verification."""
    body = raw.replace("KEY", KEY).encode()
    with pytest.raises(AlipaySignatureError):
        signed_content(body, KEY)
    with pytest.raises(AlipaySignatureError):
        verified(body, KEY, private_key.public_key())


def test_a_doubled_sign_is_refused_even_if_both_are_good(private_key: RSAPrivateKey) -> None:
    """Which of two signs counts is not ours to choose."""
    good = signed(private_key, b"{}")
    raw = f'{{"{KEY}":{{}},"sign":"{good}","sign":"{good}"}}'.encode()
    with pytest.raises(AlipaySignatureError):
        verified(raw, KEY, private_key.public_key())


def test_an_escaped_slash_in_the_sign_is_a_slash(private_key: RSAPrivateKey) -> None:
    r"""PHP writes ``\/``: the signature is the same."""
    number = next(n for n in range(1000) if "/" in signed(private_key, b'{"n":%d}' % n))
    content = b'{"n":%d}' % number
    quoted = signed(private_key, content).replace("/", "\\/")
    raw = b'{"%s":%s,"sign":"%s"}' % (KEY.encode(), content, quoted.encode())
    assert verified(raw, KEY, private_key.public_key()) == content


def test_notifications_with_empty_values(private_key: RSAPrivateKey) -> None:
    """Signed with or without its empty values, a notification verifies; changed, it does not."""
    params = {"app_id": "1", "body": "", "total_amount": "0.10"}
    public = private_key.public_key()
    for covered in (b"app_id=1&body=&total_amount=0.10", b"app_id=1&total_amount=0.10"):
        form = params | {"sign": signed(private_key, covered), "sign_type": "RSA2"}
        assert verify_notification(form, public, drop_sign_type=True)
        assert not verify_notification(form | {"total_amount": "0.1"}, public, True)
        assert not verify_notification(form | {"refund_fee": "0.10"}, public, True)


def test_downgrades_are_refused(private_key: RSAPrivateKey) -> None:
    """RSA with SHA-1, an unknown or a missing sign_type or sign: refused."""
    content = b"app_id=1"
    public = private_key.public_key()
    good = {"app_id": "1", "sign": signed(private_key, content), "sign_type": "RSA2"}
    sha1 = base64.b64encode(private_key.sign(content, PKCS1v15(), hashes.SHA1())).decode()
    assert verify_notification(good, public, drop_sign_type=True)
    for change in (
        {"sign_type": "RSA"},
        {"sign_type": "RSA", "sign": sha1},
        {"sign": sha1},
        {"sign_type": ""},
        {"sign_type": "rsa2"},
        {"sign": ""},
        {"sign": "é"},
        {"sign": "\udcff"},
        {"app_id": "\udcff"},
    ):
        assert not verify_notification(good | change, public, drop_sign_type=True)
    for missing in ("sign", "sign_type"):
        less = {name: value for name, value in good.items() if name != missing}
        assert not verify_notification(less, public, drop_sign_type=True)

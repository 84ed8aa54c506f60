"""The vendor's Python SDK (key mode) and ``signing/alipay.py`` agree, in both directions."""

import base64
import json
from pathlib import Path

import pytest
from alipay.aop.api.util.SignatureUtils import get_sign_content, sign_with_rsa2, verify_with_rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from signing.alipay import sign, signed_content, string_to_sign, verified_json
from signing.rsa import verify_sha256
from tests.channels.rigs import rsa_key

KEY = rsa_key("app")
PKCS1 = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PRIVATE_BODY = "".join(PKCS1.decode().splitlines()[1:-1])
PUBLIC_BODY = "".join(PUBLIC.decode().splitlines()[1:-1])
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).map(
    lambda name: "signed" if name == "sign" else name
)
PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
VALUES = st.text(PRINTABLE, min_size=1, max_size=30)
"""Made printable, not filtered: almost every text has a character that is not."""


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=8))
def test_requests(params: dict[str, str]) -> None:
    """One string to sign; each side's signature is the other's."""
    content = get_sign_content(params)
    assert content.encode() == string_to_sign(params)
    theirs = sign_with_rsa2(PRIVATE_BODY, content, "utf-8")
    assert verify_sha256(KEY.public_key(), string_to_sign(params), base64.b64decode(theirs))
    ours = sign(params, KEY)
    assert ours == theirs
    assert verify_with_rsa(PUBLIC_BODY, content.encode(), ours)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_answers(fields: dict[str, str]) -> None:
    """What the SDK would have signed as Alipay is believed by us, over the same bytes."""
    content = json.dumps(fields, ensure_ascii=False)
    signature = sign_with_rsa2(PRIVATE_BODY, content, "utf-8")
    raw = f'{{"alipay_trade_pay_response":{content},"sign":"{signature}"}}'.encode()
    name = "alipay_trade_pay_response"
    assert verified_json(raw, name, lambda _serial: KEY.public_key()) == fields
    cut = signed_content(raw, name)
    assert cut == content.encode()
    assert verify_with_rsa(PUBLIC_BODY, cut, signature)


NODE = [
    vector
    for vector in json.loads(
        (Path(__file__).resolve().parent.parent / "vectors" / "alipay_signing.json").read_text(
            "utf-8"
        )
    )
    if vector["id"].startswith("ali.v2.request.")
]


@pytest.mark.parametrize("vector", NODE, ids=lambda vector: str(vector["id"]))
def test_the_node_sdks_requests(vector: dict[str, object]) -> None:
    """All three dresses: plain, with certificates, encrypted."""
    params = vector["params"]
    assert isinstance(params, dict)
    assert string_to_sign(params).decode() == vector["string_to_sign"]

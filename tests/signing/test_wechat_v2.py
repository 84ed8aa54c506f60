"""WeChat Pay's APIv2 signatures: the official answers, and every way to leave one out."""

import base64
from hashlib import md5
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from signing.wechat_v2 import (
    HMAC_SHA256,
    MD5,
    V2CipherError,
    is_signed,
    open_req_info,
    sign,
    string_to_sign,
)
from tests.signing.test_wechat import VECTORS

KEY = b"192006250b4c09247ec02edce69f6a2d"
PARAMS = {"appid": "wx1", "return_code": "SUCCESS", "total_fee": "1990"}


def signed(kind: str = HMAC_SHA256, **more: str) -> dict[str, str]:
    params = PARAMS | more
    return params | {"sign": sign(params, KEY, kind)}


def test_the_official_answer() -> None:
    vector = VECTORS["wx.v2.sign.official"]
    params, key = vector["input"]["params"], vector["input"]["key"].encode()
    assert string_to_sign(params, key) == vector["input"]["string_to_sign"].encode()
    assert sign(params, key, MD5) == vector["expected"]["md5"]
    assert sign(params, key, HMAC_SHA256) == vector["expected"]["hmac_sha256"]


@pytest.mark.parametrize(("kind", "sign_type"), [("hmac_sha256", HMAC_SHA256), ("md5", MD5)])
def test_a_vendor_kits_answer_with_chinese_and_an_empty_value(kind: str, sign_type: str) -> None:
    vector = VECTORS["wx.v2.micropay.gen"]
    params: dict[str, Any] = vector["input"]["params_hmac" if "h" in kind[0] else "params_md5"]
    assert sign(params, vector["input"]["key"].encode(), sign_type) == vector["expected"][kind]


@pytest.mark.parametrize("sign_type", [HMAC_SHA256, MD5])
def test_what_is_signed_is_believed(sign_type: str) -> None:
    assert is_signed(signed(sign_type), KEY, sign_type)
    assert is_signed(signed(sign_type, sign_type=sign_type), KEY, sign_type)


@pytest.mark.parametrize(
    "lie",
    [
        PARAMS,
        PARAMS | {"sign": ""},
        signed() | {"sign": signed()["sign"].lower()},
        signed() | {"sign": signed()["sign"][:-1]},
        signed() | {"sign": "é" * 64},
        signed() | {"total_fee": "1"},
        signed() | {"added": "1"},
        signed(MD5),
        signed(MD5, sign_type=MD5),
        signed(sign_type=MD5),
    ],
)
def test_missing_empty_changed_or_downgraded_is_refused(lie: dict[str, str]) -> None:
    assert not is_signed(lie, KEY, HMAC_SHA256)


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_parameters_sign_without_a_crash(params: dict[str, str]) -> None:
    try:
        made = sign(params, KEY, HMAC_SHA256)
    except UnicodeEncodeError:
        return
    assert made == made.upper()
    assert len(made) == 64


def test_refund_details_open() -> None:
    """The vector's cipher under its own key; the protocol's key is the MD5 of the API key."""
    vector = VECTORS["wx.v2.aes256ecb"]
    key = vector["input"]["key"].encode()
    text = b"<root></root>" + bytes([3]) * 3
    encryptor = Cipher(AES(md5(KEY).hexdigest().encode()), ECB()).encryptor()
    sealed = base64.b64encode(encryptor.update(text) + encryptor.finalize()).decode()
    assert open_req_info(sealed, KEY) == b"<root></root>"
    raw = Cipher(AES(key), ECB()).decryptor()
    opened = raw.update(base64.b64decode(vector["expected"]["ciphertext_b64"])) + raw.finalize()
    assert opened[: -opened[-1]] == vector["input"]["plaintext"].encode()


@pytest.mark.parametrize("sealed", ["", "not base64!", "QUJD", "A" * 44])
def test_details_that_were_touched_do_not_open(sealed: str) -> None:
    with pytest.raises(V2CipherError):
        open_req_info(sealed, KEY)

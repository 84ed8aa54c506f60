"""Public Alipay samples, read where they lie (``POSGATE_SAMPLES``)."""

import json
import os
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from signing.alipay import AlipaySignatureError, signed_content, verify_notification
from signing.rsa import load_public_key

pytestmark = pytest.mark.samples

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SAMPLES = Path(os.environ.get("POSGATE_SAMPLES", CHECKOUT.parent / "shared" / "samples")) / "alipay"
VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "alipay_signing.json"


def public_key_of(vector_id: str) -> bytes:
    (vector,) = (v for v in json.loads(VECTORS.read_text("utf-8")) if v["id"] == vector_id)
    return str(vector["public_key"]).encode()


@pytest.mark.parametrize(
    ("name", "vector_id", "drop_sign_type", "valid"),
    [
        ("trade_success_20190815.form", "ali.notify.v1.ok", True, True),
        ("trade_badsign_20190523.form", "ali.notify.v1.ok", True, False),
        ("servicemarket_20190308.form", "ali.notify.v2.ok", False, True),
    ],
)
def test_notifications(name: str, vector_id: str, drop_sign_type: bool, valid: bool) -> None:
    """Two real notifications verify, one by each rule; one must not."""
    body = (SAMPLES / "notify" / name).read_text("ascii").strip()
    params = dict(parse_qsl(body, keep_blank_values=True, strict_parsing=True))
    key = load_public_key(public_key_of(vector_id))
    assert verify_notification(params, key, drop_sign_type) == valid
    tampered = params | {"notify_id": "1"}
    assert not verify_notification(tampered, key, drop_sign_type)


UNSIGNED = {
    "error_response_40002_certmode.json",
    "trade_pay_40004.json",
    "trade_pay_success.json",
    "trade_query_40002.json",
    "trade_query_success.json",
}
MISSHAPEN = {"trade_cancel_close_sign_truncated.json"}


def test_responses() -> None:
    """Every sample answer is cut out as it stands; those with an empty sign are refused."""
    seen = 0
    for path in sorted((SAMPLES / "responses").iterdir()):
        raw = path.read_bytes()
        whole = json.loads(raw)
        (name,) = (key for key in whole if key.endswith("_response"))
        if path.name in UNSIGNED | MISSHAPEN:
            with pytest.raises(AlipaySignatureError):
                signed_content(raw, name)
        else:
            content = signed_content(raw, name)
            assert content in raw
            assert json.loads(content) == whole[name]
        seen += 1
    assert seen >= 11

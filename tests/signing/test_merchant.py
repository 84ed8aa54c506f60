"""The merchant scheme: one header shape, one string, nothing that almost fits."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.merchant import (
    Credentials,
    MerchantSecret,
    MerchantSignatureError,
    answer_string,
    authorization,
    parse_authorization,
    request_string,
    sign,
    verify,
)

WORD = "ABCXYZabcxyz0189_-"
KEY_ID = st.text(WORD, min_size=1, max_size=64)
NONCE = st.text(WORD, min_size=8, max_size=64)
TIMESTAMP = st.integers(0, 10**11).map(str)
SIGNATURE = st.binary(min_size=32, max_size=32).map(bytes.hex)
GOOD = {"key_id": "k1", "timestamp": "1790000000", "nonce": "abcdefgh", "signature": "0f" * 32}


def header(**changes: str) -> str:
    return "POSGATE-HMAC-SHA256 " + ",".join(
        f'{name}="{value}"' for name, value in (GOOD | changes).items()
    )


def test_the_strings_of_the_contract() -> None:
    """The strings to sign are, byte for byte, those of the contract."""
    digest = hashlib.sha256(b'{"amount":1}').hexdigest()
    assert request_string("POST", "/v1/payments?a=1", "1790000000", "n1", b'{"amount":1}') == (
        f"POST\n/v1/payments?a=1\n1790000000\nn1\n{digest}\n".encode()
    )
    assert answer_string("1790000000", "n1", b'{"amount":1}') == (
        f"1790000000\nn1\n{digest}\n".encode()
    )


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=200))
def test_signatures_are_hmac_sha256(secret: bytes, message: bytes) -> None:
    """The signature is HMAC-SHA256 in hex, and verifies in either case of letters."""
    signature = sign(secret, message)
    assert signature == hmac.new(secret, message, hashlib.sha256).hexdigest()
    assert verify(secret, message, signature)
    assert verify(secret, message, signature.upper())
    kept = MerchantSecret(secret)
    for _ in range(2):
        assert kept.sign(message) == signature
        assert kept.verify(message, signature.upper())


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_does_not_verify(secret: bytes, message: bytes, data: st.DataObject) -> None:
    """A changed bit in message or signature does not verify."""
    signature = sign(secret, message)
    bit = 1 << data.draw(st.integers(0, len(message) * 8 - 1))
    changed = (int.from_bytes(message) ^ bit).to_bytes(len(message))
    assert not verify(secret, changed, signature)
    assert not MerchantSecret(secret).verify(changed, signature)
    flipped = int(signature, 16) ^ 1 << data.draw(st.integers(0, 255))
    assert not verify(secret, message, f"{flipped:064x}")


@pytest.mark.parametrize("signature", ["", "0", "é" * 64, "\udcff", "0" * 63, "0" * 65, "None"])
def test_misshapen_signatures_do_not_verify(signature: str) -> None:
    """Whatever the text, the answer is no and never an exception."""
    assert not verify(b"secret", b"message", signature)
    assert not MerchantSecret(b"secret").verify(b"message", signature)


def test_an_empty_secret_signs_nothing() -> None:
    """A missing secret is a fault, not a key that everybody knows."""
    with pytest.raises(ValueError, match="empty secret"):
        verify(b"", b"message", hmac.digest(b"", b"message", "sha256").hex())
    with pytest.raises(ValueError, match="empty secret"):
        MerchantSecret(b"")


@given(KEY_ID, TIMESTAMP, NONCE, SIGNATURE)
def test_headers_round_trip(key_id: str, timestamp: str, nonce: str, signature: str) -> None:
    """What is built is read back."""
    text = authorization(key_id, timestamp, nonce, signature)
    assert parse_authorization(text) == Credentials(key_id, timestamp, nonce, signature)


@given(st.permutations(list(GOOD)), st.sampled_from([",", ", ", " ,", "  ,  "]))
def test_order_and_spaces_are_free(order: list[str], comma: str) -> None:
    """Parameters come in any order, with spaces around the commas."""
    text = comma.join(f'{name}="{GOOD[name]}"' for name in order)
    assert parse_authorization(f"POSGATE-HMAC-SHA256 {text}") == Credentials(**GOOD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "POSGATE-HMAC-SHA256",
        "POSGATE-HMAC-SHA256 ",
        "Bearer abc",
        "POSGATE-HMAC-SHA1" + header()[19:],
        "posgate-hmac-sha256" + header()[19:],
        header() + ",",
        header() + "\n",
        header() + " x",
        header() + ',key_id="k1"',
        header() + ',nonce="abcdefgi"',
        header() + ',extra="1"',
        header(extra="1"),
        header().replace(",", ";"),
        header().replace(",", ",,", 1),
        header().replace('"', "'"),
        header().replace('"', ""),
        header().replace(",nonce", "nonce"),
        header().replace('nonce="abcdefgh",', ""),
        header(key_id=""),
        header(key_id="a b"),
        header(key_id="a" * 65),
        header(key_id='a\\"b'),
        header(timestamp=""),
        header(timestamp="-1"),
        header(timestamp="1.5"),
        header(timestamp="1e9"),
        header(timestamp="١٧٩٠٠٠٠٠٠٠"),
        header(timestamp="1" * 13),
        header(nonce="short"),
        header(nonce="n" * 65),
        header(nonce="abc defgh"),
        header(nonce="abcdefg\n"),
        header(signature="0" * 63),
        header(signature="0" * 65),
        header(signature="g" * 64),
        header() + " " * 1024,
    ],
)
def test_almost_is_refused(text: str) -> None:
    """A header that is not exactly of the scheme is refused."""
    with pytest.raises(MerchantSignatureError):
        parse_authorization(text)


@given(st.text(max_size=200))
def test_garbage_is_refused(text: str) -> None:
    """Whatever follows the scheme's name, there is no other exception."""
    with pytest.raises(MerchantSignatureError):
        parse_authorization(f"POSGATE-HMAC-SHA256 {text}")


def test_errors_and_texts_do_not_quote() -> None:
    """Neither an error nor the credentials' text shows signature or nonce."""
    with pytest.raises(MerchantSignatureError) as caught:
        parse_authorization(header(signature="5ec7e7"))
    assert "5ec7e7" not in str(caught.value)
    shown = repr(parse_authorization(header()))
    assert "k1" in shown
    assert GOOD["signature"] not in shown
    assert GOOD["nonce"] not in shown

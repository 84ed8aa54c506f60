"""RSA keys in every shape they are handed out in, and SHA-256 pinned."""

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from signing.rsa import (
    RsaKeyError,
    load_private_key,
    load_public_key,
    sign_sha256,
    verify_sha256,
)


def wrapped(der: bytes) -> bytes:
    """A bare base64 body broken into lines, as a settings page shows it."""
    return base64.encodebytes(der)


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_private_keys_in_every_shape(private_key: RSAPrivateKey, form: PrivateFormat) -> None:
    """PKCS#1 and PKCS#8, as PEM, as one base64 line and as many: the same key."""
    pem = private_key.private_bytes(Encoding.PEM, form, NoEncryption())
    der = private_key.private_bytes(Encoding.DER, form, NoEncryption())
    for text in (pem, base64.b64encode(der), wrapped(der), b"\n" + pem + b"\n"):
        assert load_private_key(text).private_numbers() == private_key.private_numbers()


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_public_keys_in_every_shape(private_key: RSAPrivateKey, form: PublicFormat) -> None:
    """SubjectPublicKeyInfo and PKCS#1, as PEM and as bare base64: the same key."""
    key = private_key.public_key()
    pem, der = key.public_bytes(Encoding.PEM, form), key.public_bytes(Encoding.DER, form)
    for text in (pem, base64.b64encode(der), wrapped(der)):
        assert load_public_key(text).public_numbers() == key.public_numbers()


def test_a_signature_verifies_and_no_other_does(private_key: RSAPrivateKey) -> None:
    """Message, signature, key and hash must all be right."""
    public = private_key.public_key()
    signature = sign_sha256(private_key, b"message")
    assert verify_sha256(public, b"message", signature)
    assert not verify_sha256(public, b"massage", signature)
    assert not verify_sha256(public, b"message", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not verify_sha256(public, b"message", b"")
    assert not verify_sha256(public, b"message", signature + b"\0")
    downgraded = private_key.sign(b"message", PKCS1v15(), hashes.SHA1())
    assert not verify_sha256(public, b"message", downgraded)


@pytest.mark.parametrize(
    "text", [b"", b"not a key!", b"AAAA", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END", b"\xff"]
)
def test_no_key_is_refused(text: bytes) -> None:
    """Text that is no key is refused by our own error, without its cause's text."""
    for load in (load_private_key, load_public_key):
        with pytest.raises(RsaKeyError) as caught:
            load(text)
        assert caught.value.__suppress_context__


def test_unfit_keys_are_refused(private_key: RSAPrivateKey) -> None:
    """Encrypted, too short, of another kind, or public for private: refused."""
    encrypted = private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    short = generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())
    public_pem = private_key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    for text in (
        encrypted,
        short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        public_pem,
    ):
        with pytest.raises(RsaKeyError):
            load_private_key(text)
    for key in (short.public_key(), curve.public_key()):
        with pytest.raises(RsaKeyError):
            load_public_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

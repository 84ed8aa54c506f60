"""SM2, SM3 and SM4-GCM: the national algorithms (国密) as WeChat Pay uses them.

Rules (reference ``channels.md`` B2):

* SM2 comes from the system's libcrypto (OpenSSL 3): ``cryptography`` has none, and pure
  Python is thirty times slower. Where it lacks SM2, using it is a :class:`SmUnavailable`,
  never an import that fails. SM3 and SM4 are those of ``cryptography``.
* Signatures are ASN.1 DER over SM3 with the identity ``1234567812345678``, which is pinned;
  ciphertexts are ASN.1 in the order C1C3C2.
* A key is parsed once; its memory is OpenSSL's and freed with the object.
"""

import ctypes
import ctypes.util
import weakref
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SM3, Hash

from domain.errors import ConfigurationError

IDENTITY: Final = b"1234567812345678"
_KEY_TYPE: Final = b"SM2"
_LONGEST_PEM: Final = 64 * 1024
_SM4_KEY_BYTES: Final = 16
_TAG_BYTES: Final = 16


class SmUnavailable(ConfigurationError):
    """The libcrypto of this machine has no SM2."""


class SmKeyError(ValueError):
    """A key that cannot be used; the text names the fault and nothing of the key."""


class SmCipherError(ValueError):
    """Something that does not decrypt."""


@cache
def _libcrypto() -> ctypes.CDLL:
    """The system's library with the types of what is called; raises :class:`SmUnavailable`."""
    name = ctypes.util.find_library("crypto")
    if name is None:
        raise SmUnavailable("SM2 needs the system's libcrypto (OpenSSL 3): there is none")
    library = ctypes.CDLL(name)
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    length = ctypes.POINTER(ctypes.c_size_t)
    signatures: dict[str, tuple[object, tuple[object, ...]]] = {
        "BIO_new_mem_buf": (pointer, (text, ctypes.c_int)),
        "BIO_free": (ctypes.c_int, (pointer,)),
        "PEM_read_bio_PrivateKey": (pointer, (pointer, pointer, pointer, text)),
        "PEM_read_bio_PUBKEY": (pointer, (pointer, pointer, pointer, text)),
        "PEM_read_bio_X509": (pointer, (pointer, pointer, pointer, text)),
        "X509_get_pubkey": (pointer, (pointer,)),
        "X509_free": (None, (pointer,)),
        "EVP_PKEY_is_a": (ctypes.c_int, (pointer, text)),
        "EVP_PKEY_free": (None, (pointer,)),
        "EVP_PKEY_CTX_new": (pointer, (pointer, pointer)),
        "EVP_PKEY_CTX_free": (None, (pointer,)),
        "EVP_PKEY_CTX_set1_id": (ctypes.c_int, (pointer, text, ctypes.c_int)),
        "EVP_PKEY_encrypt_init": (ctypes.c_int, (pointer,)),
        "EVP_PKEY_encrypt": (ctypes.c_int, (pointer, text, length, text, size)),
        "EVP_PKEY_decrypt_init": (ctypes.c_int, (pointer,)),
        "EVP_PKEY_decrypt": (ctypes.c_int, (pointer, text, length, text, size)),
        "EVP_MD_CTX_new": (pointer, ()),
        "EVP_MD_CTX_free": (None, (pointer,)),
        "EVP_MD_CTX_set_pkey_ctx": (None, (pointer, pointer)),
        "EVP_sm3": (pointer, ()),
        "EVP_DigestSignInit": (ctypes.c_int, (pointer,) * 5),
        "EVP_DigestSign": (ctypes.c_int, (pointer, text, length, text, size)),
        "EVP_DigestVerifyInit": (ctypes.c_int, (pointer,) * 5),
        "EVP_DigestVerify": (ctypes.c_int, (pointer, text, size, text, size)),
        "ERR_clear_error": (None, ()),
    }
    try:
        for name_of_one, (answer, arguments) in signatures.items():
            function = getattr(library, name_of_one)
            function.restype, function.argtypes = answer, arguments
    except AttributeError as fault:
        raise SmUnavailable(f"SM2 needs OpenSSL 3: libcrypto has no {fault.name}") from None
    return library


class _Key:
    """An SM2 key in OpenSSL's memory."""

    def __init__(self, pem: bytes, *readers: str) -> None:
        library = _libcrypto()
        if not 0 < len(pem) <= _LONGEST_PEM:
            raise SmKeyError("not a key in PEM")
        handle = None
        for reader in readers:
            handle = handle or _read(library, reader, pem)
        library.ERR_clear_error()
        if handle is None:
            raise SmKeyError("not a key in PEM (or it is encrypted)")
        weakref.finalize(self, library.EVP_PKEY_free, handle)
        if not library.EVP_PKEY_is_a(handle, _KEY_TYPE):
            raise SmKeyError("not an SM2 key")
        self._library = library
        self._handle = handle

    def _digest_context(self) -> "_DigestContext":
        return _DigestContext(self._library, self._handle)


class Sm2PrivateKey(_Key):
    """Signs, and opens what was encrypted for it."""

    def __init__(self, pem: bytes) -> None:
        """Raises :class:`SmKeyError` or :class:`SmUnavailable`."""
        super().__init__(pem, "PEM_read_bio_PrivateKey")

    def sign(self, data: bytes) -> bytes:
        """An SM2 signature with SM3, ASN.1 DER."""
        with self._digest_context() as context:
            room = ctypes.c_size_t(128)
            out = ctypes.create_string_buffer(room.value)
            if (
                self._library.EVP_DigestSignInit(
                    context, None, self._library.EVP_sm3(), None, self._handle
                )
                != 1
                or self._library.EVP_DigestSign(context, out, ctypes.byref(room), data, len(data))
                != 1
            ):
                self._library.ERR_clear_error()
                raise SmUnavailable("this machine's libcrypto cannot sign with SM2")
            return out.raw[: room.value]

    def decrypt(self, sealed: bytes) -> bytes:
        """What :meth:`Sm2PublicKey.encrypt` was given; raises :class:`SmCipherError`."""
        return _crypt(self._library, self._handle, "decrypt", sealed)


class Sm2PublicKey(_Key):
    """Verifies, and encrypts; from a public key or a certificate."""

    def __init__(self, pem: bytes) -> None:
        """Raises :class:`SmKeyError` or :class:`SmUnavailable`."""
        super().__init__(pem, "PEM_read_bio_PUBKEY", "PEM_read_bio_X509")

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's over ``data``."""
        with self._digest_context() as context:
            good: bool = (
                self._library.EVP_DigestVerifyInit(
                    context, None, self._library.EVP_sm3(), None, self._handle
                )
                == 1
                and self._library.EVP_DigestVerify(
                    context, signature, len(signature), data, len(data)
                )
                == 1
            )
            self._library.ERR_clear_error()
            return good

    def encrypt(self, data: bytes) -> bytes:
        """ASN.1 in the order C1C3C2; raises :class:`SmCipherError` for an empty text."""
        return _crypt(self._library, self._handle, "encrypt", data)


class _DigestContext:
    """A context for one signature, with the identity set."""

    def __init__(self, library: ctypes.CDLL, key: int) -> None:
        self._library = library
        self._key_context = library.EVP_PKEY_CTX_new(key, None)
        self._context = library.EVP_MD_CTX_new()
        if not self._key_context or not self._context:
            self.__exit__()
            raise MemoryError
        library.EVP_PKEY_CTX_set1_id(self._key_context, IDENTITY, len(IDENTITY))
        library.EVP_MD_CTX_set_pkey_ctx(self._context, self._key_context)

    def __enter__(self) -> int:
        context: int = self._context
        return context

    def __exit__(self, *fault: object) -> None:
        self._library.EVP_MD_CTX_free(self._context)
        self._library.EVP_PKEY_CTX_free(self._key_context)


def _read(library: ctypes.CDLL, reader: str, pem: bytes) -> int | None:
    """The key that ``reader`` finds in ``pem``, out of a certificate too."""
    source = library.BIO_new_mem_buf(pem, len(pem))
    try:
        # a password of none: an encrypted key is refused instead of asked about on a terminal
        found: int | None = getattr(library, reader)(source, None, None, b"")
        if found is None or reader != "PEM_read_bio_X509":
            return found
        key: int | None = library.X509_get_pubkey(found)
        library.X509_free(found)
        return key
    finally:
        library.BIO_free(source)


def _crypt(library: ctypes.CDLL, key: int, operation: str, data: bytes) -> bytes:
    context = library.EVP_PKEY_CTX_new(key, None)
    act = getattr(library, f"EVP_PKEY_{operation}")
    room = ctypes.c_size_t(0)
    try:
        if (
            getattr(library, f"EVP_PKEY_{operation}_init")(context) != 1
            or act(context, None, ctypes.byref(room), data, len(data)) != 1
        ):
            raise SmCipherError(f"SM2 cannot {operation} this")
        out = ctypes.create_string_buffer(room.value)
        if act(context, out, ctypes.byref(room), data, len(data)) != 1:
            raise SmCipherError(f"SM2 cannot {operation} this")
        return out.raw[: room.value]
    finally:
        library.ERR_clear_error()
        library.EVP_PKEY_CTX_free(context)


def sm3(data: bytes) -> bytes:
    """The SM3 digest, 32 bytes."""
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def sm4_gcm_key(secret: bytes) -> bytes:
    """The key that WeChat Pay makes of an APIv3 key: the first 128 bits of its SM3."""
    return sm3(secret)[:_SM4_KEY_BYTES]


def sm4_gcm_seal(key: bytes, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    """Ciphertext with the tag after it."""
    encryptor = Cipher(SM4(key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    return encryptor.update(data) + encryptor.finalize() + encryptor.tag


def sm4_gcm_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """The text; raises ``cryptography.exceptions.InvalidTag`` or ``ValueError``."""
    if len(sealed) < _TAG_BYTES:
        raise ValueError("shorter than its tag")
    cipher = Cipher(SM4(key), GCM(nonce, sealed[-_TAG_BYTES:]))
    decryptor = cipher.decryptor()
    decryptor.authenticate_additional_data(associated)
    return decryptor.update(sealed[:-_TAG_BYTES]) + decryptor.finalize()

"""Alipay's RSA2 signatures, gateway version 2.

Rules (reference ``channels.md`` A1, A5):

* A request signs its parameters sorted by name, without ``sign`` and empty values, not
  URL-encoded. ``sign_type`` is signed too.
* An answer is verified over exactly the bytes received, never over JSON written anew.
  Callers read what :func:`verified_json` returns and nothing else.
* One ``sign``, at the top level. Missing, empty, doubled or misshapen: refused.
* RSA2 alone: another ``sign_type`` on a notification is a downgrade and refused.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from signing.rsa import sign_sha256, verify_sha256

KeyOf = Callable[[str], RSAPublicKey | None]
"""The key of a certificate's serial number, ``None`` for one that is not known."""
ERROR_RESPONSE: Final = "error_response"
SIGN_TYPE: Final = "RSA2"

_NAME = re.compile(rb'[ \t\r\n]*"([A-Za-z0-9_.-]{1,128})"[ \t\r\n]*:[ \t\r\n]*')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TO_BRACE = re.compile(rb'[^"{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}]*+)*+([{}])', re.DOTALL)
"""Up to and with the next brace outside a string."""
_BEGIN = re.compile(rb'\{"([A-Za-z0-9_.-]{1,128})":\{')
_END: Final = b'},"sign":"'
_SIGN = re.compile(rb'\},"sign":"(?:[A-Za-z0-9+/=]++|\\/)*+"\}')
_OPENING = re.compile(rb"[ \t\r\n]*\{")
_SEPARATOR = re.compile(rb"[ \t\r\n]*([,}])")
_CLOSING = re.compile(rb"[ \t\r\n]*")


class AlipaySignatureError(Exception):
    """An answer without one good signature; the text quotes nothing of it."""


def string_to_sign(params: Mapping[str, str]) -> bytes:
    """The UTF-8 string that a request's ``sign`` covers."""
    return _joined(
        [(name, value) for name, value in sorted(params.items()) if value and name != "sign"]
    )


def sign(params: Mapping[str, str], private_key: RSAPrivateKey) -> str:
    """The ``sign`` parameter of a request, base64."""
    return sign_octets(string_to_sign(params), private_key)


def sign_octets(signed: bytes, private_key: RSAPrivateKey) -> str:
    """As :func:`sign`, for who has put the string to sign together."""
    return binascii.b2a_base64(sign_sha256(private_key, signed), newline=False).decode("ascii")


def signed_content(raw: bytes, response_key: str) -> bytes:
    """The bytes that an answer's ``sign`` covers, cut out of the body as received.

    An object with its braces; for an encrypted answer the string with its quotes. Nothing
    is verified: it holds the cut against published answers whose key is not known.

    Raises:
        AlipaySignatureError: not such an answer, or not exactly one non-empty ``sign``.
    """
    members = _top_level(raw)
    _signature(members)
    return _content(members, response_key)


def verified_json(raw: bytes, response_key: str, key_of: KeyOf) -> object:
    """What the signed bytes of an answer say, once verified.

    They are those of ``response_key``, or of ``error_response`` where Alipay answered
    so (whose ``code`` is never a success). ``key_of`` is asked with the answer's
    ``alipay_cert_sn``, ``""`` where it names none.

    Raises:
        AlipaySignatureError: not such an answer, not exactly one ``sign``, a signature
            that does not verify, a certificate that is not known, or both keys at once.
        orjson.JSONDecodeError: they are no JSON.
    """
    usual = _usual(raw)
    if usual is None:
        return orjson.loads(_verified(_any_members(raw), response_key, key_of))
    members, said = usual
    _verified(members, response_key, key_of)
    return said


def _verified(members: Mapping[str, bytes], response_key: str, key_of: KeyOf) -> bytes:
    signature = _signature(members)
    if ERROR_RESPONSE in members:
        if response_key in members and response_key != ERROR_RESPONSE:
            raise AlipaySignatureError("the answer holds a result and an error")
        response_key = ERROR_RESPONSE
    content = _content(members, response_key)
    public_key = key_of(members.get("alipay_cert_sn", b"").strip(b'"').decode("ascii", "replace"))
    if public_key is None:
        raise AlipaySignatureError("the answer names a certificate that is not ours to trust")
    if not verify_sha256(public_key, content, signature):
        raise AlipaySignatureError("the answer's signature does not verify")
    return content


def verify_notification(
    params: Mapping[str, str], public_key: RSAPublicKey, drop_sign_type: bool
) -> bool:
    """Whether a notification, its form decoded once, was signed by Alipay with RSA2.

    The vendor's kits disagree whether an empty value is signed (Java: yes, PHP: no), so
    both readings are tried; a caller treats an empty value as an absent one.

    Args:
        params: every parameter received, each at most once (the caller refuses a form
            that repeats a name).
        public_key: Alipay's.
        drop_sign_type: ``True`` for trade notifications (rule V1: neither ``sign`` nor
            ``sign_type`` is signed), ``False`` for application messages (V2).
    """
    if params.get("sign_type") != SIGN_TYPE:
        return False
    covered = [
        (name, value)
        for name, value in sorted(params.items())
        if name != "sign" and not (drop_sign_type and name == "sign_type")
    ]
    try:
        signature = _base64(params.get("sign", "").encode())
        readings = {_joined(covered), _joined(filter(itemgetter(1), covered))}
    except (AlipaySignatureError, UnicodeEncodeError):
        return False
    return any(verify_sha256(public_key, reading, signature) for reading in readings)


def _joined(pairs: Iterable[tuple[str, str]]) -> bytes:
    return "&".join([f"{name}={value}" for name, value in pairs]).encode()


def _top_level(raw: bytes) -> dict[str, bytes]:
    """The members of the outer object, values as raw bytes: objects and strings alone."""
    usual = _usual(raw)
    return _any_members(raw) if usual is None else usual[0]


def _any_members(raw: bytes) -> dict[str, bytes]:
    """As :func:`_top_level`, for an answer of any form."""
    opening = _OPENING.match(raw)
    if opening is None:
        raise AlipaySignatureError("the answer is not a JSON object")
    members: dict[str, bytes] = {}
    position = opening.end()
    while True:
        found = _NAME.match(raw, position)
        if found is None:
            raise AlipaySignatureError("the answer is malformed")
        name = found[1].decode("ascii")
        if name in members:
            raise AlipaySignatureError("the answer holds a member twice")
        end = _value_end(raw, found.end())
        members[name] = raw[found.end() : end]
        separator = _SEPARATOR.match(raw, end)
        if separator is None:
            raise AlipaySignatureError("the answer is malformed")
        position = separator.end()
        if separator[1] == b"}":
            break
    if _CLOSING.fullmatch(raw, position) is None:
        raise AlipaySignatureError("something follows the answer")
    return members


def _usual(raw: bytes) -> tuple[dict[str, bytes], object] | None:
    """An answer as Alipay nearly always writes it: its members, one object and the sign.

    With them what the object says, to be believed once it is verified. What stands between the
    two is one JSON object, so that they can be nowhere else.
    """
    begin, end = _BEGIN.match(raw), raw.rfind(_END)
    if begin is None or begin[1] == b"sign" or end < 0 or _SIGN.fullmatch(raw, end) is None:
        return None
    content = raw[begin.end() - 1 : end + 1]
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return {begin[1].decode("ascii"): content, "sign": raw[end + len(_END) - 1 : -1]}, said


def _value_end(raw: bytes, start: int) -> int:
    """Where the object or string that begins at ``start`` ends."""
    first = raw[start : start + 1]
    if first == b'"':
        text = _STRING.match(raw, start)
        if text is None:
            raise AlipaySignatureError("the answer is cut short")
        return text.end()
    if first != b"{":
        raise AlipaySignatureError("a member of the answer is neither object nor string")
    depth, position = 1, start + 1
    while depth:
        brace = _TO_BRACE.match(raw, position)
        if brace is None:
            raise AlipaySignatureError("the answer is cut short")
        depth += 1 if brace[1] == b"{" else -1
        position = brace.end()
    return position


def _content(members: Mapping[str, bytes], response_key: str) -> bytes:
    content = members.get(response_key)
    if content is None or response_key == "sign":
        raise AlipaySignatureError("the answer is not to this call")
    return content


def _signature(members: Mapping[str, bytes]) -> bytes:
    quoted = members.get("sign")
    if quoted is None or quoted[:1] != b'"':
        raise AlipaySignatureError("the answer has no sign")
    return _base64(quoted[1:-1].replace(b"\\/", b"/"))


def _base64(text: bytes) -> bytes:
    if not text:
        raise AlipaySignatureError("the sign is empty")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise AlipaySignatureError("the sign is not base64") from None

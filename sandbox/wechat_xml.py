"""APIv2's XML and signatures, from the vendor's side (reference ``channels.md`` B1).

Rules: a request is one flat ``<xml>`` of elements with text or CDATA; a declaration
before it is read over, anything else (DTD, comment, processing instruction, attribute,
nesting, an element twice) is refused, so no entity is ever defined. The signature covers
every non-empty value but ``sign``, sorted, ``k=v`` joined with ``&``, then ``&key=``;
MD5 or HMAC-SHA256 of that, upper-case hex.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

MAX_FIELDS: Final = 64
MD5: Final = "MD5"
HMAC_SHA256: Final = "HMAC-SHA256"

_DECLARATION = re.compile(r"<\?xml[^<>?]*\?>")
_ELEMENT = re.compile(
    r"\s*<([A-Za-z_][A-Za-z0-9_]*)"
    r"(?:\s*/>|>((?:<!\[CDATA\[(?:(?!\]\]>).)*\]\]>|[^<])*)</\1>)",
    re.DOTALL,
)
_PIECE = re.compile(r"<!\[CDATA\[((?:(?!\]\]>).)*)\]\]>|([^<]+)", re.DOTALL)
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|([a-z]{1,8}));")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class XmlError(ValueError):
    """Not the XML that the interface takes; says nothing of its content."""


def read_xml(raw: bytes) -> dict[str, str]:
    """Names and values; raises :class:`XmlError`."""
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise XmlError("not UTF-8") from None
    declaration = _DECLARATION.match(text)
    if declaration is not None:
        text = text[declaration.end() :].lstrip()
    if not (text.startswith("<xml>") and text.endswith("</xml>")):
        raise XmlError("not an xml element")
    text, at, found = text[len("<xml>") : -len("</xml>")], 0, dict[str, str]()
    while text[at:].strip():
        element = _ELEMENT.match(text, at)
        if element is None or element[1] in found or len(found) >= MAX_FIELDS:
            raise XmlError("an element that cannot be read")
        found[element[1]] = _content(element[2] or "")
        at = element.end()
    return found


def _content(raw: str) -> str:
    if "<" not in raw:
        return _plain(raw)
    pieces = _PIECE.findall(raw)
    return "".join(_plain(plain) if plain else cdata for cdata, plain in pieces)


def _plain(text: str) -> str:
    if "&" not in text:
        return text
    if "&" in _ENTITY.sub("", text):
        raise XmlError("an entity that is not there")
    return _ENTITY.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name is not None:
        if name not in _NAMED:
            raise XmlError("an entity that is not there")
        return _NAMED[name]
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if not 0x20 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise XmlError("a character that is none")
    return chr(code)


def write_xml(values: Mapping[str, str]) -> bytes:
    """As the vendor writes: numbers plain, text in CDATA (which ``]]>`` cannot leave)."""
    parts = ["<xml>"]
    for name, value in values.items():
        if value.isascii() and value.isdigit() and len(value) < 10:
            parts.append(f"<{name}>{value}</{name}>\n")
        else:
            cdata = value.replace("]]>", "]]]]><![CDATA[>")
            parts.append(f"<{name}><![CDATA[{cdata}]]></{name}>\n")
    return "".join([*parts, "</xml>"]).encode()


def sign_v2(values: Mapping[str, str], key: str, sign_type: str) -> str:
    """The signature over everything but ``sign`` and what is empty."""
    text = "&".join(f"{k}={v}" for k, v in sorted(values.items()) if v and k != "sign")
    data = f"{text}&key={key}".encode()
    if sign_type == HMAC_SHA256:
        return hmac.new(key.encode(), data, hashlib.sha256).hexdigest().upper()
    # MD5 is what the vendor's APIv2 fixes as its default; it guards nothing of ours.
    return hashlib.md5(data, usedforsecurity=False).hexdigest().upper()

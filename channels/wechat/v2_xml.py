"""The XML of APIv2: one flat element, read without DTDs and written without injections.

Rules (reference ``channels.md`` B1, hole 1): a document type, an entity or anything external
is refused, and so is a body over a bound, one that is not UTF-8, a nested or a repeated
element. Values are taken as they are, white space included: they are signed. What is written
escapes every value, whatever it holds, and names come from our own tables alone.
"""

import re
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

MOST_BYTES: Final = 256 * 1024
_MOST_FIELDS: Final = 512
_ROOTS: Final = frozenset({"xml", "root"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_XML: Final = re.compile("[^\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


class XmlRefused(ValueError):
    """A body that is not read; the text quotes nothing of it."""


def read_fields(body: bytes) -> dict[str, str]:
    """The elements of a flat document by name.

    Raises:
        XmlRefused: it is no such document, or holds what is never read.
    """
    if len(body) > MOST_BYTES:
        raise XmlRefused("the XML is too long")
    try:
        root = fromstring(
            body.decode(), forbid_dtd=True, forbid_entities=True, forbid_external=True
        )
    except (ParseError, DefusedXmlException, UnicodeDecodeError, ValueError):
        raise XmlRefused("not XML, or with a document type or entities") from None
    if root.tag not in _ROOTS or len(root) > _MOST_FIELDS:
        raise XmlRefused("not a flat XML document")
    fields: dict[str, str] = {}
    for element in root:
        if len(element) or element.attrib or element.tag in fields:
            raise XmlRefused("an element is nested, repeated or has attributes")
        fields[element.tag] = element.text or ""
    return fields


def write_fields(fields: Mapping[str, str]) -> bytes:
    """A document of ``fields``; what XML cannot hold becomes a blank (see :func:`writable`)."""
    parts = ["<xml>"]
    for name, value in fields.items():
        if _NAME.fullmatch(name) is None:
            raise XmlRefused("not a name of ours")
        parts.append(f"<{name}>{escape(value)}</{name}>")
    parts.append("</xml>")
    return "".join(parts).encode()


def writable(text: str) -> str:
    """``text`` as it comes back out of XML: controls and lone surrogates are blanks.

    A signature is made over this, since a reader normalises what it would not keep.
    """
    return _NOT_IN_XML.sub(" ", text)

"""APIv2's XML: hostile documents are refused, and nothing that is written can be injected."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.wechat.v2_xml import (
    MOST_BYTES,
    XmlRefused,
    read_fields,
    writable,
    write_fields,
)
from signing.wechat_v2 import HMAC_SHA256, sign
from tests.conftest import samples_folder

BILLION_LAUGHS = b"""<!DOCTYPE lolz [<!ENTITY lol "lol">
<!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]><xml><a>&lol2;</a></xml>"""

HOSTILE = {
    "a file by an entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml><a>&x;</a></xml>',
    "an address by an entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1/">]><xml><a>&x;</a></xml>',
    "a document type elsewhere": b'<!DOCTYPE xml SYSTEM "http://127.0.0.1/x.dtd"><xml><a>1</a></xml>',
    "a parameter entity": b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/">%x;]><xml><a>1</a></xml>',
    "an empty document type": b"<!DOCTYPE xml><xml><a>1</a></xml>",
    "billion laughs": BILLION_LAUGHS,
    "an entity that nobody declared": b"<xml><a>&nbsp;</a></xml>",
    "a nested element": b"<xml><a><b>1</b></a></xml>",
    "an element twice": b"<xml><a>1</a><a>2</a></xml>",
    "attributes": b'<xml><a b="1">1</a></xml>',
    "another root": b"<foo><a>1</a></foo>",
    "two roots": b"<xml><a>1</a></xml><xml><a>2</a></xml>",
    "not UTF-8": "<xml><a>支付</a></xml>".encode("gbk"),
    "UTF-16": "<xml><a>1</a></xml>".encode("utf-16"),
    "not XML": b"return_code=SUCCESS",
    "nothing": b"",
    "too long": b"<xml><a>" + b"x" * MOST_BYTES + b"</a></xml>",
    "too many": b"<xml>" + b"".join(b"<a%d/>" % n for n in range(600)) + b"</xml>",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_is_never_read(body: bytes) -> None:
    """Hole 1: no document type, no entity, nothing external, no ambiguity."""
    with pytest.raises(XmlRefused):
        read_fields(body)


@pytest.mark.samples
@pytest.mark.parametrize(
    "name",
    ["v2_invalid.xxe_injection", "v2_invalid.bad_entity", "v2_fragment_injection"],
)
def test_the_hostile_samples_are_refused(name: str) -> None:
    with pytest.raises(XmlRefused):
        read_fields((samples_folder() / "wechat" / "notify" / f"{name}.sample.xml").read_bytes())


@pytest.mark.samples
def test_every_other_sample_is_read() -> None:
    """Answers and notifications as they are published, CDATA and plain."""
    folder = samples_folder() / "wechat"
    hostile = {"v2_fragment_injection.sample.xml"}
    paths: list[Path] = [
        path
        for path in (*folder.glob("responses/*.xml"), *folder.glob("notify/*.xml"))
        if "invalid" not in path.name and path.name not in hostile
    ]
    assert len(paths) > 15
    for path in paths:
        if path.name == "v2_unifiedorder.request.xml":
            continue
        assert read_fields(path.read_bytes()), path.name


def test_cdata_and_text_are_the_same() -> None:
    plain = read_fields(b"<xml><a>1 &lt; 2</a><b/></xml>")
    assert plain == read_fields(b"<xml><a><![CDATA[1 < 2]]></a><b></b></xml>")
    assert plain == {"a": "1 < 2", "b": ""}


def test_white_space_is_kept() -> None:
    """It is signed like any other character."""
    assert read_fields(b"<xml>\n <a> 1 </a>\n</xml>") == {"a": " 1 "}


@pytest.mark.parametrize(
    "value",
    ["]]>", "<a>", "</body><total_fee>1</total_fee><body>", "&x;", "]]><x>1</x><![CDATA[", "\"'"],
)
def test_a_value_never_becomes_an_element(value: str) -> None:
    """The cashier's text cannot write a second amount."""
    body = write_fields({"body": value, "total_fee": "1990"})
    assert read_fields(body) == {"body": value, "total_fee": "1990"}
    assert [one.tag for one in ElementTree.fromstring(body)] == ["body", "total_fee"]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.text(max_size=50), max_size=8
    )
)
def test_what_is_written_comes_back_as_it_was_signed(fields: dict[str, str]) -> None:
    """Whatever a text holds, both ends sign the same characters."""
    clean = {name: writable(value) for name, value in fields.items()}
    heard = read_fields(write_fields(clean))
    assert heard == clean
    assert sign(heard, b"key", HMAC_SHA256) == sign(clean, b"key", HMAC_SHA256)


def test_names_are_ours_alone() -> None:
    with pytest.raises(XmlRefused):
        write_fields({"a><b": "1"})

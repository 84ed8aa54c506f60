"""Public messages that nobody here wrote (POSGATE_SAMPLES, default ../shared/samples)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pos_protocol.codec import CodecError, decode, encode
from pos_protocol.describe import describe
from pos_protocol.dialect import Dialect, opaque
from pos_protocol.spec import Size

pytestmark = pytest.mark.samples

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("POSGATE_SAMPLES", ROOT.parent / "shared" / "samples"))
FILE = FOLDER / "pos_messages.json"
SAMPLES: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
FULL = [sample for sample in SAMPLES if sample["status"] == "full"]
OTHERS = [sample for sample in SAMPLES if sample["status"] != "full"]
VENDORS = Dialect({47: opaque(47, Size.LLL)})
HIDDEN = {"2", "35", "52", "59", "62"}


def name(sample: dict[str, Any]) -> str:
    return str(sample["name"])


def body_of(sample: dict[str, Any]) -> bytes:
    """From the MTI on, cut by what the sample itself says about its envelope."""
    said = sample["decoded"]
    raw = bytes.fromhex(sample["hex"])
    before = 2 * ("len" in said)
    before += sum(len(said.get(part, "")) // 2 for part in ("tpdu", "skipped", "header"))
    return raw[before:]


def as_published(number: str, value: str | bytes, expected: str) -> str:
    if isinstance(value, bytes):
        text = value.hex().upper()
        return f"hex:{text}" if expected.startswith("hex:") else text
    return value


@pytest.mark.skipif(not FILE.exists(), reason="the public samples are not here")
def test_there_are_samples_to_read() -> None:
    """The lists above are not empty by mistake."""
    assert len(FULL) >= 20
    assert len(OTHERS) >= 3


@pytest.mark.parametrize("sample", FULL, ids=name)
def test_a_full_sample_decodes_to_its_fields_and_back(sample: dict[str, Any]) -> None:
    payload = bytes(11) + body_of(sample)
    message = decode(payload, VENDORS)
    expected = sample["decoded"]["fields"]
    got = {
        str(number): as_published(str(number), value, expected.get(str(number), ""))
        for number, value in message.fields.items()
    }
    assert got == expected
    assert message.mti == sample["decoded"]["mti"]
    assert encode(message, VENDORS) == payload


@pytest.mark.parametrize("sample", [s for s in FULL if "tpdu" in s["decoded"]], ids=name)
def test_a_full_sample_is_read_with_its_own_envelope(sample: dict[str, Any]) -> None:
    """With a header, without one, behind a routing block: as it would come over a socket."""
    said = sample["decoded"]
    payload = bytes.fromhex(sample["hex"])[2 * ("len" in said) :]
    message = decode(payload, VENDORS)
    assert message.mti == said["mti"]
    assert message.tpdu.hex().upper() == said["tpdu"]
    assert message.header.hex().upper() == said.get("skipped", "") + said.get("header", "")
    assert encode(message, VENDORS) == payload


@pytest.mark.parametrize("sample", FULL, ids=name)
def test_a_full_sample_is_described_whatever_its_envelope(sample: dict[str, Any]) -> None:
    said = sample["decoded"]
    answer = describe(sample["hex"]).as_dict()
    assert answer["reencodes"] is True
    assert "problem" not in answer
    assert [answer[key] for key in ("tpdu", "header", "mti")] == [
        said.get(key, "") for key in ("tpdu", "header", "mti")
    ]
    fields = answer["fields"]
    assert isinstance(fields, dict)
    shown = {number: value for number, value in fields.items() if number not in HIDDEN}
    expected = {
        number: value.removeprefix("hex:")
        for number, value in said["fields"].items()
        if number not in HIDDEN
    }
    assert shown == expected


@pytest.mark.parametrize("sample", OTHERS, ids=name)
def test_a_broken_sample_is_diagnosed(sample: dict[str, Any]) -> None:
    """Odd hex is named as such; a shifted message is refused by field."""
    problem = describe(sample["hex"]).problem
    if sample["status"] == "fails":
        assert problem.startswith("odd number of hex digits")
    else:
        assert problem.startswith("field ")
        with pytest.raises(CodecError):
            decode(bytes.fromhex(sample["hex"]))

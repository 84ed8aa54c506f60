"""Nothing sensitive leaves through a log line, whatever the line is made of."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import (
    adopt_library_logs,
    drop_forbidden,
    make_log,
    mask_text,
    mask_values,
    render_json,
)
from pos_protocol.card import luhn_valid

PAN = "9900000000000010"
MASKED = "990000******0010"
PANS = [PAN, "9900000000000000044", "990000000000003"[:13], "4000000000006"]


def line(**event: Any) -> dict[str, Any]:
    """One event as the JSON dress writes it."""
    rendered = render_json(None, "info", event)
    assert b"\n" not in rendered
    found: dict[str, Any] = json.loads(rendered)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "{}", "pan={}", "PAN{}", "{}D3012", "{}=30122010000", "x\n{}", "\t{}", "\\n{}", "卡{}号",
        "{},{}", "[{}]", "'{}'", "card {} declined", "é{}", "\u2028{}", "%B{}^NAME", ";{}=3012?",
        'quote"{}"', "{}\x00",
    ],
)  # fmt: skip
def test_a_card_number_is_masked_wherever_it_stands(text: str) -> None:
    """In free text, beside letters, after escapes; as JSON that still parses."""
    full = text.replace("{}", PAN)
    assert line(event=full)["event"] == text.replace("{}", MASKED)
    assert mask_text(full) == text.replace("{}", MASKED)
    assert mask_values(None, "", {"event": full}) == {"event": text.replace("{}", MASKED)}


@pytest.mark.parametrize("length", range(13, 20))
def test_every_length_of_card(length: int) -> None:
    """Thirteen to nineteen digits: first six and last four stay."""
    body = "99" + "0" * (length - 3)
    pan = next(f"{body}{digit}" for digit in range(10) if luhn_valid(f"{body}{digit}"))
    shown = mask_text(pan)
    assert shown == pan[:6] + "*" * (length - 10) + pan[-4:]


@pytest.mark.parametrize("wrap", [int, lambda pan: [pan], lambda pan: {"a": {"b": pan}},
                                  lambda pan: {pan: 1}, lambda pan: (int(pan),), str.encode,
                                  Path, lambda pan: {pan}, ValueError])  # fmt: skip
def test_a_card_number_in_any_value_is_masked(wrap: Any) -> None:
    """Numbers, lists, mappings, bytes, exceptions, whatever has a text."""
    rendered = render_json(None, "info", {"event": "e", "x": wrap(PAN)})
    assert PAN.encode() not in rendered
    assert MASKED.encode() in rendered
    json.loads(rendered)
    pretty = mask_values(None, "info", {"event": "e", "x": wrap(PAN)})
    assert PAN not in str(pretty)


def test_a_number_that_is_no_card_stays_a_number() -> None:
    """Times in ms and amounts keep type and value."""
    event = {"at_ms": 1_795_320_000_001, "amount_fen": 999_999_999_999, "n": 1.5, "ok": True}
    assert line(**event, text=PAN) == {**event, "text": MASKED}


@pytest.mark.parametrize(
    "name",
    ["pan", "track", "track1", "track2", "track3", "pin", "pin_block", "key", "keys", "tmk",
     "secret", "auth_code", "icc_data", "signature", "authorization", "password", "mac_key",
     "private_key"],
)  # fmt: skip
def test_a_name_that_can_only_hold_a_secret_is_dropped(name: str) -> None:
    event = drop_forbidden(None, "", {"event": "e", name: "the value", "kept": "k"})
    assert event == {"event": "e", name: "[dropped]", "kept": "k"}


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
        | st.lists(st.text(), max_size=2),
    )
)  # fmt: skip
def test_any_event_is_one_line_of_json(event: dict[str, Any]) -> None:
    """Integers of any size, lone surrogates, control characters, NaN."""
    rendered = render_json(None, "info", dict(event))
    assert b"\n" not in rendered
    json.loads(rendered)


@given(st.text(max_size=10), st.sampled_from(PANS), st.text(max_size=10))
def test_no_text_around_a_card_number_hides_it(before: str, pan: str, after: str) -> None:
    """Unless digits make it another number."""
    if before[-1:].isdecimal() or after[:1].isdecimal() or not luhn_valid(pan):
        return
    rendered = render_json(None, "info", {"event": before + pan + after})
    assert pan.encode() not in rendered


@pytest.fixture
def errors_file(tmp_path: Path) -> Path:
    """What stands for standard error."""
    return tmp_path / "stderr"


@contextlib.contextmanager
def log_to(path: Path, level: str, dress: str) -> Iterator[Any]:
    """A real log that writes there."""
    with path.open("w") as file:
        with contextlib.redirect_stderr(file):
            log = make_log(level, dress)
        yield log


def test_a_real_log_masks_exceptions(errors_file: Path) -> None:
    """A card number in a fault's message, in its traceback and beside a new line."""
    with log_to(errors_file, "info", "json") as log:
        _fail_loudly(log)
    text = errors_file.read_text()
    assert PAN not in text
    written = json.loads(text)
    assert written["level"] == "error"
    assert "ValueError" in written["exception"]
    assert written["detail"] == MASKED


def _fail_loudly(log: Any) -> None:
    try:
        raise ValueError(f"bad card\n{PAN}")
    except ValueError:
        log.exception("fault", detail=PAN, secret="the value", nested={"a": PAN})


def test_the_pretty_dress_masks_too(errors_file: Path) -> None:
    with log_to(errors_file, "info", "pretty") as log:
        _fail_loudly(log)
    text = errors_file.read_text()
    assert PAN not in text
    assert "the value" not in text
    assert MASKED in text


def test_a_level_below_the_configured_one_is_not_written(errors_file: Path) -> None:
    with log_to(errors_file, "warning", "json") as log:
        log.info("quiet")
        log.warning("loud")
    assert [json.loads(one)["event"] for one in errors_file.read_text().splitlines()] == ["loud"]


def test_a_log_that_cannot_be_written_breaks_nothing() -> None:
    """A full disk does not turn a paid sale into an error."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="space"):
        full.write(b"a line")
    with log_to(Path("/dev/full"), "info", "json") as log:
        said = log.info("a line")
    assert said is None, "and nothing was raised"


def test_what_a_library_says_comes_in_our_dress(errors_file: Path) -> None:
    """asyncio's and aiohttp's words: one JSON line each, without a request's own bytes."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    fault = ValueError(f"raw bytes {PAN} secret-token")
    try:
        with log_to(errors_file, "info", "json") as log:
            adopt_library_logs(log)
            logging.getLogger("aiohttp.server").error("Error %s", "secret-token", exc_info=fault)
            logging.getLogger("asyncio").info("chatter")
            structlog.get_logger().warning("store_connection_lost", error="X", secret="token")
    finally:
        root.handlers[:], root.level = before[0], before[1]
        structlog.reset_defaults()
    library, store = [json.loads(one) for one in errors_file.read_text().splitlines()]
    assert (library["library"], library["fault"]) == ("aiohttp.server", "ValueError")
    assert (store["event"], store["level"], store["secret"]) == (
        "store_connection_lost", "warning", "[dropped]",
    )  # fmt: skip
    assert "secret-token" not in errors_file.read_text()

"""A till's day from a file: what is checked before, what is told after."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.terminal_script import read_script
from pos_protocol.fields.original import parse_original
from pos_protocol.fields.totals import parse_totals
from pos_protocol.fields.upload import parse_lines
from pos_protocol.transactions import TransactionKind
from tests.support.command_line import At, caller
from tests.support.pos_host import AUTH_CODE, PosHost, Turn, otherwise

K = TransactionKind
PAN = "9900000000000010"
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "day.yaml"


@pytest.fixture
def host() -> Iterator[PosHost]:
    """An approving host."""
    with PosHost() as it:
        yield it


@pytest.fixture
def at(host: PosHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """A terminal of that host."""
    return caller(host, tmp_path, monkeypatch)


def day(folder: Path, text: str) -> str:
    """A script file."""
    (folder / "day.yaml").write_text(text)
    return "day.yaml"


def test_a_day_knows_its_cards_and_codes(at: At, host: PosHost, tmp_path: Path) -> None:
    """No step repeats a card, an authorisation code or a trace; all of it is in memory."""
    host.totals = lambda said: otherwise(said, 1)
    script = f"""
        - sign-in
        - preauth: {{amount: 50000, pan: {PAN}, pin: 123456, as: room}}
        - sale: {{amount: 100, pan: {PAN}, pin: 012345, as: coffee}}
        - complete: {{of: room, amount: 42000}}
        - void: {{of: coffee}}
        - settle
        """
    rows = at("run", day(tmp_path, script))
    assert [row["transaction"] for row in rows] == [
        "sign-in", "preauth", "sale", "complete", "void", "settle",
    ]  # fmt: skip
    assert all(row["agrees"] for row in rows)
    completion = host.last(K.COMPLETION)
    assert (completion.text(38), completion.text(35)[:16]) == (AUTH_CODE, PAN)
    assert parse_original(completion.text(61)).trace == rows[1]["trace"]
    assert parse_original(host.last(K.VOID).text(61)).trace == rows[2]["trace"]
    assert [line.pan for line in parse_lines(host.last(K.UPLOAD).text(48))] == [PAN] * 3


def test_the_option_of_the_group_does_the_same(at: At, host: PosHost, tmp_path: Path) -> None:
    """``posgate terminal --script FILE``."""
    assert at("--script", day(tmp_path, "- sign-in\n- echo\n"))[1]["agrees"]
    assert host.kinds() == [K.SIGN_IN, K.ECHO]


def test_what_comes_out_otherwise_is_told_and_the_day_goes_on(
    at: At, host: PosHost, tmp_path: Path
) -> None:
    """Exit status 1; silence, a wrong MAC and other totals are told as what they are."""
    host.script(K.SALE, Turn(code="51"), Turn(code="51"), Turn(hangs_up=True), Turn(wrong_mac=True))
    sale = f"- sale: {{amount: 100, pan: {PAN}"
    script = f"""
- sign-in
{sale}, expect: 51}}
{sale}}}
{sale}, expect: silence}}
{sale}}}
- void: {{trace: 77, amount: 1, reference: 123456789012}}
- settle: {{totals: different}}
- wait: {{seconds: 0.01}}
- echo
"""
    rows = at("run", day(tmp_path, script), status=1)
    assert [(row["line"], row["actual"], row["agrees"]) for row in rows] == [
        (2, "00", True),
        (3, "51", True),
        (4, "51", False),
        (5, "silence", True),
        (6, "bad_mac", False),
        (7, "00", True),
        (8, "00", False),
        (10, "00", True),
    ]
    assert "equal" in rows[6]["detail"]
    assert host.kinds().count(K.REVERSAL) == 2
    table = at("run", day(tmp_path, "- echo\n- balance: {pan: 9900000000000010, expect: 51}\n"),
               status=1, as_json=False).stdout  # fmt: skip
    assert "differs" in table and "2 steps, 1 otherwise than expected" in table


def test_a_step_that_cannot_be_said_is_told(at: At, host: PosHost, tmp_path: Path) -> None:
    """There is nothing to void, and nothing is sent for it."""
    rows = at("run", day(tmp_path, "- sign-in\n- void\n- echo\n"), status=1)
    assert "no such transaction" in rows[1]["detail"]
    assert host.kinds() == [K.SIGN_IN, K.ECHO]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- sael: {amount: 1}", "sael"),
        ("- sale", "it needs amount, pan"),
        ("- sale: {amount: 1, pan: 99, colour: red}", "colour"),
        ("- sale: {amount: one, pan: 99}", "fen"),
        ("- sale: {amount: 0, pan: 99}", "from 1"),
        ("- sale: {amount: 1, pan: 99, chip: perhaps}", "true or false"),
        ("- sale: {amount: 1, amount: 2, pan: 99}", "twice"),
        ("- sale: {amount: [1], pan: 99}", "one value"),
        ("- sale: 5", "mapping"),
        ("- {sale: {}, void: {}}", "a step is a name"),
        ("- void: {of: nobody}", "nobody"),
        ("- settle: {totals: perhaps}", "equal, different"),
        ("- settle: {pan: 1}", "pan"),
        ("- wait: {seconds: 1e9}", "seconds"),
        ("- wait: {seconds: 99999}", "seconds"),
        ("- download: {kind: nonsense}", "applications"),
    ],
)
def test_a_step_that_cannot_be_is_named_with_its_line(
    at: At, host: PosHost, tmp_path: Path, text: str, words: str
) -> None:
    """All faults at once, before anything is sent; exit status 2."""
    said = at("run", day(tmp_path, f"- echo\n\n{text}\n- nosuch\n"), status=2).stderr
    assert "day.yaml:3: " in said and words in said
    assert "day.yaml:4: nosuch" in said
    assert not host.heard


@pytest.mark.parametrize("text", ["", "{}", "- [", "x: 1", "- a\n b", "[" * 1500, "- *nobody"])
def test_a_file_that_is_no_script_is_refused(at: At, tmp_path: Path, text: str) -> None:
    assert "day.yaml" in at("run", day(tmp_path, text), status=2).stderr
    (tmp_path / "day.yaml").write_bytes(b"- \xff")
    assert "UTF-8" in at("run", "day.yaml", status=2).stderr
    assert "nosuch.yaml" in at("run", "nosuch.yaml", status=2).stderr


def test_the_example_of_the_documents_is_a_script() -> None:
    """Every step is one that there is (it is played against the demo elsewhere)."""
    steps = read_script(EXAMPLE)
    assert {"sign-in", "sale", "void", "refund", "complete", "settle"} <= {s.name for s in steps}


def test_totals_count_what_a_day_did(at: At, host: PosHost, tmp_path: Path) -> None:
    """A reversal and a refusal count nothing."""
    host.script(K.SALE, Turn(), Turn(code="51"))
    sale = f"- sale: {{amount: 100, pan: {PAN}"
    at("run", day(tmp_path, f"- sign-in\n{sale}}}\n{sale}, expect: 51}}\n{sale}}}\n- reverse\n"
                            "- settle: {totals: equal}\n"))  # fmt: skip
    totals = parse_totals(host.last(K.SETTLEMENT).text(48)).domestic
    assert (totals.debit_fen, totals.debit_count, totals.credit_count) == (100, 1, 0)

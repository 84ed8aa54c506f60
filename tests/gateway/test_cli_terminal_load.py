"""Many sales from many terminals: counted right, reversed right, no number used twice."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gateway.cli.terminal_given import Given
from gateway.cli.terminal_load import Load, Tally
from gateway.cli.terminal_place import At as Place
from gateway.cli.terminal_till import Till
from gateway.cli.terminal_transactions import SELLING
from pos_protocol.fields.totals import parse_totals
from pos_protocol.transactions import TransactionKind
from tests.support.command_line import At, caller, state_of
from tests.support.pos_host import MERCHANT_ID, TMK, PosHost, Turn

K = TransactionKind
SALE = ("sale", "--amount", "100", "--pan", "9900000000000010")


@pytest.fixture
def host() -> Iterator[PosHost]:
    """An approving host."""
    with PosHost() as it:
        yield it


@pytest.fixture
def at(host: PosHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """Terminals of that host."""
    return caller(host, tmp_path, monkeypatch)


def test_sales_from_several_terminals(at: At, host: PosHost, tmp_path: Path) -> None:
    """Numbers that follow the first; each signs in; every sale has its own number."""
    row = at(*SALE, "--count", "30", "--terminals", "3")
    assert (row["terminals"], row["sales"], row["approved"]) == (3, 30, 30)
    assert row["p99_ms"] >= row["p50_ms"] > 0
    sold = Counter(one.text(41) for one in host.of(K.SALE))
    assert set(sold) <= {"99000001", "99000002", "99000003"} and sold.total() == 30
    assert len({(one.text(41), one.text(11)) for one in host.of(K.SALE)}) == 30
    assert all(one.mac_is_right for one in host.heard)
    count = len(state_of(tmp_path, "99000002")["journal"])
    assert count == sold["99000002"]


def test_a_load_can_be_settled(at: At, host: PosHost) -> None:
    """Its journal is that of any other sale."""
    at(*SALE, "--count", "5")
    assert at("settle")["totals"] == "equal"
    totals = parse_totals(host.last(K.SETTLEMENT).text(48)).domestic
    assert (totals.debit_fen, totals.debit_count) == (500, 5)


def test_what_goes_wrong_is_counted_and_reversed(at: At, host: PosHost) -> None:
    """Declined, silent, not believed: each in its place; exit status 1."""
    host.script(K.SALE, Turn(code="51"), Turn(hangs_up=True), Turn(wrong_mac=True),
                Turn(hangs_up=True))  # fmt: skip
    row = at(*SALE, "--count", "6", status=1)
    assert row["declined"] == {"51": 1}
    assert (row["approved"], row["unanswered"], row["faults"]) == (2, 2, 1)
    assert (row["reversed"], row["left_open"], row["not_sent"]) == (3, 0, 0)
    assert host.kinds().count(K.REVERSAL) == 3


def test_the_last_sale_is_reversed_too(at: At, host: PosHost) -> None:
    host.script(K.SALE, Turn(), Turn(hangs_up=True))
    row = at(*SALE, "--count", "2", status=1)
    assert (row["unanswered"], row["reversed"], row["left_open"]) == (1, 1, 0)


def test_what_cannot_be_reversed_is_told(at: At, host: PosHost, tmp_path: Path) -> None:
    """No sale goes out before it; the line stays for the next call."""
    host.script(K.SALE, Turn(hangs_up=True))
    host.script(K.REVERSAL, *[Turn(code="96")] * 100)
    row = at(*SALE, "--count", "3", status=1)
    assert (row["unanswered"], row["not_sent"], row["left_open"]) == (1, 2, 1)
    assert state_of(tmp_path)["journal"][-1]["state"] == "sent"


def test_a_terminal_that_cannot_sign_in_stops_it(at: At, host: PosHost) -> None:
    host.script(K.SIGN_IN, Turn(code="97"))
    said = at(*SALE, "--count", "3", "--terminals", "2", status=1).stderr
    assert "97" in said and "99000001" in said
    assert K.SALE not in host.kinds()


def test_an_interrupted_load_uses_no_number_twice(
    host: PosHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle: the file is ahead of every number that may have been sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmk.hex").write_text(TMK.hex())
    place = Place(port=host.port, merchant_id=MERCHANT_ID, terminal_id="99000001",
                  tmk="file:tmk.hex").place()  # fmt: skip
    till = Till(place, keeps_each=False)
    kept = []
    monkeypatch.setattr(till, "write", lambda **ahead: kept.append((till.terminal.trace, ahead)))
    given = Given(amount=100, pan="9900000000000010")
    asyncio.run(Load([till], SELLING["sale"], given, count=4, rate=0).run())
    (before, ahead), (after, _) = kept
    assert before + ahead["traces_ahead"] >= after


def test_a_rate_spreads_the_sales(at: At) -> None:
    """Five at 50 a second take four intervals."""
    row = at(*SALE, "--count", "5", "--rate", "50")
    assert row["seconds"] >= 0.08


def test_terminals_of_an_info_file(at: At, host: PosHost, tmp_path: Path) -> None:
    """Its first ones, or those from the named one on; never more than it has."""
    terminals = [{"terminal_id": f"9900001{number}", "tmk": TMK.hex(), "key_scheme": "3des",
                  "mac": "cup-ecb", "options": {"f60_digits": "13"}} for number in range(4)]  # fmt: skip
    pos = {"host": "127.0.0.1", "port": host.port, "merchant_id": MERCHANT_ID,
           "terminals": terminals}  # fmt: skip
    (tmp_path / "demo.json").write_bytes(orjson.dumps({"pos": pos}))
    info = ("--terminal-id", "99000011", "--info", "demo.json")
    at(*SALE, "--count", "9", "--terminals", "3", *info)
    assert {one.text(41) for one in host.of(K.SIGN_IN)} == {"99000011", "99000012", "99000013"}
    assert "not 4" in at(*SALE, "--count", "9", "--terminals", "4", *info, status=2).stderr
    said = at("echo", "--info", "demo.json", "--terminal-id", "99999999", status=2).stderr
    assert "no terminal 99999999" in said


@pytest.mark.parametrize(
    "words",
    [("--count", "2000000"), ("--terminals", "2", "--count", "2", "--state", "x.json"),
     ("--terminals", "3", "--count", "5", "--terminal-id", "ABCDEFGH"),
     ("--terminals", "3", "--count", "5", "--terminal-id", "ABCDEF99")],
)  # fmt: skip
def test_a_load_that_cannot_be(at: At, host: PosHost, words: tuple[str, ...]) -> None:
    assert at(*SALE, *words, status=2).stderr.startswith("posgate: ")
    assert not host.heard


def test_percentiles_are_of_what_was_answered() -> None:
    """The value that a share of the answers took at most; nothing for nobody."""
    tally = Tally(answered_ms=[float(number) for number in range(1, 101)])
    assert (tally.percentile_ms(0.5), tally.percentile_ms(0.99)) == (51.0, 100.0)
    assert Tally().percentile_ms(0.5) == 0.0

"""The fuzzer, in small pieces that run side by side, and whether it would find anything.

``make fuzz`` is the long run; this is what every ``make test`` does.
"""

import time
from collections.abc import Iterator
from random import Random

import pytest

import gateway.pos.door
from gateway.directory import KeptKeys, OpenKeys
from pos_protocol.codec import CodecError, decode, encode
from pos_protocol.dialect import STANDARD, Dialect
from pos_protocol.message import Message
from pos_protocol.transactions import TRANSACTIONS, identify
from tests.fuzz import grammar
from tests.fuzz.chunk import CHUNK_INPUTS, run_chunk
from tests.fuzz.mutation import mutated
from tests.fuzz.server import the_server
from tests.fuzz.targets import TARGETS, WEIGHTS, Broken, Moved

SEED = 20_260_801
CHUNKS = 120
"""A minute of one core, side by side with everything else."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_input_breaks_a_rule(chunk: int) -> None:
    """No crash, no hang, no leak, no disagreement."""
    tally = run_chunk(SEED, chunk)
    assert [str(finding) for finding in tally.findings] == []
    assert (tally.inputs, tally.crashes, tally.hangs, tally.moved) == (CHUNK_INPUTS, 0, 0, 0)
    assert tally.by_target.keys() == TARGETS.keys()


def test_every_target_has_a_turn() -> None:
    assert set(WEIGHTS) == TARGETS.keys()
    assert len(WEIGHTS) == 32


def test_a_planted_fault_is_found_and_replayed_by_its_numbers() -> None:
    """Seed, chunk and input are all that a replay needs."""

    def faulty(payload: bytes, dialect: Dialect, chance: int) -> None:
        if len(payload) % 16 == 3:
            raise ValueError

    targets = dict(TARGETS, codec=faulty)
    tally = run_chunk(SEED, 0, 500, targets=targets)
    assert tally.crashes > 3
    finding = tally.findings[0]
    assert "ValueError at test_fuzz.py" in finding.detail
    with pytest.raises(ValueError):
        run_chunk(SEED, 0, 500, only=finding.number, targets=targets)
    run_chunk(SEED, 0, 500, only=finding.number)


def test_a_hang_is_found() -> None:
    def slow(payload: bytes, dialect: Dialect, chance: int) -> None:
        until = time.thread_time() + 0.15
        while chance & 15 == 7 and time.thread_time() < until:
            pass

    tally = run_chunk(SEED, 0, 60, targets=dict.fromkeys(TARGETS, slow))
    assert tally.hangs >= 1
    assert tally.slowest_s > 0.1


def test_an_input_that_waits_is_a_hang_and_one_that_is_slow_once_is_not() -> None:
    seen: set[bytes] = set()

    def waiting(payload: bytes, dialect: Dialect, chance: int) -> None:
        if chance & 15 == 7:
            time.sleep(0.11)

    def warming_up(payload: bytes, dialect: Dialect, chance: int) -> None:
        until = time.thread_time() + 0.11
        while chance & 15 == 7 and payload not in seen and time.thread_time() < until:
            pass
        seen.add(payload)

    tally = run_chunk(SEED, 0, 60, targets=dict.fromkeys(TARGETS, waiting))
    assert tally.hangs >= 1
    assert "waits" in tally.findings[0].detail
    tally = run_chunk(SEED, 0, 60, targets=dict.fromkeys(TARGETS, warming_up))
    assert (tally.hangs, tally.slow_once >= 1) == (0, True)


def test_a_text_that_shows_a_number_is_found() -> None:
    """The leak check of the targets looks at every error."""

    class TellsAll(CodecError):
        def __str__(self) -> str:
            return "9900001234567899"

    with pytest.raises(Broken, match="seven digits"):
        TARGETS["codec"](encode(grammar.message(Random(1)))[:-1], _raising(TellsAll), 1)


def _asked(kinds: set[str], each: int) -> Iterator[tuple[bytes, int]]:
    """Whole requests of those transactions, and chance."""
    rng = Random(SEED)
    for row in TRANSACTIONS:
        if row.kind.value in kinds:
            for _ in range(each):
                yield encode(grammar.request(rng, row)), rng.getrandbits(32)


def test_money_that_moves_without_a_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that takes every MAC for right: the fuzzer says which tables changed."""
    told: set[str] = set()

    def credulous(_exchange: object, keys: KeptKeys, _previous: object) -> OpenKeys:
        return keys.open()

    monkeypatch.setattr(gateway.pos.door, "_matching", credulous)
    for payload, chance in _asked({"sale", "qr_sale", "reversal", "status_inquiry"}, 30):
        try:
            TARGETS["server"](payload, STANDARD, chance)
        except Moved as broken:
            told.add(str(broken))
    assert "a channel was called" in told
    assert any("payments" in text for text in told)


def test_a_fault_behind_the_door_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is a polite 96; the log says what it was."""

    async def broken(*_values: object) -> object:
        raise RuntimeError

    server = the_server()
    monkeypatch.setattr(server.directory, "terminal", broken)
    monkeypatch.setattr(server.directory, "fresh_terminal", lambda *_: None)
    with pytest.raises(RuntimeError, match="pos message fault"):
        TARGETS["server"](encode(grammar.message(Random(1))), Dialect(), 1)


def test_the_server_is_reached_behind_its_first_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign-ins, downloads, uploads and settlements are answered 00, and put back after it."""
    server, answered = the_server(), set()
    real = server.answer

    def listening(payload: bytes, message: Message) -> bytes | None:
        reply = real(payload, message)
        row = identify(message)
        if reply is not None and row is not None and decode(reply).text(39) in ("00", ""):
            answered.add(row.kind.value)
        return reply

    wanted = {"sign_in", "sign_out", "echo", "download", "query", "upload", "settlement"}
    before = list(server.connection.iterdump())
    monkeypatch.setattr(server, "answer", listening)
    for payload, chance in _asked(wanted, 100):
        TARGETS["server"](payload, STANDARD, chance)
    assert wanted <= answered, wanted - answered
    assert list(server.connection.iterdump()) == before


def _raising(error: type[CodecError]) -> Dialect:
    class Telling(Dialect):
        def field(self, number: int) -> None:
            raise error(number, -1, "")

    return Telling()


def test_changes_break_some_messages_and_leave_some_sound() -> None:
    """Too gentle or too rough a change would reach nothing behind the first check."""
    rng = Random(SEED)
    corpus = [encode(grammar.message(rng)) for _ in range(40)]
    read = 0
    for number in range(1000):
        try:
            decode(mutated(rng, corpus[number % 40], corpus))
        except CodecError:
            continue
        read += 1
    assert 100 < read < 900

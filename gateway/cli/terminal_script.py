"""A till's day from a file: one step after the other, each with the answer that must come.

The file is a YAML list. A step is a transaction's name, alone or with what it is told::

    - sign-in
    - sale: {amount: 1990, pan: "9900000000000010", pin: "123456", as: coffee}
    - sale: {amount: 5000, pan: "9900000000000028", pin: "123456", expect: "51"}
    - refund: {of: coffee, amount: 500}
    - settle: {totals: equal}

``expect`` is F39 (``00`` if absent), or ``silence``; ``as`` names a step, ``of`` says which
earlier one a later one means. ``wait: {seconds: 1}`` waits. Rules: the whole file is read
and checked before anything is sent, and all faults are told with their lines; a step that
comes out otherwise is told and the day goes on.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError, InvalidRequest, RequestError, Unavailable
from domain.money import format_yuan
from gateway.cli.session import print_json
from gateway.cli.terminal_download import KINDS, download
from gateway.cli.terminal_given import Given, read_given
from gateway.cli.terminal_settlement import settle
from gateway.cli.terminal_till import Done, Till
from gateway.cli.terminal_transactions import ROWS, card_for

MAX_STEPS: Final = 10_000
MAX_FILE_BYTES: Final = 4_000_000
MAX_WAIT_S: Final = 3600.0
SILENCE: Final = "silence"
_USUAL: Final = "00"
_TABLE_WIDTH: Final = 110
_NOTHING: Final = Given()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the day; ``totals`` is what a settlement must come to, ``""`` anything."""

    line: int
    name: str
    expect: str = _USUAL
    label: str = ""
    of: str = ""
    totals: str = ""
    kind: str = ""
    seconds: float = 0.0
    given: Given = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a step came to."""

    step: Step
    trace: str
    amount_fen: int
    actual: str
    text: str
    elapsed_ms: float

    @property
    def agrees(self) -> bool:
        """Whether it came out as it had to."""
        return self.actual == self.step.expect and not self.text

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "line": self.step.line,
            "transaction": self.step.name,
            "trace": self.trace,
            "amount_fen": self.amount_fen,
            "expected": self.step.expect,
            "actual": self.actual,
            "agrees": self.agrees,
            "detail": self.text,
            "ms": round(self.elapsed_ms, 1),
        }


def read_script(file: Path) -> list[Step]:
    """The steps of a file.

    Raises:
        ConfigurationError: every fault, with its line.
    """
    try:
        raw = file.read_bytes()[: MAX_FILE_BYTES + 1]
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{file}: longer than {MAX_FILE_BYTES} bytes; divide it")
        root = yaml.compose(raw.decode(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark is not None else str(file)
        raise ConfigurationError(f"{place}: not YAML; mend the indentation or quotes") from None
    if not isinstance(root, yaml.SequenceNode) or not 0 < len(root.value) <= MAX_STEPS:
        raise ConfigurationError(f"{file}:1: a script is a list of 1 to {MAX_STEPS} steps")
    steps, faults, labels = [], [], set[str]()
    for node in root.value:
        line = node.start_mark.line + 1
        try:
            step = _step(node, line)
            if step.of and step.of not in labels:
                raise InvalidRequest("unknown_label", f"no step before it is called {step.of}")
            labels.add(step.label)
            steps.append(step)
        except InvalidRequest as error:
            faults.append(f"{file}:{line}: {error.message}")
    if faults:
        raise ConfigurationError("\n".join(faults))
    return steps


def _step(node: yaml.Node, line: int) -> Step:
    """One node; every scalar is text as it is written."""
    if isinstance(node, yaml.ScalarNode):
        name, words = str(node.value), dict[str, str]()
    elif isinstance(node, yaml.MappingNode) and len(node.value) == 1:
        key, value = node.value[0]
        name, words = str(key.value), dict(_words(value))
    else:
        raise InvalidRequest("wrong_step", "a step is a name, or a name with what it is told")
    step = Step(
        line=line,
        name=name,
        expect=words.pop("expect", _USUAL),
        label=words.pop("as", ""),
        of=words.pop("of", ""),
    )
    if name in ROWS:
        row = ROWS[name]
        return replace(step, given=read_given(words, row.needs, row.takes))
    return _special(step, words)


def _special(step: Step, words: Mapping[str, str]) -> Step:
    """What is more than one exchange, or none."""
    match step.name:
        case "settle":
            step = replace(step, totals=_choice(words, "totals", ("equal", "different")))
        case "download":
            step = replace(step, kind=_choice(words, "kind", tuple(KINDS)) or "parameters")
        case "wait":
            text = words.get("seconds", "1")
            whole, _, rest = text.partition(".")
            if not (whole + rest).isdigit() or float(text) > MAX_WAIT_S:
                raise InvalidRequest("wrong_word", f"seconds is at most {MAX_WAIT_S:.0f}")
            step = replace(step, seconds=float(text))
        case _:
            known = ", ".join((*ROWS, "settle", "download", "wait"))
            raise InvalidRequest("unknown_step", f"{step.name} is none of {known}")
    left = set(words) - {"totals", "kind", "seconds"}
    if left:
        raise InvalidRequest("unknown_word", f"{step.name} takes no {', '.join(sorted(left))}")
    return step


def _choice(words: Mapping[str, str], word: str, choices: tuple[str, ...]) -> str:
    text = words.get(word, "")
    if text and text not in choices:
        raise InvalidRequest("wrong_word", f"{word} is one of {', '.join(choices)}")
    return text


def _words(node: yaml.Node) -> Iterator[tuple[str, str]]:
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return
    if not isinstance(node, yaml.MappingNode):
        raise InvalidRequest("wrong_step", "what a step is told is a mapping: {amount: 1990, …}")
    seen = set()
    for key, value in node.value:
        if not isinstance(value, yaml.ScalarNode):
            raise InvalidRequest("wrong_word", f"{key.value} is one value")
        if key.value in seen:
            raise InvalidRequest("wrong_word", f"{key.value} is there twice")
        seen.add(key.value)
        yield str(key.value), str(value.value)


class Day:
    """Plays a script's steps on one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._traces: dict[str, str] = {}

    async def play(self, steps: list[Step]) -> list[Played]:
        """Every step, whatever came of those before it.

        Raises:
            ConfigurationError: the state file cannot be written.
        """
        played = []
        try:
            for step in steps:
                if step.name == "wait":
                    await asyncio.sleep(step.seconds)
                    continue
                one = await self._play(step)
                played.append(one)
        finally:
            await self._till.close()
        return played

    async def _play(self, step: Step) -> Played:
        before = len(self._till.journal.lines)
        try:
            done, text = await self._do(step)
        except Unavailable as error:
            is_expected = step.expect == SILENCE
            self._remember(step, self._newest(before))
            return _played(step, None, SILENCE, "" if is_expected else error.message)
        except RequestError as error:
            return _played(step, None, "", error.message)
        outcome = done.outcome
        self._remember(step, done.request.trace)
        actual = outcome.response_code
        if outcome.fault is not None:
            actual, text = outcome.fault.value, outcome.detail
        return _played(step, done, actual, text)

    def _newest(self, before: int) -> str:
        lines = self._till.journal.lines
        return lines[-1].trace if len(lines) > before else ""

    def _remember(self, step: Step, trace: str) -> None:
        if step.label and trace:
            self._traces[step.label] = trace

    async def _do(self, step: Step) -> tuple[Done, str]:
        """The step's (last) exchange, and what is wrong with it besides its F39."""
        if step.name == "settle":
            settled = await settle(self._till)
            came_to = "equal" if settled.agreed else "different"
            is_wrong = step.totals not in ("", came_to)
            return settled.last, f"the totals are {came_to}" if is_wrong else ""
        if step.name == "download":
            return (await download(self._till, KINDS[step.kind])).last, ""
        row, given = ROWS[step.name], step.given
        if step.of:
            if step.of not in self._traces:
                raise InvalidRequest("unknown_label", f"the step {step.of} has no trace number")
            given = replace(given, trace=self._traces[step.of])
        card = card_for(self._till, row, given)
        done = await self._till.do(
            lambda till: row.build(till, given), card=card, clears=row.clears
        )
        return done, ""


def _played(step: Step, done: Done | None, actual: str, text: str) -> Played:
    return Played(
        step=step,
        trace="" if done is None else done.request.trace,
        amount_fen=step.given.amount if done is None else done.outcome.amount_fen,
        actual=actual,
        text=text,
        elapsed_ms=0.0 if done is None else done.elapsed_ms,
    )


def print_day(played: list[Played], *, as_json: bool) -> None:
    """The whole day: a table, or a JSON list."""
    if as_json:
        print_json([one.as_dict() for one in played])
        return
    table = Table("line", "transaction", "trace", "amount", "expected", "actual", "ms", "")
    for one in played:
        mark = "[green]agrees[/green]" if one.agrees else "[red]differs[/red]"
        amount = f"¥ {format_yuan(one.amount_fen)}" if one.amount_fen else ""
        table.add_row(
            str(one.step.line),
            one.step.name,
            one.trace,
            amount,
            one.step.expect,
            one.actual,
            f"{one.elapsed_ms:.0f}",
            mark,
        )
    console = Console()
    Console(width=max(console.width, _TABLE_WIDTH)).print(table)
    for one in played:
        if one.text:
            console.print(f"line {one.step.line}: {one.step.name}: {one.text}", markup=False)
    wrong = sum(not one.agrees for one in played)
    console.print(f"{len(played)} steps, {wrong} otherwise than expected")

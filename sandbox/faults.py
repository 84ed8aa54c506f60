"""Faults on demand: what a network or a bad day does to a channel.

Rules: a plan is data and deterministic: rules count the requests they match, and
a random rule draws from the source it is handed. The first rule that fires wins.
A fault at stage ``before`` strikes before the channel has done anything (nothing
is charged); ``after`` strikes its answer (the charge stands).
"""

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sandbox.effects import HANG_UP, SILENCE, Effect

MAX_RULES: Final = 64
MAX_DELAY_MS: Final = 600_000


class FaultKind(enum.Enum):
    """What goes wrong."""

    DELAY = "delay"
    DROP = "drop"
    """The answer never comes; the connection stays."""
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    """The answer's signature or MAC is wrong."""
    CLOSE = "close"
    """The connection closes without an answer."""
    REFUSE = "refuse"
    """The channel refuses with a code of its own (Alipay, WeChat Pay)."""
    WRONG_AMOUNT = "wrong_amount"
    """A notification tells another amount than the trade's, truly signed."""


class Stage(enum.Enum):
    """Whether the channel has already acted when the fault strikes."""

    BEFORE = "before"
    AFTER = "after"


class FaultError(ValueError):
    """A rule that cannot be understood; the message names the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One rule: which requests are struck, and with what.

    Of the requests that match, ``skip`` are spared, then every ``every``-th is struck,
    at most ``limit`` times (0: no limit).
    ``match`` is an operation as the channel names it (``alipay.trade.pay``; ``0200``,
    ``0400``, ``0800``, ``0820`` for cards), empty for all. ``per_mille`` below 1000
    strikes at random among those. ``code`` is what ``refuse`` answers, in the channel's words.
    """

    kind: FaultKind
    match: str = ""
    stage: Stage = Stage.AFTER
    skip: int = 0
    every: int = 1
    limit: int = 0
    per_mille: int = 1000
    delay_ms: int = 0
    code: str = ""


class Faults:
    """One channel's plan and its counters."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._rules: tuple[FaultRule, ...] = ()
        self._seen: list[int] = []
        self._struck: list[int] = []

    def replace(self, rules: Sequence[FaultRule]) -> None:
        """Start over with ``rules``; an empty sequence ends all faults."""
        self._rules = tuple(rules)
        self._seen = [0] * len(self._rules)
        self._struck = [0] * len(self._rules)

    def draw(self, operation: str) -> FaultRule | None:
        """The fault that strikes this request, counting it against every matching rule."""
        if not self._rules:
            return None
        hit: FaultRule | None = None
        for index, rule in enumerate(self._rules):
            if rule.match not in ("", operation):
                continue
            self._seen[index] += 1
            if hit is None and self._strikes(index, rule):
                self._struck[index] += 1
                hit = rule
        return hit

    def _strikes(self, index: int, rule: FaultRule) -> bool:
        turn = self._seen[index] - rule.skip
        if turn <= 0 or turn % rule.every:
            return False
        if rule.limit and self._struck[index] >= rule.limit:
            return False
        return rule.per_mille >= 1000 or self._random() * 1000 < rule.per_mille


def strike(
    rule: FaultRule | None,
    act: Callable[[], Effect],
    spoil: Callable[[bytes], bytes],
    refuse: Callable[[str], Effect] | None = None,
) -> Effect:
    """Let the channel ``act`` as the fault allows.

    ``spoil`` breaks an answer's signature; ``refuse`` answers with a code, and a channel that
    has none is not struck by such a rule.
    """
    if rule is None:
        return act()
    if rule.kind is FaultKind.REFUSE and refuse is not None:
        if rule.stage is Stage.AFTER:
            act()
        return refuse(rule.code)
    if rule.stage is Stage.BEFORE and rule.kind is FaultKind.DROP:
        return SILENCE
    if rule.stage is Stage.BEFORE and rule.kind is FaultKind.CLOSE:
        return HANG_UP
    return _struck(rule, act(), spoil)


def _struck(rule: FaultRule, effect: Effect, spoil: Callable[[bytes], bytes]) -> Effect:
    """What becomes of an answer."""
    match rule.kind:
        case FaultKind.WRONG_AMOUNT:
            return effect  # for notices; an answer to a question tells the truth
        case FaultKind.DELAY:
            return Effect(effect.answer, effect.close, effect.delay_ms + rule.delay_ms)
        case FaultKind.DROP:
            return SILENCE
        case FaultKind.DUPLICATE:
            return Effect(effect.answer, effect.close, effect.delay_ms, copies=2)
        case FaultKind.CORRUPT:
            return Effect(spoil(effect.answer), effect.close, effect.delay_ms)
        case FaultKind.CLOSE:
            return HANG_UP
        case FaultKind.REFUSE:
            return effect


_CODE = re.compile(
    r"|[45]\d\d|[1-5]\d{4}|(?:(?:[45]\d\d|[1-5]\d{4}) )?[A-Za-z][A-Za-z0-9_.-]{1,79}", re.ASCII
)
_COUNTS: Final = MappingProxyType(
    {
        "skip": (0, 1_000_000_000),
        "every": (1, 1_000_000_000),
        "limit": (0, 1_000_000_000),
        "per_mille": (0, 1000),
        "delay_ms": (0, MAX_DELAY_MS),
    }
)


def parse_rules(raw: object) -> tuple[FaultRule, ...]:
    """The ``rules`` of ``POST /faults``: a list of objects with the fields of :class:`FaultRule`.

    Raises:
        FaultError: not a list, too many, an unknown key or a bad value.
    """
    if not isinstance(raw, list):
        raise FaultError("rules must be a list")
    if len(raw) > MAX_RULES:
        raise FaultError(f"rules must be at most {MAX_RULES}")
    return tuple(_parse_rule(rule) for rule in raw)


def _parse_rule(raw: object) -> FaultRule:
    if not isinstance(raw, Mapping):
        raise FaultError("a rule must be an object")
    unknown = set(raw) - {"kind", "match", "stage", "code", *_COUNTS}
    if unknown:
        raise FaultError(f"unknown key {min(map(str, unknown))!r}")
    match, code = raw.get("match", ""), raw.get("code", "")
    if not isinstance(match, str):
        raise FaultError("match must be a string")
    if not isinstance(code, str) or _CODE.fullmatch(code) is None:
        raise FaultError("code must be a number, a word, or both")
    try:
        kind, stage = FaultKind(raw.get("kind")), Stage(raw.get("stage", "after"))
    except ValueError as error:
        raise FaultError(str(error)) from None
    if stage is Stage.BEFORE and kind not in (FaultKind.DROP, FaultKind.CLOSE, FaultKind.REFUSE):
        raise FaultError("stage 'before' goes with kind 'drop', 'close' or 'refuse' only")
    if (kind is FaultKind.REFUSE) != bool(code):
        raise FaultError("kind 'refuse' needs a code, and no other kind has one")
    counts = {name: _count(raw, name) for name in _COUNTS if name in raw}
    return FaultRule(kind=kind, match=match, stage=stage, code=code, **counts)


def _count(raw: Mapping[str, object], name: str) -> int:
    value, (low, high) = raw[name], _COUNTS[name]
    if type(value) is not int or not low <= value <= high:
        raise FaultError(f"{name} must be an integer from {low} to {high}")
    return value

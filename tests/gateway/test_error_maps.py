"""Our error tree and our decline reasons, mapped totally at both doors."""

import inspect

import orjson
import pytest

from domain import errors
from domain.decline import DeclineReason
from domain.errors import ChannelDown, OverLimit, PosgateError, RequestError, Unavailable
from domain.limits import LimitRule, over_limit
from gateway.http.errors import STATUSES, error_body, status_of
from gateway.http.openapi import openapi_document
from gateway.pos.translate import F39_OF_ERROR, F39_OF_LIMIT, F39_OF_REASON, f39_of_error
from pos_protocol.response_codes import meaning

LEAVES = {
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, PosgateError) and one not in (PosgateError, RequestError)
}
"""What is raised; the other two only group."""


def made(leaf: type[PosgateError]) -> PosgateError:
    """An error of this class."""
    if issubclass(leaf, OverLimit):
        return leaf("a_code", "a message")
    if issubclass(leaf, RequestError):
        return leaf("a_code", "a message", field="a_field")
    return leaf("a message")


def test_the_tree_has_leaves() -> None:
    assert len(LEAVES) == 11


def test_both_maps_are_total_and_name_nothing_else() -> None:
    assert STATUSES.keys() == LEAVES
    assert F39_OF_ERROR.keys() == LEAVES
    assert F39_OF_REASON.keys() == set(DeclineReason)
    assert F39_OF_LIMIT.keys() == set(LimitRule)


@pytest.mark.parametrize("leaf", sorted(LEAVES, key=str), ids=lambda one: one.__name__)
def test_every_error_has_its_answer(leaf: type[PosgateError]) -> None:
    """A status, and the one form of body."""
    error = made(leaf)
    assert 400 <= status_of(error) <= 503
    body = orjson.loads(error_body(error, "req_1"))
    assert body.keys() == {"error"}
    assert body["error"]["message"] == "a message"
    assert body["error"]["request_id"] == "req_1"
    names_field = isinstance(error, RequestError) and not isinstance(error, OverLimit)
    assert ("field" in body["error"]) == names_field


def test_the_callers_faults_are_4xx_and_ours_are_503() -> None:
    for leaf, status in STATUSES.items():
        assert (status < 500) == issubclass(leaf, RequestError)
        assert status != 500


def test_a_channel_that_is_away_has_a_name_of_its_own() -> None:
    """503 and 91, and certain that nothing was begun; the rest of 503 may be anything."""
    error = ChannelDown("a message")
    assert error.nothing_begun
    assert orjson.loads(error_body(error, "req_1"))["error"]["code"] == "channel_unavailable"
    assert F39_OF_ERROR[ChannelDown] == "91"
    assert orjson.loads(error_body(Unavailable("x"), ""))["error"]["code"] == "unavailable"


@pytest.mark.parametrize("rule", LimitRule)
def test_a_limit_says_which_it_is_at_both_doors(rule: LimitRule) -> None:
    """Its own code in both languages, and its own F39."""
    error = over_limit(rule)
    assert status_of(error) == 403
    said = orjson.loads(error_body(error, "req_1"))["error"]
    assert (said["code"], said["message_zh"]) == (rule.value, error.message_zh)
    assert f39_of_error(error) == F39_OF_LIMIT[rule]


def test_statuses_tell_the_errors_apart() -> None:
    """One status, one kind of fault, so that a client can act on it."""
    requests = [status for leaf, status in STATUSES.items() if issubclass(leaf, RequestError)]
    assert len(requests) == len(set(requests))


@pytest.mark.parametrize(
    "code", sorted({*F39_OF_REASON.values(), *F39_OF_ERROR.values(), *F39_OF_LIMIT.values()})
)
def test_every_answer_code_is_one_that_a_terminal_knows(code: str) -> None:
    """Two characters, in the table of the protocol; never an approval."""
    assert len(code) == 2
    assert code != "00"
    assert meaning(code) != meaning("??")


def test_every_status_is_documented() -> None:
    """The OpenAPI document names each status that an error can have, for creating."""
    create = openapi_document()["paths"]["/v1/payments"]["post"]["responses"]
    assert {str(status) for status in STATUSES.values()} <= create.keys() | {"404"}

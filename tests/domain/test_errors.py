"""The drawing of the error tree is the error tree."""

import inspect
import re

from domain import errors
from domain.errors import PosgateError, RequestError

CLASSES = {
    name: one
    for name, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, PosgateError)
}


def drawn() -> dict[str, str]:
    """Name → parent, as the module's docstring draws it."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│ ├└─]*)([A-Z]\w+)\b", line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        path[depth:] = [found[2]]
        parents[found[2]] = path[depth - 1] if depth else ""
    return parents


def test_the_drawing_is_true() -> None:
    """Every class once, under its real parent."""
    real = {
        name: "" if one is PosgateError else one.__mro__[1].__name__
        for name, one in CLASSES.items()
    }
    assert drawn() == real


def test_a_request_error_has_a_stable_code_and_may_name_a_field() -> None:
    error = RequestError("some_code", "a text", field="amount")
    assert (error.code, error.message, error.field, str(error)) == (
        "some_code", "a text", "amount", "a text",
    )  # fmt: skip

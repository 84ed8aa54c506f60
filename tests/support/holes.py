"""The list of holes in a channel's document, held against the tests that it names.

Rules (reference ``channels.md`` G): a row for each of the eighteen, in order; a test that a row
names exists; a test ``test_g…`` of the channel's own file of holes is named by a row.
"""

import ast
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_ROW: Final = re.compile(r"^\| (\d+) \|.*\|$", re.MULTILINE)
_TEST: Final = re.compile(r"`(tests/[a-z_/0-9]+\.py)::(test_\w+)`")


def check_holes(document: str, own_file: str) -> Mapping[int, Set[tuple[str, str]]]:
    """The tests (file, name) that each row of ``docs/DOCUMENT`` names, once they are proven."""
    page = (ROOT / "docs" / document).read_text("utf-8")
    section = page.partition("## Holes")[2].partition("\n## ")[0]
    rows = {int(row[1]): set(_TEST.findall(row[0])) for row in _ROW.finditer(section)}
    assert list(rows) == list(range(1, 19))
    named = set().union(*rows.values())
    for file, test in named:
        assert test in _functions(Path(file)), f"{file}::{test}"
    own = Path(own_file).relative_to(ROOT)
    here = {name for name in _functions(own) if name.startswith("test_g")}
    assert here == {test for file, test in named if Path(file) == own}
    return rows


def _functions(file: Path) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {
        one.name
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    }

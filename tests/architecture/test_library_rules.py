"""The architecture's library rules hold in every file of the product."""

import pytest

from tests.architecture.rules import ROOMS, ROOT, RULES, is_pure, product_files


def test_the_rules_look_at_the_whole_product() -> None:
    """Every room is there and the pure files are found."""
    files = product_files()
    assert {path.partition("/")[0] for path in files} == set(ROOMS)
    assert len(files) > 80
    pure = {path for path in files if is_pure(path, (ROOT / path).read_text("utf-8"))}
    assert {"domain/payment.py", "channels/alipay/wire.py", "reconciliation/match.py"} < pure


@pytest.mark.parametrize("rule", RULES)
def test_the_product_holds(rule: str) -> None:
    """Named by file and line."""
    faults = [
        f"{path}:{fault}"
        for path in product_files()
        for fault in RULES[rule](path, (ROOT / path).read_text("utf-8"))
    ]
    assert faults == []

"""Write the documents that are made from tables in the code.

Rules: :func:`documents` is pure but for reading the sources and hand-written files;
what it returns is what the files must hold, and ``tests/docs`` compares them. A file
is either generated whole (it says so in its first line) or between two markers,
``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``.

Run it by ``make docs``.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from docs.generating.configuration import account_settings, configuration_keys
from docs.generating.declines import declines
from docs.generating.protocol import pos_protocol
from docs.generating.states import checkout_states, payment_states, refund_states
from docs.generating.writing import between_marks, code_text, table_text
from reconciliation.differences import MEANINGS
from sandbox.scenarios import EXPECTED, SCENARIOS

ROOT: Final = Path(__file__).resolve().parent.parent


def documents(root: Path = ROOT) -> Mapping[Path, str]:
    """Every generated file, by its path, as it must be."""
    configuration, sandbox = root / "docs" / "configuration.md", root / "docs" / "sandbox.md"
    reconciliation = root / "docs" / "reconciliation.md"
    text = configuration.read_text(encoding="utf-8")
    text = between_marks(text, "keys", configuration_keys(root))
    text = between_marks(text, "accounts", account_settings())
    return {
        root / "docs" / "pos_protocol.md": pos_protocol(root),
        root / "docs" / "payment_states.md": payment_states(root),
        root / "docs" / "refund_states.md": refund_states(root),
        root / "docs" / "checkout_states.md": checkout_states(root),
        root / "docs" / "declines.md": declines(),
        reconciliation: between_marks(
            reconciliation.read_text(encoding="utf-8"), "differences", _differences()
        ),
        configuration: text,
        sandbox: between_marks(sandbox.read_text(encoding="utf-8"), "scenarios", _scenarios()),
    }


def main() -> int:
    """Write what differs and name it."""
    for path, text in documents().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


def _scenarios() -> str:
    rows = []
    for (channel, word), expected in EXPECTED.items():
        value = SCENARIOS[channel][word]
        shown = (
            code_text(value)
            if isinstance(value, str)
            else f"`{value['pan']}`, PIN `{value['pin']}`"
        )
        rows.append([channel, code_text(word), shown, code_text(expected.status)])
    return table_text(["Channel", "Scenario", "Code or card", "The payment ends"], rows)


# --- reconciliation.md


def _differences() -> str:
    rows = [
        [
            code_text(kind.value),
            meaning.title_zh,
            meaning.title_en,
            f"{meaning.sentence_zh} {meaning.sentence_en}",
            code_text(meaning.repair.value),
        ]
        for kind, meaning in MEANINGS.items()
    ]
    return table_text(["", "名称", "Name", "What it means", "Proposed"], rows)


if __name__ == "__main__":
    sys.exit(main())

"""The font of everything that is printed: one file with Latin and Chinese, in the package.

Rule: what is printed embeds the few glyphs that it uses, so that it looks the same on every
machine. The font's licence lies beside it in ``fonts``.
"""

from pathlib import Path
from typing import Final

FAMILY: Final = "cjk"
"""The name under which a document adds it."""
FONT_FILE: Final = Path(__file__).parent / "fonts" / "cjk.ttf"

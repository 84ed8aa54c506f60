"""The page's own files, read once, each under a name that holds its hash.

Rules: a name never has other content, so that a browser may keep it for ever; what is not
in the folder is not served; no file comes from anywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

PREFIX: Final = "/q/_/"
_FOLDER: Final = Path(__file__).with_name("assets")
_KINDS: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    path: str
    content_type: str
    body: bytes


def _read(name: str) -> Asset:
    file = _FOLDER / name
    body = file.read_bytes()
    digest = sha256(body).hexdigest()[:16]
    return Asset(f"{PREFIX}{file.stem}.{digest}{file.suffix}", _KINDS[file.suffix], body)


STYLE: Final = _read("page.css")
SCRIPT: Final = _read("page.js")
ASSETS: Final[Mapping[str, Asset]] = MappingProxyType(
    {asset.path: asset for asset in (STYLE, SCRIPT)}
)

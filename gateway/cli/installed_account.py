"""A channel account as an installation makes it, before it is sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Addresses = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledAccount:
    """Its settings and secrets, in clear, for a moment."""

    account_id: str
    channel: str
    settings: dict[str, str]
    secrets: dict[str, bytes] = field(repr=False)

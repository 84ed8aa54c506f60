"""Reading the settings of a provisioned account, with mends in the errors.

Rules: what a plugin does not declare is refused, what it needs must be there, and
every value is checked when the account is built, not when the first payer waits.
A secret's value never appears in an error.
"""

import math
from collections.abc import Sequence

from channels.port import ChannelAccount, Setting
from domain.errors import ConfigurationError


class AccountSettings:
    """The settings of one account, checked against what its plugin declares."""

    def __init__(self, account: ChannelAccount, declared: Sequence[Setting]) -> None:
        """Raises :class:`ConfigurationError` for an undeclared or missing setting."""
        self._account_id = account.account_id
        names = {setting.name for setting in declared if not setting.secret}
        for name in account.settings:
            if name not in names:
                raise self.fault(name, f"is not a setting of {account.channel}")
        self._texts: dict[str, str] = {}
        self._secrets: dict[str, bytes] = {}
        for setting in declared:
            self._take(setting, account)

    def _take(self, setting: Setting, account: ChannelAccount) -> None:
        if setting.secret:
            secret = account.secrets.get(setting.name) or (setting.default or "").encode()
            if not secret and setting.default is None:
                raise self.fault(setting.name, f"is missing: {setting.help}")
            self._secrets[setting.name] = secret
            return
        text = account.settings.get(setting.name, setting.default)
        if text is None:
            raise self.fault(setting.name, f"is missing: {setting.help}")
        self._texts[setting.name] = text.strip()

    def fault(self, name: str, problem: str) -> ConfigurationError:
        """The error to raise about one setting."""
        return ConfigurationError(f"account {self._account_id}: {name} {problem}")

    def text(self, name: str) -> str:
        """A setting as it stands."""
        return self._texts[name]

    def secret(self, name: str) -> bytes:
        """An opened secret."""
        return self._secrets[name]

    def flag(self, name: str) -> bool:
        """``true`` or ``false``."""
        match self._texts[name].lower():
            case "true":
                return True
            case "false":
                return False
            case _:
                raise self.fault(name, "must be true or false")

    def count(self, name: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        text = self._texts[name]
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
            raise self.fault(name, f"must be a whole number from {low} to {high}")
        return int(text)

    def seconds(self, name: str, low: float, high: float) -> float:
        """A number of seconds from ``low`` to ``high``."""
        return self._seconds(name, self._texts[name], low, high)

    def schedule(self, name: str, low: float, high: float) -> tuple[float, ...]:
        """Seconds separated by commas; an empty text is an empty schedule."""
        text = self._texts[name]
        parts = text.split(",") if text else []
        if len(parts) > 100:
            raise self.fault(name, "has more than 100 steps")
        return tuple(self._seconds(name, part, low, high) for part in parts)

    def _seconds(self, name: str, text: str, low: float, high: float) -> float:
        try:
            value = float(text)
        except ValueError:
            raise self.fault(name, f"must be seconds from {low:g} to {high:g}") from None
        if not math.isfinite(value) or not low <= value <= high:
            raise self.fault(name, f"must be seconds from {low:g} to {high:g}")
        return value

"""The master key: read once, from a file or the environment, never logged.

Rules: 32 bytes as 64 hexadecimal digits; without it nothing starts. How to make one is said
only where there is none: one that cannot be read must be given back, since nothing that was
sealed opens under another; under another key than the store's nothing is sealed. Wrapping
itself is ``signing/keywrap.py``.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from gateway.accounts import open_account
from gateway.directory import api_key_context, master_context
from gateway.store.port import Account, ProvisioningStore
from signing.keywrap import Sealer, SealError

_NONE: Final = (
    "give back the key of this installation;"
    " only a new one makes its own: python -c 'import secrets; print(secrets.token_hex(32))'"
)
_UNUSABLE: Final = (
    "mend it or give back its copy; do not make another: what is sealed opens under this one only"
)


def read_secret(reference: str, folder: Path) -> str:
    """The text behind ``env:NAME`` or ``file:PATH`` (relative to ``folder``).

    Raises:
        ConfigurationError: neither of the two, unset, unreadable or empty; never quotes what
            may be the secret itself.
    """
    kind, _, name = reference.partition(":")
    if kind not in ("env", "file") or not name:
        raise ConfigurationError("write file:PATH or env:VARIABLE, never the secret itself")
    if kind == "env":
        text = os.environ.get(name, "")
        place = f"environment variable {name}"
    else:
        path = folder / name
        place = f"file {path}"
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{place} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{place} is not text") from None
    text = text.strip()
    if not text:
        raise ConfigurationError(f"{place} is empty or not set")
    return text


def open_sealer(reference: str, folder: Path, random_bytes: Callable[[int], bytes]) -> Sealer:
    """The sealer of this installation.

    Raises:
        ConfigurationError: the master key is missing or not 64 hexadecimal digits.
    """
    try:
        text = read_secret(reference, folder)
    except ConfigurationError as error:
        mend = _UNUSABLE if _exists(reference, folder) else _NONE
        raise ConfigurationError(f"keys.master_key: {error.message}; {mend}") from None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(f"keys.master_key must be 64 hexadecimal digits; {_UNUSABLE}")
    return Sealer(key, random_bytes)


def _exists(reference: str, folder: Path) -> bool:
    kind, _, name = reference.partition(":")
    if kind == "env":
        return name in os.environ
    try:
        (folder / name).stat()
    except FileNotFoundError:
        return False
    except OSError:  # it may be there, in a folder that is closed to us
        return True
    return True


async def check_sealer(
    sealer: Sealer, store: ProvisioningStore, accounts: Sequence[Account]
) -> None:
    """Refuse a master key that is not the one under which ``store`` was filled.

    ``accounts`` are the store's: each one in use must open; where there is none, anything else
    that is in use.

    Raises:
        ConfigurationError: names what does not open.
    """
    used = [account for account in accounts if not account.disabled]
    for account in used:
        open_account(sealer, account)
    if used:
        return
    keys = [one for one in await store.api_keys() if not one.disabled]
    if any(_opens(sealer, one.secret_sealed, api_key_context(one.key_id)) for one in keys):
        return
    terminals = [one for one in await store.terminals() if not one.disabled]
    if any(
        _opens(sealer, one.tmk_sealed, master_context(one.merchant_no, one.terminal_id))
        for one in terminals
    ):
        return
    if keys or terminals:
        raise ConfigurationError(
            "keys.master_key: no API key and no terminal in this database opens under it;"
            " give the key under which they were added, or, if it is lost, disable them all"
            " and add them anew"
        )


def _opens(sealer: Sealer, sealed: bytes, context: bytes) -> bool:
    try:
        sealer.open(sealed, context)
    except SealError:
        return False
    return True

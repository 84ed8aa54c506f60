"""The master key: read once, from a file or the environment, never logged.

Rules: 32 bytes as 64 hexadecimal digits; a missing or short key refuses to start
and says how to make one; under another key than the store's nothing is sealed. Wrapping
itself is ``signing/keywrap.py``.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.errors import ConfigurationError
from gateway.accounts import open_account
from gateway.directory import api_key_context, master_context
from gateway.store.port import Account, ProvisioningStore
from signing.keywrap import Sealer, SealError

_HOW = "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"


def read_secret(reference: str, folder: Path) -> str:
    """The text behind ``env:NAME`` or ``file:PATH`` (relative to ``folder``).

    Raises:
        ConfigurationError: unset, unreadable or empty; never quotes the secret.
    """
    kind, _, name = reference.partition(":")
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
        raise ConfigurationError(f"keys.master_key: {error.message}; {_HOW}") from None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(f"keys.master_key must be 64 hexadecimal digits; {_HOW}")
    return Sealer(key, random_bytes)


async def check_sealer(
    sealer: Sealer, store: ProvisioningStore, accounts: Sequence[Account]
) -> None:
    """Refuse a master key that is not the one under which ``store`` was filled.

    ``accounts`` are the store's: each one in use must open; where there is none, anything else.

    Raises:
        ConfigurationError: names what does not open.
    """
    used = [account for account in accounts if not account.disabled]
    for account in used:
        open_account(sealer, account)
    if used:
        return
    keys = await store.api_keys()
    if any(_opens(sealer, one.secret_sealed, api_key_context(one.key_id)) for one in keys):
        return
    terminals = await store.terminals()
    if any(
        _opens(sealer, one.tmk_sealed, master_context(one.merchant_no, one.terminal_id))
        for one in terminals
    ):
        return
    if keys or terminals:
        raise ConfigurationError(
            "keys.master_key: no API key and no terminal in this database opens under it;"
            " give the key under which they were added"
        )


def _opens(sealer: Sealer, sealed: bytes, context: bytes) -> bool:
    try:
        sealer.open(sealed, context)
    except SealError:
        return False
    return True

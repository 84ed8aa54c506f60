"""Who may use the gateway, as rows: merchants, terminals, their sessions, API keys, accounts.

Rules: everything is frozen; everything sensitive arrives sealed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant; ``pos_merchant_id`` is its 15 characters in field 42."""

    merchant_no: str
    name: str
    pos_merchant_id: str
    created_at_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A terminal as provisioned; unique by merchant and ``terminal_id`` (8 characters).

    ``key_scheme`` is ``des``, ``3des``, ``3des-tdk`` or ``sm4``; ``mac`` one of
    ``signing.pos.MAC_ALGORITHMS``; ``allow_weak_pin`` lets single DES and SM4
    terminals send a PIN; ``options_json`` is a JSON object of text: how its dialect
    departs from the usual one.
    """

    merchant_no: str
    terminal_id: str
    key_scheme: str
    mac: str
    allow_weak_pin: bool
    tmk_sealed: bytes
    tmk_kcv: str
    created_at_ms: int
    disabled: bool = False
    options_json: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalSession:
    """A terminal's sign-in state: of the terminal, not of a connection.

    ``version`` rises with every change. ``keys_sealed`` and ``previous_keys_sealed``
    hold the working keys of this sign-in and of the one before.
    """

    merchant_no: str
    terminal_id: str
    version: int
    signed_in: bool
    batch_no: int
    signed_in_at_ms: int
    keys_sealed: bytes
    previous_keys_sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key of a merchant; the secret rests sealed."""

    key_id: str
    merchant_no: str
    secret_sealed: bytes
    created_at_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A channel account; ``merchant_no`` empty serves every merchant without its own.

    ``settings_json`` is a JSON object of text; ``secrets_sealed`` the sealed JSON
    object of the secrets.
    """

    account_id: str
    channel: str
    merchant_no: str
    settings_json: str
    secrets_sealed: bytes
    created_at_ms: int
    disabled: bool = False

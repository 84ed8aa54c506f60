"""Merchants, terminals, their sessions, API keys and accounts.

Rules: cold and small, the SQL is shared by both engines; a new thing names a
merchant that exists (merchants are never deleted, so looking first is safe); a
unique key decides who was first. A row's columns are its dataclass's fields.
"""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from domain.errors import Conflict, NotFound
from gateway.store.database import Database, Duplicate, Value
from gateway.store.provisioning_records import Account, ApiKey, Merchant, Terminal, TerminalSession
from gateway.store.rows import Row

_Thing = TypeVar("_Thing", Merchant, Terminal, TerminalSession, ApiKey, Account)


class _Table(Generic[_Thing]):
    """The statements of one table and the conversion of its rows."""

    def __init__(self, name: str, kind: type[_Thing], key: tuple[str, ...]) -> None:
        names = tuple(field.name for field in fields(kind))
        self._kind: type[_Thing] = kind
        self._booleans = tuple(field.type in (bool, "bool") for field in fields(kind))
        self._names = names
        self.values = attrgetter(*names)
        self.insert = (
            f"INSERT INTO {name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        )
        self.select = f"SELECT {', '.join(names)} FROM {name} ORDER BY {', '.join(key)}"
        conditions = " AND ".join(f"{column} = ?" for column in key)
        self.disable = f"UPDATE {name} SET disabled = ? WHERE {conditions} RETURNING disabled"

    def columns(self, alias: str) -> str:
        """The columns, for a join."""
        return ", ".join(f"{alias}.{name}" for name in self._names)

    def read(self, row: Row) -> tuple[_Thing, Row]:
        """The thing at the front of a row, and the rest; SQLite keeps booleans as 0 and 1."""
        values: dict[str, Any] = {
            name: bool(value) if boolean else value
            for name, value, boolean in zip(self._names, row, self._booleans, strict=False)
        }
        return self._kind(**values), row[len(self._names) :]


_MERCHANTS: Final = _Table("merchants", Merchant, ("merchant_no",))
_TERMINALS: Final = _Table("terminals", Terminal, ("merchant_no", "terminal_id"))
_SESSIONS: Final = _Table("terminal_sessions", TerminalSession, ("merchant_no", "terminal_id"))
_API_KEYS: Final = _Table("api_keys", ApiKey, ("key_id",))
_ACCOUNTS: Final = _Table("accounts", Account, ("account_id",))

_KNOWN_MERCHANT: Final = "SELECT merchant_no FROM merchants WHERE merchant_no = ?"
_TERMINAL: Final = (
    f"SELECT {_MERCHANTS.columns('m')}, {_TERMINALS.columns('t')}, {_SESSIONS.columns('s')} "
    "FROM merchants m JOIN terminals t ON t.merchant_no = m.merchant_no "
    "LEFT JOIN terminal_sessions s "
    "ON s.merchant_no = t.merchant_no AND s.terminal_id = t.terminal_id "
    "WHERE m.pos_merchant_id = ? AND t.terminal_id = ?"
)
_API_KEY: Final = (
    f"SELECT {_MERCHANTS.columns('m')}, {_API_KEYS.columns('k')} "
    "FROM api_keys k JOIN merchants m ON m.merchant_no = k.merchant_no WHERE k.key_id = ?"
)
_KEYS_OF_MERCHANT: Final = (
    f"SELECT {_API_KEYS.columns('k')} FROM api_keys k WHERE k.merchant_no = ? "
    "ORDER BY k.created_at_ms, k.key_id"
)
_FIRST_SESSION: Final = _SESSIONS.insert + " ON CONFLICT DO NOTHING RETURNING version"
_ADD_TERMINAL: Final = _TERMINALS.insert + " ON CONFLICT (merchant_no, terminal_id) DO NOTHING"
_SET_KEY: Final = (
    "UPDATE terminals SET tmk_sealed = ?, tmk_kcv = ? "
    "WHERE merchant_no = ? AND terminal_id = ? RETURNING terminal_id"
)
_SET_OPTIONS: Final = (
    "UPDATE terminals SET options_json = ? "
    "WHERE merchant_no = ? AND terminal_id = ? RETURNING terminal_id"
)
_NEXT_SESSION: Final = (
    "UPDATE terminal_sessions SET version = ?, signed_in = ?, batch_no = ?, signed_in_at_ms = ?, "
    "keys_sealed = ?, previous_keys_sealed = ? "
    "WHERE merchant_no = ? AND terminal_id = ? AND version = ? RETURNING version"
)


async def must_know_merchant(database: Database, merchant_no: str) -> None:
    """Raise ``NotFound`` for a merchant that is not there."""
    if not await database.rows(_KNOWN_MERCHANT, merchant_no):
        raise NotFound("merchant_not_found", "no such merchant", field="merchant_no")


class Provisioning:
    """The store's ``ProvisioningStore`` half."""

    _database: Database

    async def add_merchant(self, merchant: Merchant) -> None:
        """Add a merchant; ``Conflict`` when its number or POS number is taken."""
        await self._add(_MERCHANTS, merchant, "merchant")

    async def merchants(self) -> Sequence[Merchant]:
        """Every merchant, by number."""
        return [_MERCHANTS.read(row)[0] for row in await self._database.rows(_MERCHANTS.select)]

    async def disable_merchant(self, merchant_no: str) -> None:
        """Disable a merchant; nothing is deleted."""
        await self._disable(_MERCHANTS.disable, "merchant", merchant_no)

    async def add_terminal(self, terminal: Terminal) -> None:
        """Add a terminal of a merchant that exists."""
        await must_know_merchant(self._database, terminal.merchant_no)
        await self._add(_TERMINALS, terminal, "terminal")

    async def add_terminals(self, terminals: Sequence[Terminal]) -> None:
        """Add all of them or none; the ``Conflict`` names the first that exists."""
        for merchant_no in sorted({terminal.merchant_no for terminal in terminals}):
            await must_know_merchant(self._database, merchant_no)
        steps = [(_ADD_TERMINAL, _TERMINALS.values(terminal)) for terminal in terminals]
        lost = await self._database.write(steps, guards=len(steps))
        if lost is not None:
            name = terminals[lost].terminal_id
            raise Conflict("already_exists", f"terminal {name} exists already")

    async def terminals(self) -> Sequence[Terminal]:
        """Every terminal, by merchant and terminal id."""
        return [_TERMINALS.read(row)[0] for row in await self._database.rows(_TERMINALS.select)]

    async def terminal(
        self, pos_merchant_id: str, terminal_id: str
    ) -> tuple[Merchant, Terminal, TerminalSession | None] | None:
        """A terminal by F42 and F41, disabled ones too (the flags say so)."""
        rows = await self._database.rows(_TERMINAL, pos_merchant_id, terminal_id)
        if not rows:
            return None
        merchant, rest = _MERCHANTS.read(tuple(rows[0]))
        terminal, rest = _TERMINALS.read(rest)
        session = _SESSIONS.read(rest)[0] if rest[0] is not None else None
        return merchant, terminal, session

    async def disable_terminal(self, merchant_no: str, terminal_id: str) -> None:
        """Disable a terminal."""
        await self._disable(_TERMINALS.disable, "terminal", merchant_no, terminal_id)

    async def set_terminal_key(
        self, merchant_no: str, terminal_id: str, tmk_sealed: bytes, tmk_kcv: str
    ) -> None:
        """Replace a terminal's master key; its session keeps its working keys."""
        await self._change(_SET_KEY, "terminal", tmk_sealed, tmk_kcv, merchant_no, terminal_id)

    async def set_terminal_options(
        self, merchant_no: str, terminal_id: str, options_json: str
    ) -> None:
        """Replace a terminal's options."""
        await self._change(_SET_OPTIONS, "terminal", options_json, merchant_no, terminal_id)

    async def save_session(self, session: TerminalSession) -> bool:
        """Insert version 1 or move version n-1 to n; ``False`` when it moved meanwhile."""
        if session.version == 1:
            moved = await self._database.rows(_FIRST_SESSION, *_SESSIONS.values(session))
        else:
            moved = await self._database.rows(
                _NEXT_SESSION,
                session.version,
                session.signed_in,
                session.batch_no,
                session.signed_in_at_ms,
                session.keys_sealed,
                session.previous_keys_sealed,
                session.merchant_no,
                session.terminal_id,
                session.version - 1,
            )
        return bool(moved)

    async def add_api_key(self, key: ApiKey) -> None:
        """Add an API key of a merchant that exists."""
        await must_know_merchant(self._database, key.merchant_no)
        await self._add(_API_KEYS, key, "API key")

    async def api_keys(self) -> Sequence[ApiKey]:
        """Every API key, by id."""
        return [_API_KEYS.read(row)[0] for row in await self._database.rows(_API_KEYS.select)]

    async def api_key(self, key_id: str) -> tuple[Merchant, ApiKey] | None:
        """An API key with its merchant, disabled ones too (the flags say so)."""
        rows = await self._database.rows(_API_KEY, key_id)
        if not rows:
            return None
        merchant, rest = _MERCHANTS.read(tuple(rows[0]))
        return merchant, _API_KEYS.read(rest)[0]

    async def merchant_api_keys(self, merchant_no: str) -> Sequence[ApiKey]:
        """A merchant's API keys, oldest first."""
        rows = await self._database.rows(_KEYS_OF_MERCHANT, merchant_no)
        return [_API_KEYS.read(row)[0] for row in rows]

    async def disable_api_key(self, key_id: str) -> None:
        """Disable an API key."""
        await self._disable(_API_KEYS.disable, "API key", key_id)

    async def add_account(self, account: Account) -> None:
        """Add a channel account, of one merchant or (empty) of all."""
        if account.merchant_no:
            await must_know_merchant(self._database, account.merchant_no)
        await self._add(_ACCOUNTS, account, "account")

    async def accounts(self) -> Sequence[Account]:
        """Every channel account, by id."""
        return [_ACCOUNTS.read(row)[0] for row in await self._database.rows(_ACCOUNTS.select)]

    async def disable_account(self, account_id: str) -> None:
        """Disable a channel account."""
        await self._disable(_ACCOUNTS.disable, "account", account_id)

    async def _add(self, table: _Table[_Thing], thing: _Thing, what: str) -> None:
        try:
            await self._database.rows(table.insert, *table.values(thing))
        except Duplicate:
            raise Conflict("already_exists", f"this {what} exists already") from None

    async def _disable(self, sql: str, what: str, *key: Value) -> None:
        await self._change(sql, what, True, *key)

    async def _change(self, sql: str, what: str, *values: Value) -> None:
        if not await self._database.rows(sql, *values):
            raise NotFound("not_found", f"no such {what}")

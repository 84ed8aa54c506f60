"""``posgate account add|list|show|disable|settle``: accounts at channels.

Rules: an account's settings are checked by its channel before they are kept; secrets
enter as files or environment variables, never as arguments, and are never shown
again. A new or disabled account takes effect when the gateway starts again.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from channels.host_settlement import host_settlement_of
from channels.port import (
    ByteLink,
    ChannelServices,
    HttpRequest,
    HttpResponse,
    LinkReceiver,
    NotSent,
)
from channels.tcp import connect
from domain.clock import BEIJING
from domain.errors import ConfigurationError, InvalidRequest
from domain.ids import is_merchant_number
from gateway.accounts import build_channel, open_account, seal_secrets
from gateway.cli.days import day_over
from gateway.cli.known import account_of, plugin_of
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.host_settlement import Settled, SettledAs, settle_day
from gateway.keys import read_secret
from gateway.store.port import Account

accounts = typer.Typer(no_args_is_help=True, help="Accounts at channels.")


@accounts.command("add")
def add_account(
    account_id: Annotated[str, typer.Option(help="A name of your own: 1-64 of A-Z a-z 0-9 _ -.")],
    channel: Annotated[str, typer.Option(help="alipay, unionpay_card, …")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, as often as needed.")
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", help="NAME=file:PATH or NAME=env:VARIABLE.")
    ] = None,
    merchant_no: Annotated[
        str, typer.Option("--merchant-no", help="Only this merchant's (default: everybody's).")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add an account at a channel; its settings are checked before they are kept.

    Example: posgate account add --account-id ali1 --channel alipay --set app_id=2021… --set gateway_url=https://… --secret app_private_key=file:app.pem --secret alipay_public_key=file:alipay.pem
    """
    if not is_merchant_number(account_id):
        raise typer.BadParameter("must be 1-64 of A-Z a-z 0-9 _ -", param_hint="--account-id")

    async def work(session: Session) -> Account:
        folder = session.loaded.folder
        settings = _pairs(setting or [], "--set")
        secrets = {
            name: _secret(name, reference, folder)
            for name, reference in _pairs(secret or [], "--secret").items()
        }
        account = Account(
            account_id=account_id,
            channel=channel,
            merchant_no=merchant_no,
            settings_json=orjson.dumps(settings).decode(),
            secrets_sealed=seal_secrets(session.sealer, account_id, secrets),
            created_at_ms=session.clock.now_ms(),
        )
        build_channel(
            account,
            {channel: plugin_of(channel)},
            _no_services(session),
            session.sealer,
            session.loaded.config.payments.till_wait_s,
        )
        await session.store.add_account(account)
        return account

    show([_account_row(in_session(config, work, seals=True))], as_json=json)


def _secret(name: str, reference: str, folder: Path) -> bytes:
    try:
        return read_secret(reference, folder).encode()
    except ConfigurationError as error:
        raise ConfigurationError(f"--secret {name}: {error.message}") from None


def _no_services(session: Session) -> ChannelServices:
    """Enough to build a channel and see whether its settings hold; it calls nobody."""

    async def send(_request: HttpRequest) -> HttpResponse:
        raise NotSent("only checking")

    async def connect(_host: str, _port: int, _receiver: LinkReceiver) -> ByteLink:
        raise NotSent("only checking")

    return ChannelServices(
        clock=session.clock,
        ids=session.ids,
        send=send,
        connect=connect,
        take_sequence=session.store.take_sequence,
    )


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            form = "NAME=VALUE" if option == "--set" else "NAME=file:PATH or NAME=env:VARIABLE"
            raise InvalidRequest("invalid_option", f"{option}: write {form}")
        pairs[name] = value
    return pairs


@accounts.command("list")
def list_accounts(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List channel accounts, without secrets.

    Example: posgate account list
    """

    async def work(session: Session) -> list[Account]:
        return list(await session.store.accounts())

    show([_account_row(one) for one in in_session(config, work)], as_json=json)


@accounts.command("show")
def show_account(
    account_id: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show one account's settings, without secrets.

    Example: posgate account show ali1
    """
    account = in_session(config, lambda session: account_of(session, account_id))
    show([{**_account_row(account), **orjson.loads(account.settings_json)}], as_json=json)


@accounts.command("disable")
def disable_account(account_id: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Take no new payments on an account.

    Example: posgate account disable ali1
    """
    in_session(config, lambda session: session.store.disable_account(account_id))


@accounts.command("settle")
def settle_account(
    account_id: str,
    day: Annotated[
        str, typer.Option(help="The day in Beijing, YYYY-MM-DD (default: yesterday).")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Settle a day with the account's host: tell our totals, hear its own, keep both.

    Exit status 1 unless every batch agrees. Example: posgate account settle card-1 --day 2026-11-29
    """
    asked = day_over(day, "--day") if day else None

    async def work(session: Session) -> Sequence[Settled]:
        account = await account_of(session, account_id)
        services = replace(_no_services(session), connect=connect)
        channel = plugin_of(account.channel).build(open_account(session.sealer, account), services)
        ability = host_settlement_of(channel)
        if ability is None:
            raise InvalidRequest("not_settled", f"{account.channel} has no settlement with a host")
        now_ms = session.clock.now_ms()
        await ability.start_settling()
        try:
            return await settle_day(
                session.store, account_id, ability, _noon_ms(asked, now_ms), now_ms
            )
        finally:
            await channel.close()

    settled = in_session(config, work)
    show([_settled_row(one) for one in settled], as_json=json)
    if any(one.outcome is not SettledAs.EQUAL for one in settled):
        raise typer.Exit(1)


def _noon_ms(day: date | None, now_ms: int) -> int:
    """Noon of a day in Beijing; without one, this time yesterday."""
    if day is None:
        return now_ms - 86_400_000
    return int(datetime.combine(day, time(12), tzinfo=BEIJING).timestamp()) * 1000


def _settled_row(one: Settled) -> dict[str, Any]:
    host = one.host
    return {
        "terminal_id": one.batch.terminal_id,
        "batch_no": one.batch.batch_no,
        "outcome": one.outcome.value,
        "debit_fen": one.ours.debit_fen,
        "debit_count": one.ours.debit_count,
        "credit_fen": one.ours.credit_fen,
        "credit_count": one.ours.credit_count,
        "host_debit_fen": "" if host is None else host.debit_fen,
        "host_debit_count": "" if host is None else host.debit_count,
        "host_credit_fen": "" if host is None else host.credit_fen,
        "host_credit_count": "" if host is None else host.credit_count,
        "detail": one.detail,
    }


def _account_row(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "channel": account.channel,
        "merchant_no": account.merchant_no or "(every merchant)",
        "disabled": account.disabled,
    }

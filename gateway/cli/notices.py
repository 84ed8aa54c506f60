"""``posgate notify list|show|replay|verify|test``: what merchants were told, and telling them again.

Rules: a replay sends the very bytes of the first time under the same event id, on a fresh
schedule; running gateways find it by themselves. URLs are shown without their query,
which may hold a merchant's own token.
"""

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from channels.port import AnswerLost, NotSent
from domain.clock import iso_utc
from domain.errors import ConfigurationError, NotFound, Unprocessable
from gateway.cli.known import require_merchant
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    fail,
    in_session,
    print_json,
    show,
)
from gateway.delivery import MerchantNetwork, outbound_policy
from gateway.directory import choose_signing_key
from gateway.keys import read_secret
from gateway.notifications import Delivery, signed_headers
from gateway.outbound import Refused, refusal
from gateway.sources import random_bytes
from gateway.store.port import NoticeState, NoticeStore, StoredNotice
from signing.merchant import answer_string, verify

notices = typer.Typer(no_args_is_help=True, help="Notifications to merchants.")

_PAGE: Final = 500
_HEADERS: Final = ("Posgate-Timestamp", "Posgate-Nonce", "Posgate-Signature")

MerchantFilter = Annotated[str, typer.Option("--merchant", help="Only this merchant's.")]
StateFilter = Annotated[
    NoticeState | None, typer.Option("--state", help="Only those that stand so.")
]


@notices.command("list")
def list_notices(
    merchant: MerchantFilter = "",
    state: StateFilter = None,
    payment: Annotated[str, typer.Option(help="Only this payment's, by its id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List notices, oldest first; ``--state dead`` is the dead-letter list.

    Example: posgate notify list --merchant M1 --state dead
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        await require_merchant(session, merchant)
        rows: list[dict[str, Any]] = []
        async for stored in _every(session.store, merchant, payment, state):
            if len(rows) == limit:
                break
            rows.append(_row(stored))
        return rows

    show(in_session(config, work), as_json=json)


@notices.command("show")
def show_notice(
    event_id: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show one notice with what the merchant is sent.

    Example: posgate notify show evt_…
    """

    async def work(session: Session) -> dict[str, Any]:
        stored = await _found(session.store, event_id)
        notice = stored.notice
        return _row(stored) | {
            "url": notice.url.partition("?")[0],
            "done_at": iso_utc(stored.done_at_ms) if stored.done_at_ms else None,
            "body": orjson.loads(notice.body) if json else notice.body.decode(),
        }

    show([in_session(config, work)], as_json=json)


@notices.command("replay")
def replay(
    event_id: Annotated[str, typer.Argument(help="One notice, delivered or dead.")] = "",
    merchant: MerchantFilter = "",
    state: StateFilter = None,
    since: Annotated[
        str, typer.Option(help="Only those made since: 2026-11-22 or 2026-11-22T07:15:00Z (UTC).")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Send a notice again, or all of a merchant's that stand so; what is pending stays so.

    Example: posgate notify replay --merchant M1 --state dead --since 2026-11-22
    """
    if bool(event_id) == bool(merchant):
        raise typer.BadParameter("give one EVENT_ID, or --merchant with --state")
    if event_id and (state is not None or since):
        raise typer.BadParameter("--state and --since choose among a merchant's, not with EVENT_ID")
    if merchant and state not in (NoticeState.DEAD, NoticeState.DELIVERED):
        raise typer.BadParameter("dead or delivered", param_hint="--state")
    since_ms = _time_ms(since) if since else 0

    async def work(session: Session) -> int:
        now_ms = session.clock.now_ms()
        if event_id:
            await _found(session.store, event_id)
            if not await session.store.replay_notice(event_id, now_ms):
                raise Unprocessable("notice_pending", f"{event_id} is pending: it is being sent")
            return 1
        await require_merchant(session, merchant)
        count = 0
        async for stored in _every(session.store, merchant, "", state):
            if stored.notice.created_at_ms >= since_ms:
                count += await session.store.replay_notice(stored.notice.event_id, now_ms)
        return count

    count = in_session(config, work)
    if json:
        print_json({"replayed": count})
    else:
        typer.echo(f"{count} to be sent again")


@notices.command("verify")
def verify_notice(
    secret: Annotated[str, typer.Option(help="The API secret: file:PATH or env:NAME.")],
    body: Annotated[
        Path | None, typer.Option(help="The body, byte for byte as it was received.")
    ] = None,
    headers: Annotated[
        Path | None, typer.Option(help="The headers, one a line; without it: standard input.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say whether a received notification is ours: a merchant's self-test.

    Standard input holds what is not in a file: the headers, an empty line, the body.

    Example: posgate notify verify --headers headers.txt --body body.json --secret file:api-secret
    """
    key = _secret(secret)
    if headers is None:
        head, content = _split(sys.stdin.buffer.read())
    else:
        head, content = _read(headers), b"" if body else sys.stdin.buffer.read()
    if body is not None:
        content = _read(body)
    found = _signing_headers(head)
    missing = [name for name in _HEADERS if not found.get(name.lower())]
    is_valid = False
    if not missing:
        timestamp, nonce, signature = (found[name.lower()] for name in _HEADERS)
        message = answer_string(timestamp, nonce, content)
        is_valid = verify(key, message, signature)
    row = {
        "valid": is_valid,
        "missing": ", ".join(missing) or None,
        "sent_at": _sent_at(found.get("posgate-timestamp", "")),
        "key_id": found.get("posgate-key-id"),
        "body_bytes": len(content),
    }
    show([row], as_json=json)
    raise typer.Exit(0 if is_valid else 1)


@notices.command("test")
def test_endpoint(
    url: Annotated[str, typer.Argument(help="The endpoint, as in notify_url.")],
    merchant: Annotated[str, typer.Option("--merchant", help="Whose key signs.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Send a signed ``ping`` to an endpoint, once, and say what came back.

    Example: posgate notify test https://shop.example/paid --merchant M1
    """

    async def work(session: Session) -> dict[str, Any]:
        said = await _ping(session, url, merchant)
        return {"acknowledged": said.isdigit() and said.startswith("2"), "said": said}

    row = in_session(config, work)
    show([row], as_json=json)
    raise typer.Exit(0 if row["acknowledged"] else 1)


async def _ping(session: Session, url: str, merchant: str) -> str:
    policy = outbound_policy(session.loaded.config.notifications)
    reason = refusal(url, policy) if url else "no address is given"
    if reason:
        return f"refused: {reason}"
    keys = await session.store.merchant_api_keys(merchant)
    key = choose_signing_key(keys, session.sealer)
    if key is None:
        raise NotFound("api_key_not_found", f"{merchant} has no API key that is not disabled")
    now_ms = session.clock.now_ms()
    event = {
        "event_id": session.ids.new("evt_"),
        "type": "ping",
        "sequence": 0,
        "created_at": iso_utc(now_ms),
    }
    body = orjson.dumps(event)
    headers = signed_headers(key, body, now_ms=now_ms, random_bytes=random_bytes)
    network = MerchantNetwork(session.loaded)
    await network.start()
    try:
        return str(await network.deliver(Delivery(url=url, headers=headers, body=body)))
    except Refused as fault:
        return f"refused: {fault}"
    except (NotSent, AnswerLost) as fault:
        return str(fault)
    finally:
        await network.close()


async def _every(
    store: NoticeStore, merchant: str, payment: str, state: NoticeState | None
) -> AsyncIterator[StoredNotice]:
    """All notices that fit, by id, a page at a time."""
    after = ""
    while True:
        page = await store.notices(
            merchant_no=merchant, payment_id=payment, state=state, after=after, limit=_PAGE
        )
        for stored in page:
            yield stored
        if len(page) < _PAGE:
            return
        after = page[-1].notice.event_id


async def _found(store: NoticeStore, event_id: str) -> StoredNotice:
    stored = await store.notice(event_id)
    if stored is None:
        raise NotFound("notice_not_found", f"no notice {event_id}")
    return stored


def _row(stored: StoredNotice) -> dict[str, Any]:
    notice = stored.notice
    return {
        "event_id": notice.event_id,
        "type": notice.type,
        "payment_id": notice.payment_id,
        "sequence": notice.sequence,
        "endpoint": notice.endpoint,
        "state": stored.state.value,
        "attempts": stored.attempts,
        "last_error": stored.last_error or None,
        "created_at": iso_utc(notice.created_at_ms),
    }


def _time_ms(text: str) -> int:
    """A day or a time in UTC, in ms."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 2026-11-22 or 2026-11-22T07:15:00Z") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _split(whole: bytes) -> tuple[bytes, bytes]:
    """Headers and body, as an empty line parts them."""
    ends = [(at, mark) for mark in (b"\r\n\r\n", b"\n\n") if (at := whole.find(mark)) >= 0]
    if not ends:
        return whole, b""
    at, mark = min(ends)
    return whole[:at], whole[at + len(mark) :]


def _signing_headers(head: bytes) -> dict[str, str]:
    """Header lines by lower-case name; a request line among them does no harm."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().lower()] = value.strip()
    return found


def _sent_at(timestamp: str) -> str | None:
    is_time = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12
    return iso_utc(int(timestamp) * 1000) if is_time else None


def _secret(reference: str) -> bytes:
    if not reference.startswith(("file:", "env:")):
        raise typer.BadParameter("file:PATH or env:NAME", param_hint="--secret")
    try:
        return read_secret(reference, Path.cwd()).encode()
    except ConfigurationError as error:
        fail(error)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read ({error.strerror})") from None

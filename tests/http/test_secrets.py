"""I10: a whole run through both doors leaves nothing sensitive in logs, answers or files."""

import sqlite3
from pathlib import Path

from gateway.cli.terminal_client import TerminalClient
from pos_protocol.card import magnetic_card
from sandbox.scenarios import ALIPAY_CODES, CARDS
from signing.pos import CipherKey
from tests.support.gateway import Place, Running, scanned


async def _a_busy_day(running: Running) -> None:
    """Good, bad and ugly requests through both doors."""
    for code in ALIPAY_CODES.values():
        await running.api.pay(code, wait_s=0)
    for card in CARDS.values():
        code_in_wrong_field = {"amount": card.pan, "subject": card.pan, "store_id": card.pan}
        await running.api.call("POST", "/v1/payments", scanned("28", **code_in_wrong_field))
        await running.api.call("POST", "/v1/payments", f"not json {card.pan}".encode())
        await running.api.find(card.pan)
        await running.api.get(card.pan)
    await running.api.send("POST", "/v1/payments", b"{}", {"Authorization": "Bearer x"})
    payment = (await running.api.pay("280000000000000077")).json
    await running.api.cancel(payment["id"])


async def _a_busy_terminal(running: Running) -> None:
    client = TerminalClient(running.terminal())
    try:
        await client.exchange(client.terminal.sign_in())
        for card in CARDS.values():
            request = client.terminal.sale(magnetic_card(card.pan, "3012"), 300, card.pin)
            await client.exchange(request)
        await client.exchange(client.terminal.qr_sale("280000000000000088", 100))
    finally:
        await client.close()


def secrets_of(place: Place) -> list[bytes]:
    """Everything that may stand in no text."""
    found = [place.key.secret, place.other_key.secret]
    for terminal in place.terminals:
        found += [terminal.tmk, terminal.tmk.lower()]
    found += [*ALIPAY_CODES.values(), "280000000000000077", "280000000000000088"]
    found += [card.pan for card in CARDS.values()]
    for name in ("master.key", "link-tmk.key"):
        text = (place.folder / name).read_text()
        found += [text, text.upper()]
    for name in ("app-private.pem", "alipay-private.pem", "server-key.pem"):
        found += (place.folder / name).read_text().splitlines()[1:-1]
    return [text.encode() for text in found]


def test_the_list_of_secrets_finds_what_it_looks_for(tmp_path: Path) -> None:
    """A self-test: the search below sees a planted secret."""
    assert leaks([b"abc", b"secret"], b"a line\nwith a secret in it\n") == [b"secret"]
    assert CipherKey(bytes(16)).raw().hex() not in repr(CipherKey(bytes(16)))


def leaks(secrets: list[bytes], text: bytes) -> list[bytes]:
    """The secrets that stand in ``text``."""
    return [secret for secret in secrets if secret in text]


async def test_neither_log_nor_database_nor_metrics_hold_a_secret(place: Place) -> None:
    """Every secret, code and card of a busy day is looked for in everything that was written."""
    place.configure(logs={"level": "debug"})
    async with place.gateway() as running:
        await _a_busy_day(running)
        await _a_busy_terminal(running)
        metrics = (await running.api.send("GET", "/metrics")).raw
        ready = (await running.api.send("GET", "/readyz")).raw
    log = running.log_file.read_bytes()
    assert len(running.lines()) > 40
    secrets = secrets_of(place)
    assert leaks(secrets, log) == []
    assert leaks(secrets, metrics + ready) == []
    for file in place.folder.glob("posgate.db*"):
        assert leaks(secrets, file.read_bytes()) == []
    database = sqlite3.connect(place.folder / "posgate.db")
    assert database.execute("SELECT count(*) FROM payments").fetchone()[0] > 10
    dump = "\n".join(database.iterdump()).encode()
    database.close()
    hexadecimal = [secret.hex().encode() for secret in secrets]
    assert leaks(secrets, dump) == []
    assert leaks(hexadecimal, dump.lower()) == []


async def test_every_request_has_one_canonical_line(place: Place) -> None:
    """With its status, time and request id; bound to its payment."""
    async with place.gateway() as running:
        payment = (await running.api.pay(ALIPAY_CODES[next(iter(ALIPAY_CODES))])).json
        refused = await running.api.find("nothing")
    lines = [line for line in running.lines() if line["event"] == "api request"]
    paid, missed = lines
    assert (paid["call"], paid["status"], paid["payment_id"]) == ("create", 201, payment["id"])
    assert (paid["payment_status"], paid["channel"]) == ("succeeded", "alipay")
    assert (missed["call"], missed["code"]) == ("find", "payment_not_found")
    assert missed["request_id"] == refused.json["error"]["request_id"]
    assert all(line["timestamp"].endswith("Z") for line in running.lines())


async def test_every_log_line_is_json(place: Place) -> None:
    """Whatever an engine, a link or a fault says."""
    async with place.gateway() as running:
        await running.api.pay("280000000000000077")
    assert all(isinstance(line, dict) and "event" in line for line in running.lines())

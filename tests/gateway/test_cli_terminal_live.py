"""The terminal on the command line and the real gateway, with every dialect between them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from gateway.cli.local_ca import LocalCa
from gateway.cli.session import Session
from gateway.cli.terminal_client import TerminalPlace
from gateway.cli.terminal_download import KINDS, download
from gateway.cli.terminal_provisioning import seal_master
from gateway.cli.terminal_script import Day, Played, read_script
from gateway.cli.terminal_settlement import settle
from gateway.cli.terminal_till import Till
from gateway.store.batch_records import BatchKey, DifferenceKind
from gateway.store.port import Terminal
from pos_protocol.outcome import AnswerFault
from pos_protocol.tlv import ber_build
from signing.pos import CipherKey, KeyScheme
from tests.support.gateway import Place, Running, place

__all__ = ["place"]

PAN = "9900000000000010"
TMK = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
DAY = f"""
- sign-in
- echo
- sale: {{amount: 1990, pan: {PAN}, as: coffee}}
- sale: {{amount: 100, pan: {PAN}, chip: true, as: tea}}
- sale: {{amount: 5000, pan: 9900000000000028, expect: 51}}
- void: {{of: tea}}
- refund: {{of: coffee, amount: 990}}
- scan: {{amount: 500, code: "280000000000000001", as: code}}
- status: {{of: code}}
- query
- scan-refund: {{of: code, amount: 200}}
- preauth: {{amount: 9000, pan: {PAN}, as: room}}
- complete: {{of: room, amount: 8000}}
- balance: {{pan: {PAN}}}
- offline-sale: {{amount: 900, pan: {PAN}, auth_code: "123456", as: stall}}
- adjust: {{of: stall, amount: 1000}}
- offline-sale: {{amount: 100, pan: {PAN}, as: fair}}
- refund: {{of: fair, amount: 40}}
- sale: {{amount: 333, pan: 9988000000000015, as: guest}}
- sale: {{amount: 444, pan: 9988000000000015}}
- refund: {{of: guest, amount: 33}}
- moto-sale: {{amount: 250, pan: {PAN}}}
- sale: {{amount: 600, pan: {PAN}, as: supper}}
- tip: {{of: supper, tip: 60}}
- adjust: {{of: supper, amount: 900, expect: 25}}
- void: {{of: supper, expect: 64}}
- sale: {{amount: 700, pan: {PAN}}}
- reverse
- settle: {{totals: equal}}
- sale: {{amount: 300, pan: {PAN}}}
- settle: {{totals: equal}}
- sign-out
- sale: {{amount: 1, pan: {PAN}, expect: 77}}
"""


@pytest.fixture
async def running(place: Place) -> AsyncIterator[Running]:
    """A gateway that reads its terminals again at once."""
    place.configure(directory={"fresh_s": 0.05})
    async with place.gateway() as it:
        yield it


async def provisioned(
    running: Running, key_scheme: str, mac: str, options: dict[str, str]
) -> TerminalPlace:
    """A new terminal of this kind, known on both sides."""
    kept = orjson.dumps(options).decode()

    async def add(session: Session) -> None:
        master = CipherKey(TMK, KeyScheme(key_scheme).algorithm)
        await session.store.add_terminal(
            Terminal(
                merchant_no="M0001",
                terminal_id="99200001",
                key_scheme=key_scheme,
                mac=mac,
                allow_weak_pin=False,
                tmk_sealed=seal_master(session, "M0001", "99200001", master),
                tmk_kcv=master.kcv().hex().upper(),
                created_at_ms=session.clock.now_ms(),
                options_json=kept,
            )
        )

    async with running.place.session() as session:
        await add(session)
    return replace(
        running.terminal(), terminal_id="99200001", tmk=TMK, key_scheme=key_scheme, mac=mac,
        options_json=kept,
    )  # fmt: skip


async def played(where: TerminalPlace, folder: Path, script: str) -> list[Played]:
    """A day at a terminal."""
    (folder / "day.yaml").write_text(script)
    till = Till(where, folder / "state.json")
    return await Day(till).play(read_script(folder / "day.yaml"))


@pytest.mark.parametrize(
    ("scheme", "mac", "options"),
    [
        ("des", "cup-ecb", {}),
        ("des", "x9.9", {"f64": "raw"}),
        ("3des", "x9.19", {"f60_digits": "12"}),
        ("3des", "cup-ecb", {"mak_bytes": "16", "pad": "F", "tpdu": "echo", "header": "none"}),
        ("3des-tdk", "cup-ecb", {"encrypts_tracks": "true", "header": "routed"}),
        ("sm4", "cup-sm4", {"f64": "raw"}),
    ],
)
async def test_a_day_in_every_dialect(
    running: Running, tmp_path: Path, scheme: str, mac: str, options: dict[str, str]
) -> None:
    """Two batches with everything in them come out equal on both sides."""
    where = await provisioned(running, scheme, mac, options)
    wrong = [one.as_dict() for one in await played(where, tmp_path, DAY) if not one.agrees]
    assert wrong == []


async def test_a_batch_that_differs_is_uploaded_and_closed(
    running: Running, tmp_path: Path
) -> None:
    """A terminal that forgot a sale: the host asks for every line, and both go on."""
    where = running.terminal()
    till = Till(where, tmp_path / "state.json")
    steps = [f"- sale: {{amount: {100 + number}, pan: {PAN}}}" for number in range(10)]
    day = await played(where, tmp_path, "\n".join(["- sign-in", *steps]))
    assert all(one.agrees for one in day)
    state = orjson.loads((tmp_path / "state.json").read_bytes())
    lost = state["journal"].pop(4)["fields"]["11"]
    (tmp_path / "state.json").write_bytes(orjson.dumps(state))
    till = Till(where, tmp_path / "state.json")
    settled = await settle(till, [PAN])
    assert (settled.agreed, settled.uploaded, settled.without_card) == (False, 9, 0)
    assert settled.last.outcome.approved
    async with running.place.session() as session:
        key = BatchKey("M0001", where.terminal_id, int(settled.batch))
        found = await session.store.differences_of_batch(key, None, 100)
    assert {(one.trace, one.kind) for one in found} == {
        ("", DifferenceKind.TOTALS_DIFFER),
        (lost, DifferenceKind.ONLY_HOST),
    }
    after = await till.do(lambda it: it.terminal.sign_in())
    assert after.outcome.approved and till.terminal.batch == settled.next_batch
    await till.close()
    again = await played(
        where, tmp_path, f"- sale: {{amount: 1, pan: {PAN}}}\n- settle: {{totals: equal}}"
    )
    assert all(one.agrees for one in again)


async def test_a_rotated_master_key_costs_no_sale(running: Running, tmp_path: Path) -> None:
    """Who is signed in goes on; the next sign-in is under the new key, the old one is useless."""
    where = await provisioned(running, "3des", "cup-ecb", {})
    sale = f"- sale: {{amount: 1, pan: {PAN}, pin: 123456}}"
    assert all(one.agrees for one in await played(where, tmp_path, f"- sign-in\n{sale}"))
    new = bytes.fromhex("FFEEDDCCBBAA99887766554433221100")
    async with running.place.session() as session:
        master = CipherKey(new)
        sealed = seal_master(session, "M0001", "99200001", master)
        await session.store.set_terminal_key("M0001", "99200001", sealed, "00000000")
    assert all(one.agrees for one in await played(where, tmp_path, sale))
    (refused,) = await played(where, tmp_path, "- wait: {seconds: 0.1}\n- sign-in")
    assert refused.actual == AnswerFault.BAD_KEYS.value
    where = replace(where, tmk=new)
    day = await played(where, tmp_path, f"- sign-in\n{sale}\n- settle: {{totals: equal}}")
    assert all(one.agrees for one in day)


async def test_downloads_of_a_real_catalogue(place: Place, tmp_path: Path) -> None:
    """Keys by name, parameters block by block: every entry arrives once."""
    keys = [
        ber_build([("9F06", bytes(5)), ("9F22", bytes([index])), ("DF02", bytes([index]) * 200)])
        for index in range(1, 8)
    ]
    groups = [ber_build([("DF01", bytes([index]) * 120)]) for index in range(20)]
    for name, entries in (("keys.json", keys), ("groups.json", groups)):
        (place.folder / name).write_bytes(orjson.dumps([entry.hex().upper() for entry in entries]))
    files = {"public_keys": "keys.json", "parameters": "groups.json"}
    place.configure(pos={"downloads": files})
    async with place.gateway() as running:
        till = Till(running.terminal(), tmp_path / "state.json")
        for word, entries in (("keys", keys), ("parameters", groups), ("applications", [])):
            found = await download(till, KINDS[word])
            assert found.last.outcome.approved
            assert [ber_build(entry) for entry in found.entries] == entries
        await till.close()


@pytest.mark.parametrize("https", [False, True])
async def test_under_tls_and_in_https_bodies(place: Place, tmp_path: Path, https: bool) -> None:
    """The same day on the other two ports; a server of another authority is refused."""
    tls = {"certificate_file": "server.pem", "key_file": "server-key.pem"}
    place.configure(pos={"tls": tls, "tls_port": 0, "https_port": 0})
    async with place.gateway() as running:
        port = running.bound.pos_https_port if https else running.bound.pos_tls_port
        ca_file = str(place.installation.ca_file)
        where = replace(running.terminal(), port=port, ca_file=ca_file, https=https)
        assert all(one.agrees for one in await played(where, tmp_path, DAY))
        LocalCa(datetime.now(UTC)).write_server_certificate(tmp_path)
        stranger = replace(where, ca_file=str(tmp_path / "ca.pem"))
        (refused,) = await played(stranger, tmp_path, "- echo")
        assert not refused.agrees and "nothing was sent" in refused.text

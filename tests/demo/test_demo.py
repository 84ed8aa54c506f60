"""The demo and the contract's ``--info`` file, from outside."""

import html
import os
import re
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientSession

from domain.clock import BEIJING
from tests.demo.demo_process import Demo, posgate, processes_of, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

COLUMNS = {"door", "channel", "scenario", "amount_fen", "expected", "actual"}
WAITING = {"user_paying", "never_pays"}
CODES = {"approved", "declined", "lost_response_charged", "lost_response_not_charged"} | WAITING
PREFIXES = {"alipay": "28", "wechat": "13", "unionpay_qr": "62"}
"""The channels that are paid by a code, and how their codes begin."""
CARD = {
    "approved",
    "insufficient_funds",
    "wrong_pin",
    "lost_response_charged",
    "lost_response_not_charged",
}
FINAL = ("succeeded", "closed", "reversed", "failed")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def demos(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Demo]]:
    """The demos that this file's tests have started, the running one last."""
    started: list[Demo] = []
    try:
        yield started
        for running in started:
            await running.end()
    finally:
        for running in started:
            running.kill_everything()


@pytest_asyncio.fixture(loop_scope="module")
async def demo(demos: list[Demo], tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The running demo in its long form; another one if a test has ended it."""
    if not demos or demos[-1].process.returncode is not None:
        demos.append(Demo(tmp_path_factory.mktemp("demo")))
        await demos[-1].start()
        await demos[-1].ready()
    return demos[-1]


def rows_of(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(row["door"], row["channel"], row["scenario"]) for row in rows}


def paid_by_code(scenarios: set[str]) -> set[tuple[str, str, str]]:
    """The rows of every channel that is paid by a code: each scenario at both doors."""
    return {(d, c, s) for d in ("https", "pos") for c in PREFIXES for s in scenarios}


async def test_once_as_json(tmp_path: Path) -> None:
    """Exit status 0, every row agrees, no scenario that waits for a payer, nothing left over."""
    folder = tmp_path / "data"
    status, rows, said = await posgate(
        "demo", "--once", "--json", "--data", str(folder), cwd=tmp_path
    )
    assert (status, said) == (0, "")
    for row in rows:
        assert row.keys() == COLUMNS
        assert type(row["amount_fen"]) is int and row["amount_fen"] > 0
        assert row["expected"] == row["actual"] != ""
    assert rows_of(rows) == paid_by_code(CODES - WAITING) | {("pos", "card", s) for s in CARD}
    assert len(rows_of(rows)) == len(rows)
    assert processes_of(folder) == {}


async def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    """Exit status 2, the reason, and the stranger's file is still there."""
    (tmp_path / "thesis.txt").write_text("three years")
    status, _, said = await posgate("demo", "--once", "--data", str(tmp_path), cwd=tmp_path)
    assert status == 2 and "not empty" in said
    assert (tmp_path / "thesis.txt").read_text() == "three years"


async def test_the_long_form_pays_every_scenario(demo: Demo) -> None:
    """Those that wait for a payer too."""
    assert rows_of(demo.rows) == paid_by_code(CODES) | {("pos", "card", s) for s in CARD}
    assert all(row["expected"] == row["actual"] for row in demo.rows)


_APP = re.compile(r'<a class="(\w+)" href="([^"]+)">')
"""An app that the sandbox offers, and where it scans."""


async def test_a_person_can_pay_where_the_demo_says(demo: Demo) -> None:
    """The printed address: the choice of an app; it scans, its payer is known, our page asks."""
    printed = urlsplit(demo.printed("Pay as a payer, in a browser: "))
    async with ClientSession() as http, http.get(printed.geturl()) as answer:
        assert answer.status == 200
        apps = dict(_APP.findall(await answer.text()))
    assert apps.keys() == {"wechat", "alipay", "unionpay"}
    app, cookie = urlsplit(html.unescape(apps["wechat"])), ""
    assert (app.hostname, app.port) == ("wechat.localhost", printed.port)
    site, path = f"{printed.scheme}://{printed.netloc}", f"{app.path}?{app.query}"
    async with ClientSession() as http:
        for status in (303, 302, 303, 200):
            head = {"Host": app.netloc, "Cookie": cookie}
            async with http.get(site + path, headers=head, allow_redirects=False) as answer:
                shown = await answer.text()
                assert answer.status == status, (path, shown)
                cookie = cookie or answer.headers["Set-Cookie"].partition(";")[0]
                path = answer.headers.get("Location", "")
    assert 'data-state="ready"' in shown
    assert 'src="/.wallet/wechat/bridge.js"' in shown


async def test_the_info_file_has_the_contracts_shape(demo: Demo) -> None:
    """Exactly its keys; a channel that is not built is absent; paths are absolute."""
    info = demo.info
    assert info.keys() == {"pos", "api", "sandbox", "scenarios", "pids"}
    assert info["pos"].keys() == {"host", "port", "merchant_id", "terminals"}
    assert len(info["pos"]["merchant_id"]) == 15
    for terminal in info["pos"]["terminals"]:
        assert terminal.keys() == {"terminal_id", "tmk", "key_scheme", "mac"}
        assert len(terminal["terminal_id"]) == 8 and len(bytes.fromhex(terminal["tmk"])) == 16
        assert (terminal["key_scheme"], terminal["mac"]) == ("3des", "cup-ecb")
    assert len({t["tmk"] for t in info["pos"]["terminals"]}) == len(info["pos"]["terminals"]) > 1
    assert info["api"].keys() == {"base_url", "ca_file", "merchant_no", "key_id", "secret"}
    assert info["sandbox"].keys() == {"alipay", "wechat", "unionpay", "control_url"}
    alipay = info["sandbox"]["alipay"]
    files = {"app_private_key_file", "alipay_public_key_file"}
    assert alipay.keys() == {"gateway_url", "app_id", *files}
    unionpay = info["sandbox"]["unionpay"]
    acp = {"base_url", "file_url", "mer_id", "signer_name", "sign_pfx_password"}
    acp_files = {
        "sign_pfx",
        "sign_key",
        "sign_certificate",
        "root_certificate",
        "middle_certificate",
    }
    acp |= {f"{name}_file" for name in acp_files}
    assert unionpay.keys() == {"card_host", "card_port"} | {f"acp_{name}" for name in acp}
    for name in acp_files:
        assert Path(unionpay[f"acp_{name}_file"]).is_file()
    wechat = info["sandbox"]["wechat"]
    wechat_files = {
        "merchant_private_key_file", "platform_public_key_file", "platform_certificate_file",
        "client_certificate_file", "client_key_file",
    }  # fmt: skip
    assert wechat.keys() == wechat_files | {
        "base_url", "appid", "mchid", "api_v2_key", "apiv3_key", "merchant_serial",
        "platform_public_key_id",
    }  # fmt: skip
    assert wechat["base_url"].startswith("https://") and len(wechat["apiv3_key"]) == 32
    assert all(Path(wechat[name]).is_absolute() and Path(wechat[name]).is_file()
               for name in wechat_files)  # fmt: skip
    assert info["sandbox"]["control_url"].startswith("http://")
    assert info["pids"].keys() == {"gateway", "sandbox"}
    for file in (info["api"]["ca_file"], *(alipay[name] for name in files)):
        assert Path(file).is_absolute() and Path(file).is_file()
    assert b"BEGIN PRIVATE KEY" in Path(alipay["app_private_key_file"]).read_bytes()
    assert demo.info_file.stat().st_mode & 0o077 == 0


async def test_the_scenarios_of_the_info_file(demo: Demo) -> None:
    """Codes with the channel's prefix; cards that are invented, Luhn-valid and start with 99."""
    scenarios = demo.info["scenarios"]
    assert scenarios.keys() == {"card", *PREFIXES}
    for channel, prefix in PREFIXES.items():
        assert scenarios[channel].keys() == CODES
        assert all(
            c.startswith(prefix) and len(c) == (19 if prefix == "62" else 18)
            for c in scenarios[channel].values()
        )
    assert scenarios["card"].keys() == CARD
    for card in scenarios["card"].values():
        assert card.keys() == {"pan", "pin"}
        numbers = [int(digit) for digit in reversed(card["pan"])]
        total = sum(n if i % 2 == 0 else sum(divmod(2 * n, 10)) for i, n in enumerate(numbers))
        assert total % 10 == 0 and card["pan"].startswith("99")


async def test_the_acquirers_files_hold_what_the_card_host_charged(
    demo: Demo, tmp_path: Path
) -> None:
    """Where the QR merchant's file is, of the clearing days that it may be now; and the night
    that is given the one without order numbers finds every order by terminal and trace."""
    site = demo.info["sandbox"]["unionpay"]["acp_file_url"] + "/card-files/"
    kept_fen, now = 0, datetime.now(BEIJING)
    for day in sorted({(now - timedelta(hours=hours)).date() for hours in (1, -1)}):
        files = await fetched(f"{site}{day:%Y%m%d}", tmp_path)
        for path in (one for one in files if "ACOMN" in one.name):
            inspect = ("bill", "inspect", str(path), "--channel", "unionpay", "--json")
            status, found, said = await posgate(*inspect, cwd=tmp_path)
            assert status == 0, said
            kept_fen += found["payments"]["amount_fen"] - found["refunds"]["amount_fen"]
        for path in (one for one in files if "ACOM_" in one.name):
            account = ("--account", "card-1", "--bill", str(path), "--json")
            night = ("reconcile", "-c", str(demo.data / "config.yaml"), "--date", f"{day}")
            status, nights, said = await posgate(*night, *account, cwd=tmp_path)
            assert status == 0, said
            assert [(one["state"], one["differences"]) for one in nights] == [("done", 0)]
            assert nights[0]["matched"] == nights[0]["lines"] > 0
    charges = [one for one in await demo.charges() if one["channel"] == "unionpay_card"]
    assert kept_fen == sum(one["charged_fen"] - one["returned_fen"] for one in charges) > 0


async def fetched(site: str, folder: Path) -> list[Path]:
    """Every file of one day."""
    files = []
    async with ClientSession() as http:
        async with http.get(site) as listed:
            names = (await listed.text()).split() if listed.status == 200 else []
        for name in names:
            async with http.get(f"{site}/{name}") as file:
                files.append(folder / name)
                files[-1].write_bytes(await file.read())
    return files


async def test_the_pids_are_the_processes(demo: Demo) -> None:
    """The gateway serves, the sandbox simulates, and both are the demo's."""
    running, pids = processes_of(demo.data), demo.info["pids"]
    assert " serve " in running[pids["gateway"]]
    assert " sandbox " in running[pids["sandbox"]]


async def test_https_with_the_demos_own_authority(demo: Demo) -> None:
    """The certificate verifies under ca_file, and a signed payment goes through."""
    assert (await demo.call("GET", "/healthz"))[0] == 200
    assert (await demo.call("GET", "/readyz"))[0] == 200
    assert (await demo.call("GET", "/v1/openapi.json"))[1]["openapi"].startswith("3.")
    body = {
        "merchant_order_no": "outside-1",
        "amount": 4200,
        "currency": "CNY",
        "subject": "Tea",
        "method": {"type": "auth_code", "auth_code": demo.info["scenarios"]["alipay"]["approved"]},
    }
    status, payment = await demo.call("POST", "/v1/payments", body)
    assert (status, payment["status"], payment["amount"]) == (201, "succeeded", 4200)
    charge = next(c for c in await demo.charges() if c["order_no"] == payment["channel_order_no"])
    assert (charge["charged_fen"], charge["returned_fen"]) == (4200, 0)


async def test_a_terminal_on_the_command_line(demo: Demo, tmp_path: Path) -> None:
    """Echo, 77 before the first sign-in (unused), then sign-in, sale, reverse and scan."""
    scenarios, terminal = demo.info["scenarios"], demo.info["pos"]["terminals"][0]["terminal_id"]

    async def at(name: str, *options: str) -> tuple[int, Any]:
        given = ("--info", str(demo.info_file), "--json")
        status, row, said = await posgate("terminal", name, *given, *options, cwd=tmp_path)
        assert said == ""
        assert row["terminal_id"] == terminal
        return status, row

    card = ("--pan", scenarios["card"]["approved"]["pan"], "--pin", "123456")
    assert (await at("echo"))[0] == 0
    before = await at("scan", "--amount", "700", "--code", scenarios["alipay"]["approved"])
    assert (before[0], before[1]["response_code"]) == (1, "77")
    assert (await at("sign-in"))[0] == 0
    status, sale = await at("sale", "--amount", "1990", *card)
    assert (status, sale["response_code"], sale["amount_fen"]) == (0, "00", 1990)
    net = {c["order_no"]: c["charged_fen"] - c["returned_fen"] for c in await demo.charges()}
    status, reversal = await at("reverse")
    assert (status, reversal["response_code"], reversal["trace"]) == (0, "00", sale["trace"])

    async def is_returned() -> bool:
        return any(
            net.get(c["order_no"]) == 1990 and c["returned_fen"] == c["charged_fen"] == 1990
            for c in await demo.charges()
        )

    await until(is_returned)
    status, scan = await at("scan", "--amount", "500", "--code", scenarios["alipay"]["approved"])
    assert (status, scan["response_code"]) == (0, "00")
    poor = scenarios["card"]["insufficient_funds"]
    status, declined = await at("sale", "--amount", "1", "--pan", poor["pan"], "--pin", poor["pin"])
    assert (status, declined["response_code"], declined["approved"]) == (1, "51", False)


async def test_a_tills_day_as_the_documents_show_it(demo: Demo, tmp_path: Path) -> None:
    """``docs/examples/day.yaml``, from sign-in to sign-out: every answer is the one it names."""
    example = Path(__file__).resolve().parents[2] / "docs" / "examples" / "day.yaml"
    terminal = demo.info["pos"]["terminals"][1]["terminal_id"]
    status, rows, said = await posgate(
        "terminal", "run", str(example), "--info", str(demo.info_file),
        "--terminal-id", terminal, "--json", cwd=tmp_path,
    )  # fmt: skip
    assert [row for row in rows if not row["agrees"]] == []
    assert (status, said) == (0, "")
    assert rows[-1]["transaction"] == "sign-out"


async def test_load_from_several_terminals(demo: Demo, tmp_path: Path) -> None:
    """Every sale approved, and the batch of each terminal comes out equal."""
    info = ("--info", str(demo.info_file), "--terminal-id")
    first, second = (demo.info["pos"]["terminals"][index]["terminal_id"] for index in (2, 3))
    status, row, _ = await posgate(
        "terminal", "sale", *info, first, "--amount", "100", "--pan", "9900000000000010",
        "--count", "40", "--rate", "40", "--terminals", "2", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert (status, row["approved"], row["terminals"]) == (0, 40, 2)
    for terminal in (first, second):
        status, row, _ = await posgate("terminal", "settle", *info, terminal, "--json",
                                       cwd=tmp_path)  # fmt: skip
        assert (status, row["totals"]) == (0, "equal")


async def test_a_killed_gateway_comes_back_and_finishes_its_orders(demo: Demo) -> None:
    """``kill -9`` while a payer types: another pid, the same addresses, and the truth."""
    before = demo.info
    body = {
        "merchant_order_no": "outside-2",
        "amount": 5300,
        "currency": "CNY",
        "subject": "Tea",
        "wait_s": 1,
        "method": {"type": "auth_code", "auth_code": before["scenarios"]["alipay"]["user_paying"]},
    }
    status, payment = await demo.call("POST", "/v1/payments", body)
    assert status == 201 and payment["status"] not in ("succeeded", "failed")
    os.kill(before["pids"]["gateway"], signal.SIGKILL)

    async def is_back() -> bool:
        return bool(demo.info["pids"]["gateway"] != before["pids"]["gateway"])

    await until(is_back)
    after = demo.info
    assert {k: v for k, v in after.items() if k != "pids"} == {
        k: v for k, v in before.items() if k != "pids"
    }
    assert after["pids"]["sandbox"] == before["pids"]["sandbox"]

    async def is_final() -> bool:
        payment.update((await demo.call("GET", f"/v1/payments/{payment['id']}"))[1])
        return payment["status"] in FINAL

    await until(is_final)
    kept = sum(
        charge["charged_fen"] - charge["returned_fen"]
        for charge in await demo.charges()
        if charge["order_no"] == payment["channel_order_no"]
    )
    assert kept == (5300 if payment["status"] == "succeeded" else 0)
    status, repeated = await demo.call("POST", "/v1/payments", body)
    assert (status, repeated["id"]) == (200, payment["id"])


async def test_sigint_stops_everything(demo: Demo) -> None:
    """Exit status 0, no process of it lives, nobody listens any more."""
    assert len(processes_of(demo.data)) >= 3
    assert await demo.end() == 0
    assert processes_of(demo.data) == {}
    with pytest.raises((ClientError, OSError)):
        await demo.call("GET", "/healthz")


async def test_sigint_while_it_starts(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves no process behind either, and does not wait for the payers."""
    early = Demo(tmp_path)
    await early.start()
    try:

        async def is_paying() -> bool:
            return (early.data / "gateway.json").exists()

        await until(is_paying)
        assert await early.end() != 0
        assert processes_of(early.data) == {}
        assert not early.info_file.exists()
    finally:
        early.kill_everything()

"""The command line: help with examples, JSON, true exit statuses, secrets shown once."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
import yaml
from typer.testing import CliRunner

from domain.errors import ConfigurationError
from gateway.bootstrap import Gateway
from gateway.cli.installation import Installation
from gateway.cli.installed_channels import APP_ID
from gateway.cli.main import PLACES, application
from gateway.config import load
from pos_protocol.codec import Message, encode
from signing.pos import CipherKey

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Any]


@pytest.fixture
def installed(installation_template: Path, tmp_path: Path) -> Installation:
    """A written and migrated installation of this test's own."""
    shutil.copytree(installation_template, tmp_path / "here")
    return Installation(tmp_path / "here")


@pytest.fixture
def posgate(installed: Installation) -> Run:
    """Runs a command on the installation; returns its JSON, or its result when it must fail."""

    def run(*arguments: str, status: int = 0) -> Any:
        full = [*arguments, "-c", str(installed.config_file)]
        result = CliRunner().invoke(application(), full, catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return orjson.loads(result.stdout) if "--json" in arguments and not status else result

    return run


@pytest.fixture
def merchant(posgate: Run) -> dict[str, Any]:
    """A merchant M1."""
    rows: list[dict[str, Any]] = posgate(
        "merchant", "add", "--merchant-no", "M1", "--name", "Shop", "--pos-merchant-id",
        "990000000000001", "--json",
    )  # fmt: skip
    return rows[0]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words; a group that works by itself is one."""
    inner = getattr(command, "commands", None)
    if inner is None or (path and command.invoke_without_command):
        yield path, command
    if inner is None:
        return
    for name, one in inner.items():
        yield from commands(one, (*path, name))


WHOLE = typer.main.get_command(application())
COMMANDS = list(commands(WHOLE))


def test_every_command_of_the_contract_is_there() -> None:
    """Provisioning in four verbs for four nouns, and the rest of the contract."""
    words = {" ".join(path) for path, _ in COMMANDS}
    nouns = ("merchant", "terminal", "account", "apikey")
    verbs = ("add", "list", "show", "disable")
    assert {f"{noun} {verb}" for noun in nouns for verb in verbs} <= words
    assert {"demo", "migrate", "serve", "sandbox", "describe", "config check"} <= words
    said = (*["sign-in", "sale", "scan", "void", "refund", "reverse", "preauth", "complete", "balance", "settle", "echo"],
             *["import", "set", "rotate-key", "run"])  # fmt: skip
    assert {f"terminal {verb}" for verb in said} <= words


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    first: Any = WHOLE
    says = {name: one.get_short_help_str(200) for name, one in first.commands.items()}
    assert {name: place.says for name, place in PLACES.items()} == says


@pytest.mark.parametrize("words", [["--help"], []])
def test_the_list_of_commands_is_shown_without_importing_them(words: list[str]) -> None:
    program = (
        "import sys; from gateway.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'aiohttp', 'duckdb', 'tortoise'} & {*sys.modules}"
    )
    command = [sys.executable, "-c", program, *words]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert "differences" in result.stdout + result.stderr


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=lambda one: " ".join(one)[:30]
                         if isinstance(one, tuple) else "")  # fmt: skip
def test_every_command_has_help_with_an_example(path: tuple[str, ...], command: Any) -> None:
    """The example begins with the very command; ``--help`` ends well."""
    result = CliRunner().invoke(application(path[:1]), [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    example = re.search(r"Example: posgate ([^\n]*)", command.help or "")
    assert example is not None
    assert example[1].startswith(" ".join(path))
    assert "Example" in result.output


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=lambda one: " ".join(one)[:30]
                         if isinstance(one, tuple) else "")  # fmt: skip
def test_no_option_takes_a_secret_as_its_value(path: tuple[str, ...], command: Any) -> None:
    """A shell keeps its history: keys come from files or the environment."""
    for parameter in command.params:
        name = parameter.name or ""
        if any(word in name for word in ("component", "tmk", "secret", "master_key")):
            text = getattr(parameter, "help", "") or ""
            assert "file:" in text, (path, name)


def test_a_merchant_from_beginning_to_end(posgate: Run, merchant: dict[str, Any]) -> None:
    row = {"merchant_no": "M1", "name": "Shop", "pos_merchant_id": "990000000000001",
           "disabled": False}  # fmt: skip
    assert merchant == row
    assert posgate("merchant", "list", "--json") == [row]
    assert posgate("merchant", "show", "M1", "--json") == [row]
    posgate("merchant", "disable", "M1")
    assert posgate("merchant", "show", "M1", "--json")[0]["disabled"] is True
    assert "M1" in posgate("merchant", "list").output


@pytest.mark.parametrize(
    "arguments",
    [
        ("merchant", "show", "M9"),
        ("merchant", "disable", "M9"),
        ("terminal", "show", "M9", "99000001"),
        ("terminal", "disable", "M9", "99000001"),
        ("apikey", "add", "--merchant-no", "M9"),
        ("apikey", "show", "key_nobody"),
        ("apikey", "disable", "key_nobody"),
        ("account", "show", "nobody"),
        ("account", "disable", "nobody"),
        ("terminal", "add", "--merchant-no", "M9", "--terminal-id", "99000001", "--generate"),
    ],
)
def test_what_is_not_there_is_said(posgate: Run, arguments: tuple[str, ...]) -> None:
    """One line on standard error, exit status 1, nothing on standard output."""
    result = posgate(*arguments, status=1)
    assert result.stderr.startswith("posgate: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_twice_is_a_conflict(posgate: Run, merchant: dict[str, Any]) -> None:
    for name, pos_id in (("M1", "990000000000002"), ("M2", "990000000000001")):
        posgate("merchant", "add", "--merchant-no", name, "--name", "n", "--pos-merchant-id",
                pos_id, status=1)  # fmt: skip
    assert [row["merchant_no"] for row in posgate("merchant", "list", "--json")] == ["M1"]


@pytest.mark.parametrize(
    ("number", "pos_id"),
    [("M1", "short"), ("M1", "99000000000000_"), ("M1", "９９０００００００００００００１"),
     ("M1", "商户号商户号商户号商户号商户号"), ("", "990000000000001"), ("a/b", "990000000000001"),
     ("a b", "990000000000001"), ("x" * 65, "990000000000001")],
)  # fmt: skip
def test_a_merchant_that_cannot_be(posgate: Run, number: str, pos_id: str) -> None:
    """Usage faults leave nothing behind."""
    posgate("merchant", "add", "--merchant-no", number, "--name", "n", "--pos-merchant-id",
            pos_id, status=2)  # fmt: skip
    assert posgate("merchant", "list", "--json") == []


def test_a_generated_terminal_key_is_shown_once(
    posgate: Run, merchant: dict[str, Any], installed: Installation
) -> None:
    """Two components whose sum has the check value shown; never again in any list or file."""
    (row,) = posgate("terminal", "add", "--merchant-no", "M1", "--terminal-id", "99000001",
                     "--generate", "--json")  # fmt: skip
    first, second = bytes.fromhex(row["first_component"]), bytes.fromhex(row["second_component"])
    tmk = bytes(a ^ b for a, b in zip(first, second, strict=True))
    assert CipherKey(tmk).kcv().hex().upper() == row["tmk_kcv"]
    for arguments in (("list", "--json"), ("show", "M1", "99000001", "--json")):
        (again,) = posgate("terminal", *arguments)
        assert again.keys() == {
            "merchant_no", "terminal_id", "key_scheme", "mac", "options", "allow_weak_pin",
            "tmk_kcv", "disabled",
        }  # fmt: skip
    for file in installed.folder.glob("posgate.db*"):
        assert tmk not in file.read_bytes()
    posgate("terminal", "disable", "M1", "99000001")
    assert posgate("terminal", "list", "--json")[0]["disabled"] is True


def test_a_terminal_key_from_two_components(
    posgate: Run, merchant: dict[str, Any], installed: Installation, monkeypatch: Any
) -> None:
    """One from a file, one from the environment; neither is printed."""
    (installed.folder / "first").write_text("11" * 16)
    monkeypatch.setenv("SECOND", "22" * 16)
    (row,) = posgate("terminal", "add", "--merchant-no", "M1", "--terminal-id", "99000002",
                     "--first-component", "file:first", "--second-component", "env:SECOND",
                     "--json")  # fmt: skip
    assert row["tmk_kcv"] == CipherKey(bytes.fromhex("33" * 16)).kcv().hex().upper()
    assert "first_component" not in row


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--terminal-id", "9900001", "--generate"), 2),
        (("--terminal-id", "９９０００００１", "--generate"), 2),
        (("--terminal-id", "99000001"), 2),
        (("--terminal-id", "99000001", "--generate", "--key-scheme", "rsa"), 2),
        (("--terminal-id", "99000001", "--generate", "--mac", "md5"), 2),
        (("--terminal-id", "99000001", "--generate", "--first-component", "file:x"), 2),
        (("--terminal-id", "99000001", "--first-component", "11" * 16), 2),
        (("--terminal-id", "99000001", "--first-component", "file:bad", "--second-component",
          "file:bad"), 2),
        (("--terminal-id", "99000001", "--first-component", "file:none", "--second-component",
          "file:none"), 2),
    ],
)  # fmt: skip
def test_a_terminal_that_cannot_be(
    posgate: Run, merchant: dict[str, Any], installed: Installation,
    arguments: tuple[str, ...], status: int,
) -> None:  # fmt: skip
    """Exit status 2, nothing kept, no component quoted."""
    (installed.folder / "bad").write_text("0123456789abcdef")
    result = posgate("terminal", "add", "--merchant-no", "M1", *arguments, status=status)
    assert "0123456789abcdef" not in result.output
    assert "11" * 16 not in result.output
    assert posgate("terminal", "list", "--json") == []


def test_an_api_secret_is_shown_once(
    posgate: Run, merchant: dict[str, Any], installed: Installation
) -> None:
    """Long, fresh, sealed; list and show have no member for it."""
    (one,) = posgate("apikey", "add", "--merchant-no", "M1", "--json")
    (two,) = posgate("apikey", "add", "--merchant-no", "M1", "--json")
    assert len(one["secret"]) == 64
    assert one["secret"] != two["secret"]
    listed = posgate("apikey", "list", "--json")
    assert {row["key_id"] for row in listed} == {one["key_id"], two["key_id"]}
    assert all(row.keys() == {"key_id", "merchant_no", "disabled"} for row in listed)
    assert one["secret"] not in posgate("apikey", "show", one["key_id"]).output
    for file in installed.folder.glob("posgate.db*"):
        assert one["secret"].encode() not in file.read_bytes()
        assert bytes.fromhex(one["secret"]) not in file.read_bytes()
    posgate("apikey", "disable", one["key_id"])
    (shown,) = posgate("apikey", "show", one["key_id"], "--json")
    assert shown["disabled"] is True


ALIPAY = (
    "account", "add", "--account-id", "ali1", "--channel", "alipay",
    "--set", f"app_id={APP_ID}", "--set", "gateway_url=https://openapi.alipay.com/gateway.do",
    "--secret", "app_private_key=file:app-private.pem",
    "--secret", "alipay_public_key=file:alipay-public.pem",
)  # fmt: skip


def test_an_account_from_beginning_to_end(
    posgate: Run, merchant: dict[str, Any], installed: Installation
) -> None:
    """Checked by its channel, sealed, shown without secrets."""
    (added,) = posgate(*ALIPAY, "--merchant-no", "M1", "--json")
    assert (added["account_id"], added["merchant_no"], added["disabled"]) == ("ali1", "M1", False)
    (shown,) = posgate("account", "show", "ali1", "--json")
    assert shown["app_id"] == APP_ID
    key = (installed.folder / "app-private.pem").read_text().splitlines()[1]
    assert key not in orjson.dumps(shown).decode()
    for file in installed.folder.glob("posgate.db*"):
        assert key.encode() not in file.read_bytes()
    posgate("account", "disable", "ali1")
    assert posgate("account", "list", "--json")[0]["disabled"] is True
    assert posgate(*ALIPAY, status=1).stderr.startswith("posgate: ")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("alipay", "nosuch", "nosuch"),
        ("gateway_url=https://openapi.alipay.com/gateway.do", "gateway_url=http://a/", "gateway_url"),
        (f"app_id={APP_ID}", "appid=1", "appid"),
        (f"app_id={APP_ID}", "timeout_s=5", "app_id"),
        (f"app_id={APP_ID}", "app_id", "NAME=VALUE"),
        ("app_private_key=file:app-private.pem", "app_private_key=file:config.yaml",
         "app_private_key"),
        ("app_private_key=file:app-private.pem", "app_private_key=file:none.pem", "none.pem"),
        ("app_private_key=file:app-private.pem", "other=file:app-private.pem", "app_private_key"),
    ],
)  # fmt: skip
def test_an_account_that_cannot_be(posgate: Run, old: str, new: str, named: str) -> None:
    """Named, refused before it is kept; a key's text is never shown."""
    assert old in ALIPAY
    arguments = [new if word == old else word for word in ALIPAY]
    result = posgate(*arguments, status=2)
    assert named in result.stderr
    assert "BEGIN" not in result.output
    assert posgate("account", "list", "--json") == []


@pytest.mark.parametrize("setting", ["calls_per_s=abc", "calls_per_s=-5", "timeout_s=50"])
def test_an_account_is_checked_as_at_a_start(posgate: Run, setting: str) -> None:
    """What ``serve`` would refuse is never kept: no command could take it out again."""
    result = posgate(*ALIPAY, "--set", setting, status=2)
    assert f"account ali1: {setting.partition('=')[0]}" in result.stderr
    assert posgate("account", "list", "--json") == []


def test_an_account_of_a_merchant_that_is_not_there(posgate: Run) -> None:
    """Refused: it could never be used."""
    posgate(*ALIPAY, "--merchant-no", "M9", status=1)
    assert posgate("account", "list", "--json") == []


async def start(installed: Installation) -> None:
    """Start a gateway there, and stop it."""
    gateway = Gateway(load(installed.config_file))
    try:
        await gateway.start()
    finally:
        await gateway.stop()


TERMINAL = ("terminal", "add", "--merchant-no", "M1", "--generate", "--terminal-id")


@pytest.mark.parametrize("first", [ALIPAY, (*TERMINAL, "99000001"),
                                   ("apikey", "add", "--merchant-no", "M1")],
                         ids=["account", "terminal", "API key"])  # fmt: skip
def test_nothing_is_sealed_under_another_master_key(
    posgate: Run, merchant: dict[str, Any], installed: Installation, first: tuple[str, ...]
) -> None:
    """Refused as ``serve`` refuses, whatever there is to tell it by; the rest goes on."""
    posgate(*first)
    good = (installed.folder / "master.key").read_text()
    (installed.folder / "master.key").write_text("ab" * 32)
    sealing = [
        ("apikey", "add", "--merchant-no", "M1"),
        (*TERMINAL, "99000002"),
        ("terminal", "rotate-key", "M1", "99000001", "--generate"),
        [word.replace("ali1", "ali2") for word in ALIPAY],
    ]
    for command in sealing:
        assert "keys.master_key" in posgate(*command, status=2).stderr
    with pytest.raises(ConfigurationError, match=r"keys\.master_key"):
        asyncio.run(start(installed))
    assert len(posgate("merchant", "list", "--json")) == 1
    if first is ALIPAY:
        posgate("account", "disable", "ali1")
        posgate(*sealing[0])
    else:
        (installed.folder / "master.key").write_text(good)
        posgate(*sealing[0])


def test_a_lost_master_key_is_left_behind_by_disabling_what_it_sealed(
    posgate: Run, merchant: dict[str, Any], installed: Installation
) -> None:
    """Everything under it is disabled, and the installation goes on under another one."""
    posgate(*TERMINAL, "99000001")
    (installed.folder / "master.key").write_text("ab" * 32)
    said = posgate(*TERMINAL, "99000002", status=2).stderr
    assert "disable them all" in said
    posgate("terminal", "disable", "M1", "99000001")
    posgate(*TERMINAL, "99000002")
    asyncio.run(start(installed))


def test_migrate_is_idempotent(tmp_path: Path) -> None:
    """The second run finds nothing to do; before the first, commands say how to begin."""
    here = Installation(tmp_path / "fresh")
    here.write()
    runner = CliRunner()
    config = ["-c", str(here.config_file)]
    before = runner.invoke(application(), ["merchant", "list", *config])
    assert before.exit_code == 2
    assert "posgate migrate" in before.stderr
    first = runner.invoke(application(), ["migrate", "--json", *config])
    assert orjson.loads(first.stdout)["applied"]
    second = runner.invoke(application(), ["migrate", "--json", *config])
    assert (second.exit_code, orjson.loads(second.stdout)) == (0, {"applied": []})
    assert runner.invoke(application(), ["merchant", "list", "--json", *config]).exit_code == 0


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("pos", "prot", 1, "pos.prot"),
        ("keys", "master_key", "file:none.key", "keys.master_key"),
        ("http", "tls", {"certificate_file": "none.pem", "key_file": "server-key.pem"}, "none.pem"),
        ("http", "nonces", "redis://host:port/0", "http.nonces"),
        ("http", "tls", {"certificate_file": "server-key.pem", "key_file": "server-key.pem"},
         "http.tls.certificate_file: "),
        ("http", "tls", {"certificate_file": "server.pem", "key_file": "server.pem"},
         "http.tls.key_file: "),
        ("http", "tls", {"certificate_file": "server.pem", "key_file": "app-private.pem"},
         "is not the key of"),
        ("http", "host", "nohost.invalid", "http.host: cannot listen on nohost.invalid: "),
        ("pos", "host", "203.0.113.1", "pos.host: cannot listen on 203.0.113.1: "),
        ("pos", "tls", {"certificate_file": "server.pem", "key_file": "server-key.pem",
                        "client_ca_file": "server-key.pem"}, "pos.tls.client_ca_file: "),
        ("channels", "ca_file", "server-key.pem", "channels.ca_file: "),
        ("notifications", "ca_file", "none.pem", "notifications.ca_file: "),
        ("store", "url", "postgresql://u@h:99999/d", "store.url: "),
        ("pos", "downloads", {"parameters": "none.yaml"}, "pos.downloads.parameters: "),
    ],
)  # fmt: skip
def test_config_check_names_what_is_wrong(
    posgate: Run, installed: Installation, section: str, key: str, value: object, named: str
) -> None:
    """In order: 0. Anything wrong: 2, with the line and the key."""
    assert "in order" in posgate("config", "check").output
    data = yaml.safe_load(installed.config_file.read_text())
    data[section][key] = value
    installed.config_file.write_text(yaml.safe_dump(data))
    said = posgate("config", "check", status=2).stderr
    assert named in said
    assert re.search(rf"config\.yaml:\d+: {section}\.", said)


def test_config_show_fills_in_defaults_and_shows_no_secret(
    posgate: Run, installed: Installation
) -> None:
    result = posgate("config", "show")
    assert orjson.loads(result.stdout)["payments"]["till_wait_s"] == 45
    assert (installed.folder / "master.key").read_text() not in result.output
    text = installed.config_file.read_text()
    text = text.replace("sqlite:///posgate.db", "postgresql://u:s3cret@db:5432/posgate")
    installed.config_file.write_text(text)
    result = posgate("config", "show")
    assert orjson.loads(result.stdout)["store"]["url"] == "postgresql://u:***@db:5432/posgate"


def test_describe_says_what_it_cannot_read() -> None:
    """Garbage: exit status 2 and a reason."""
    for text in ("zz", "", "00", "FFFF" * 20):
        result = CliRunner().invoke(application(), ["describe", text])
        assert result.exit_code == 2, text
        assert "Traceback" not in result.output


def test_the_example_of_describe_is_a_message() -> None:
    command: Any = WHOLE
    words = command.commands["describe"].help.split("Example: posgate ")[1].split()
    shown = CliRunner().invoke(application(["describe"]), words)
    assert shown.exit_code == 0, shown.output
    assert "echo" in shown.output and "Problem" not in shown.output


def test_describe_masks(posgate: Run) -> None:
    """A card in a message: first six and last four; the PIN block is not shown."""
    fields: dict[int, str | bytes] = {
        2: "9900000000000010", 3: "000000", 4: "000000001990", 11: "000001", 41: "99000001",
        42: "990000000000001", 52: bytes.fromhex("0123456789ABCDEF"),
    }  # fmt: skip
    message = Message(bytes.fromhex("6006010000"), bytes.fromhex("603100311812"), "0200", fields)
    shown = CliRunner().invoke(application(), ["describe", "--json", encode(message).hex()])
    assert shown.exit_code == 0, shown.output
    data = orjson.loads(shown.stdout)
    assert data["mti"] == "0200"
    assert data["fields"]["11"] == "000001"
    assert data["reencodes"] is True
    assert "9900000000000010" not in shown.output
    assert "0123456789ABCDEF" not in shown.output.upper()
    stdin = CliRunner().invoke(application(), ["describe", "-"], input=encode(message).hex())
    assert stdin.exit_code == 0
    assert "9900000000000010" not in stdin.output


def test_describe_reads_a_file(tmp_path: Path) -> None:
    """Of hexadecimal with blanks and lines, or of the bytes themselves; a missing one is said."""
    fields: dict[int, str | bytes] = {3: "000000", 11: "000001", 41: "99000001"}
    message = Message(bytes.fromhex("6006010000"), bytes.fromhex("603100311812"), "0200", fields)
    raw = encode(message)
    for content in (raw, raw.hex(" ").encode(), raw.hex("\n", 16).encode()):
        (tmp_path / "message").write_bytes(content)
        shown = CliRunner().invoke(application(), ["describe", str(tmp_path / "message"), "--json"])
        assert shown.exit_code == 0, shown.output
        assert orjson.loads(shown.stdout)["fields"]["11"] == "000001"
    missing = CliRunner().invoke(application(), ["describe", str(tmp_path / "none")])
    assert missing.exit_code == 2 and "no such file" in missing.stderr


def test_the_entry_point_runs() -> None:
    """As installed: the script is there and knows its commands."""
    script = Path(sys.executable).with_name("posgate")
    said = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "serve" in said.stdout


def test_a_wrong_configuration_does_not_start(installed: Installation) -> None:
    """``serve``: status 2, the file, line and key, no traceback."""
    text = installed.config_file.read_text().replace("till_wait_s", "til_wait_s")
    installed.config_file.write_text(text)
    result = CliRunner().invoke(application(), ["serve", "-c", str(installed.config_file)])
    assert result.exit_code == 2
    assert re.search(r"config\.yaml:\d+: payments\.til_wait_s", result.stderr)

"""Many terminals at once: checked whole, kept whole or not at all, no key ever in clear."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.installation import Installation
from gateway.cli.main import application
from signing.pos import CipherKey

TRANSPORT = bytes.fromhex("0123456789ABCDEFFEDCBA98765432100011223344556677")
COMMAND: Any = typer.main.get_command(application(["merchant", "terminal"]))
Run = Callable[..., Any]


@pytest.fixture
def installed(installation_template: Path, tmp_path: Path) -> Installation:
    """A migrated installation of this test's own."""
    shutil.copytree(installation_template, tmp_path / "here")
    return Installation(tmp_path / "here")


@pytest.fixture
def posgate(installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder of files; merchant M1 is there."""
    monkeypatch.setattr("typer.testing._get_command", lambda app: app)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "transport.hex").write_text(TRANSPORT.hex())

    def run(*arguments: str, status: int = 0) -> Any:
        full = [*arguments, "-c", str(installed.config_file)]
        result = CliRunner().invoke(COMMAND, full, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return orjson.loads(result.stdout) if "--json" in arguments and not status else result

    run("merchant", "add", "--merchant-no", "M1", "--name", "Shop", "--pos-merchant-id",
        "990000000000001")  # fmt: skip
    return run


def key(number: int) -> bytes:
    """A master key of a test."""
    return bytes.fromhex(f"{number + 1:032X}")


def wrapped(number: int, algorithm: str = "des") -> str:
    """Its two columns: wrapped, and the check value."""
    kcv = CipherKey(key(number), algorithm).kcv().hex().upper()
    return f"{CipherKey(TRANSPORT).encrypt(key(number)).hex()},{kcv}"


def components(folder: Path, count: int) -> tuple[str, ...]:
    """Two custodians' files, and the options that name them."""
    for name, first in (("anna.csv", True), ("bo.csv", False)):
        lines = ["terminal_id,component"]
        for number in range(count):
            mask = bytes([number % 251 + 1]) * 16
            half = mask if first else bytes(a ^ b for a, b in zip(key(number), mask, strict=True))
            lines.append(f"{99_000_000 + number},{half.hex()}")
        (folder / name).write_text("\n".join(lines))
    return ("--component-1", "anna.csv", "--component-2", "bo.csv")


WRAPPED = ("--transport-key", "file:transport.hex")


def test_terminals_under_a_transport_key(posgate: Run, tmp_path: Path) -> None:
    """Schemes, options and check values as the file says; usual where it says nothing."""
    (tmp_path / "fleet.csv").write_text(
        "merchant_no,terminal_id,key_scheme,mac,f64,encrypts_tracks,pad,tmk_wrapped,kcv\n"
        f"M1,99000001,,,,,,{wrapped(0)}\n"
        "\n"
        f" M1 , 99000002 ,3des-tdk,x9.19,RAW,true,f,{wrapped(1)}\n"
        f"M1,99000003,sm4,,,,,{wrapped(2, 'sm4')}\n"
    )
    said = posgate("terminal", "import", "fleet.csv", *WRAPPED, "--json")
    assert (said["added"], said["checked"]) == (3, 3)
    rows = {row["terminal_id"]: row for row in posgate("terminal", "list", "--json")}
    assert [(row["key_scheme"], row["mac"], row["options"]) for row in rows.values()] == [
        ("3des", "cup-ecb", {}),
        ("3des-tdk", "x9.19", {"encrypts_tracks": "true", "f64": "raw", "pad": "F"}),
        ("sm4", "cup-sm4", {}),
    ]
    assert said["terminals"][1]["tmk_kcv"] == rows["99000002"]["tmk_kcv"] == wrapped(1)[-8:]


def test_ten_thousand_terminals_of_two_custodians(
    posgate: Run, tmp_path: Path, installed: Installation
) -> None:
    """All of them, each with its own key; a dry run keeps nothing; a second run adds nothing."""
    count = 10_000
    words = ("terminal", "import", "fleet.csv", *components(tmp_path, count))
    lines = [f"M1,{99_000_000 + number}" for number in range(count)]
    (tmp_path / "fleet.csv").write_text("\n".join(["merchant_no,terminal_id", *lines]))
    assert posgate(*words, "--dry-run", "--json")["added"] == 0
    assert posgate("terminal", "list", "--json") == []
    assert "10000 terminals were added" in posgate(*words).stdout
    (row,) = posgate("terminal", "show", "M1", "99009999", "--json")
    assert row["tmk_kcv"] == CipherKey(key(9999)).kcv().hex().upper()
    assert posgate(*words, status=2).stderr.count("exists already") == count
    for file in installed.folder.glob("posgate.db*"):
        assert key(9999) not in file.read_bytes()


def test_every_fault_is_told_with_its_line_and_nothing_is_kept(
    posgate: Run, tmp_path: Path
) -> None:
    """The good lines among them are not added either; no key is quoted."""
    right = wrapped(0)
    (tmp_path / "fleet.csv").write_text(
        "merchant_no,terminal_id,key_scheme,mac,mak_bytes,f64,allow_weak_pin,tmk_wrapped,kcv\n"
        f"M1,99000001,,,,,,{right}\n"
        f"M9,99000002,,,,,,{right}\n"
        f"M1,9900000,,,,,,{right}\n"
        f"M1,99000001,,,,,,{right}\n"
        f"M1,99000005,rsa,,,,,{right}\n"
        f"M1,99000006,,md5,,,,{right}\n"
        f"M1,99000007,des,,16,,,{right}\n"
        f"M1,99000008,,,,loud,,{right}\n"
        f"M1,99000009,,,,,perhaps,{right}\n"
        f"M1,99000010,,,,,,{right[:-1]}0\n"
        f"M1,99000011,,,,,,{right[2:]}\n"
        f"M1,99000012,,,,,,{right.partition(',')[0]},\n"
        f"M1,99000013,,,,,,{right[:-4]}\n"
        "M1,99000014\n"
    )
    said = posgate("terminal", "import", "fleet.csv", *WRAPPED, status=2).stderr
    told = {
        int(line.split(":")[1]): line for line in said.replace("posgate: ", "").splitlines()[:-1]
    }
    assert sorted(told) == list(range(3, 16))
    for number, word in ((3, "M9"), (4, "terminal_id"), (5, "line 2"), (6, "key_scheme"),
                         (7, "mac"), (8, "mak_bytes"), (9, "f64"), (10, "allow_weak_pin"),
                         (11, "kcv differs"), (12, "32 hexadecimal"), (13, "kcv is empty"),
                         (14, "6 or 8"), (15, "2 values")):  # fmt: skip
        assert word in told[number], told[number]
    assert right.partition(",")[0] not in said and "nothing was added" in said
    assert posgate("terminal", "list", "--json") == []


def test_a_check_value_of_six_digits_is_enough(posgate: Run, tmp_path: Path) -> None:
    text = wrapped(0)[:-2]
    (tmp_path / "fleet.csv").write_text(
        f"merchant_no,terminal_id,tmk_wrapped,kcv\nM1,99000001,{text}\n", encoding="utf-8-sig"
    )
    assert posgate("terminal", "import", "fleet.csv", *WRAPPED, "--json")["added"] == 1


@pytest.mark.parametrize("column", ["tmk", "component_1", "component"])
def test_no_clear_key_in_one_file(posgate: Run, tmp_path: Path, column: str) -> None:
    """Whoever has that file has the key: refused, with the two ways that there are."""
    (tmp_path / "fleet.csv").write_text(
        f"merchant_no,terminal_id,{column}\nM1,99000001,{'11' * 16}\n"
    )
    said = posgate("terminal", "import", "fleet.csv", *WRAPPED, status=2).stderr
    assert column in said and "transport key" in said and "11" * 16 not in said


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "no column merchant_no"),
        ("merchant_no,terminal_id\n", "has no terminal"),
        ("merchant_no,terminal_id,colour\nM1,99000001,red\n", "unknown column colour"),
        ("merchant_no,terminal_id,terminal_id\n", "twice"),
        ('merchant_no,terminal_id\nM1,"99000001\n', "not CSV"),
    ],
)
def test_a_file_that_cannot_be(posgate: Run, tmp_path: Path, content: str, word: str) -> None:
    (tmp_path / "fleet.csv").write_text(content)
    assert word in posgate("terminal", "import", "fleet.csv", *WRAPPED, status=2).stderr
    assert "none.csv" in posgate("terminal", "import", "none.csv", *WRAPPED, status=2).stderr
    (tmp_path / "fleet.csv").write_bytes(b"\xff\xfe")
    assert "UTF-8" in posgate("terminal", "import", "fleet.csv", *WRAPPED, status=2).stderr


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ("99000000," + "11" * 16, "99000001," + "22" * 16, "not in --component-2"),
        ("99000000," + "11" * 16, "99000000," + "11" * 16, "the same"),
        ("99000000,1122", "99000000," + "22" * 16, "anna.csv:2: component"),
        ("99000000," + "11" * 16 + "\n99000000," + "33" * 16, "99000000," + "22" * 16, "twice"),
    ],
)
def test_components_that_do_not_make_a_key(
    posgate: Run, tmp_path: Path, first: str, second: str, word: str
) -> None:
    """Named by file and line; no component is quoted."""
    (tmp_path / "fleet.csv").write_text("merchant_no,terminal_id\nM1,99000000\n")
    (tmp_path / "anna.csv").write_text(f"terminal_id,component\n{first}\n")
    (tmp_path / "bo.csv").write_text(f"terminal_id,component\n{second}\n")
    said = posgate("terminal", "import", "fleet.csv", "--component-1", "anna.csv",
                   "--component-2", "bo.csv", status=2).stderr  # fmt: skip
    assert word in said and "22" * 16 not in said and "11" * 16 not in said


def test_the_same_number_at_two_merchants(posgate: Run, tmp_path: Path) -> None:
    """The component files tell them apart by merchant."""
    posgate("merchant", "add", "--merchant-no", "M2", "--name", "Shop", "--pos-merchant-id",
            "990000000000002")  # fmt: skip
    (tmp_path / "fleet.csv").write_text("merchant_no,terminal_id\nM1,99000000\nM2,99000000\n")
    for name, digits in (("anna.csv", "12"), ("bo.csv", "56")):
        (tmp_path / name).write_text(
            "merchant_no,terminal_id,component\n"
            f"M1,99000000,{digits[0] * 32}\nM2,99000000,{digits[1] * 32}\n"
        )
    said = posgate("terminal", "import", "fleet.csv", "--component-1", "anna.csv",
                   "--component-2", "bo.csv", "--json")  # fmt: skip
    kcvs = [CipherKey(bytes.fromhex(digit * 32)).kcv().hex().upper() for digit in ("4", "4")]
    assert [one["tmk_kcv"] for one in said["terminals"]] == kcvs


@pytest.mark.parametrize(
    "words",
    [(), ("--component-1", "anna.csv"), ("--component-1", "anna.csv", "--component-2", "bo.csv",
     *WRAPPED), ("--transport-key", "00112233"), ("--transport-key", "file:fleet.csv")],
)  # fmt: skip
def test_how_keys_come_must_be_said_once(
    posgate: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "fleet.csv").write_text("merchant_no,terminal_id\nM1,99000000\n")
    assert posgate("terminal", "import", "fleet.csv", *words, status=2).stderr


def test_options_of_one_terminal(posgate: Run) -> None:
    """Given when it is added, shown, changed one by one; the impossible is refused."""
    add = ("terminal", "add", "--merchant-no", "M1", "--generate", "--terminal-id")
    options = ("--f64", "raw", "--header", "none", "--tpdu", "echo", "--pad", "f",
               "--mak-bytes", "16", "--encrypt-tracks", "--f60-digits", "12")  # fmt: skip
    (row,) = posgate(*add, "99000001", "--key-scheme", "3des-tdk", *options, "--json")
    kept = {"f64": "raw", "header": "none", "tpdu": "echo", "pad": "F", "mak_bytes": "16",
            "encrypts_tracks": "true", "f60_digits": "12"}  # fmt: skip
    assert row["options"] == kept
    assert "header=none" in posgate("terminal", "show", "M1", "99000001").stdout
    change = ("terminal", "set", "M1", "99000001")
    (row,) = posgate(*change, "--f64", "hex", "--clear-tracks", "--json")
    assert row["options"] == {**kept, "f64": "hex", "encrypts_tracks": "false"}
    for wrong in (("--f64", "loud"), ("--mak-bytes", "24"), ("--pad", "G")):
        assert posgate(*change, *wrong, status=2).stderr.startswith("posgate: ")
    posgate("terminal", "set", "M1", "99000009", "--pad", "F", status=1)
    (row,) = posgate(*add, "99000002", "--key-scheme", "sm4", "--json")
    assert (row["mac"], row["options"]) == ("cup-sm4", {})
    for words in (("--key-scheme", "sm4", "--mac", "cup-ecb"), ("--mac", "cup-sm4"),
                  ("--key-scheme", "des", "--mac", "x9.19"), ("--encrypt-tracks",)):  # fmt: skip
        assert posgate(*add, "99000003", *words, status=2).stderr.startswith("posgate: ")
    assert len(posgate("terminal", "list", "--json")) == 2


def test_a_master_key_is_rotated(posgate: Run, tmp_path: Path, installed: Installation) -> None:
    """Two components or fresh ones; the check value is shown, and the one before."""
    (row,) = posgate("terminal", "add", "--merchant-no", "M1", "--terminal-id", "99000001",
                     "--generate", "--json")  # fmt: skip
    rotate = ("terminal", "rotate-key", "M1", "99000001")
    (made,) = posgate(*rotate, "--generate", "--json")
    first, second = bytes.fromhex(made["first_component"]), bytes.fromhex(made["second_component"])
    tmk = bytes(a ^ b for a, b in zip(first, second, strict=True))
    assert made["tmk_kcv"] == CipherKey(tmk).kcv().hex().upper()
    assert made["kcv_before"] == row["tmk_kcv"] != made["tmk_kcv"]
    (installed.folder / "one").write_text("11" * 16)
    (installed.folder / "two").write_text("22" * 16)
    named = ("--first-component", "file:one", "--second-component", "file:two")
    (again,) = posgate(*rotate, *named, "--json")
    assert again["tmk_kcv"] == CipherKey(bytes.fromhex("33" * 16)).kcv().hex().upper()
    assert "first_component" not in again
    (installed.folder / "two").write_text("11" * 16)
    assert "the same" in posgate(*rotate, *named, status=2).stderr
    posgate(*rotate, status=2)
    posgate("terminal", "rotate-key", "M1", "99000009", "--generate", status=1)
    (shown,) = posgate("terminal", "show", "M1", "99000001", "--json")
    assert shown["tmk_kcv"] == again["tmk_kcv"]

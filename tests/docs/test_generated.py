"""The documents agree with the code: what is generated, linked, named and promised."""

import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from typer.testing import CliRunner

from docs import generate
from gateway.cli.main import application

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")], key=lambda path: path.name
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ROOMS = "domain|signing|pos_protocol|channels|reconciliation|gateway|sandbox|tests|docs|benchmarks"
NAMED_PATH = re.compile(rf"`((?:{ROOMS})/[A-Za-z0-9_./*]+)`")
COMMAND = re.compile(r"(?<![/\w-])posgate((?: [a-z][a-z\\|-]*)+)")
LATER = "*later*"


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown page's headings get."""
    heads = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_generated_documents_are_what_the_tables_say() -> None:
    """After changing a table: ``make docs``."""
    for path, text in generate.documents().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run make docs"


def test_every_relative_link_resolves() -> None:
    """A link leads to a file, and its anchor to a heading of that file."""
    dead = []
    for document in DOCUMENTS:
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = (document.parent / name).resolve() if name else document
            if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
                dead.append(f"{document.name}: {target}")
    assert dead == []


def test_every_named_path_exists() -> None:
    """A file or folder that a document names in the checkout is there."""
    missing = [
        f"{document.name}: {name}"
        for document in DOCUMENTS
        for line in document.read_text(encoding="utf-8").splitlines()
        if LATER not in line
        for name in NAMED_PATH.findall(line)
        if not any(CHECKOUT.glob(name.rstrip("/")))
    ]
    assert missing == []


def named_commands() -> set[tuple[str, ...]]:
    """Every ``posgate …`` of the documents that is not marked as to come."""
    found: set[tuple[str, ...]] = set()
    for document in DOCUMENTS:
        for line in document.read_text(encoding="utf-8").splitlines():
            if LATER in line:
                continue
            for words in COMMAND.findall(line):
                choices = [
                    word.strip("\\").split("|") for word in words.replace("\\|", "|").split()
                ]
                found.update(itertools.product(*choices))
    return found


@cache
def whole_command() -> Any:
    """The command line, put together once: that takes longer than asking it anything."""
    return typer.main.get_command(application())


def resolve(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that ``words`` begin with; words after a command are its arguments."""
    command = whole_command()
    path: list[str] = []
    for word in words:
        children = getattr(command, "commands", None)
        if children is None:
            break
        assert word in children, f"posgate {' '.join(words)}: there is no {word!r}"
        path.append(word)
        command = children[word]
    return tuple(path)


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that does something."""
    children: dict[str, Any] | None = getattr(command, "commands", None)
    if children is None:
        return [path]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


def test_every_named_command_exists_and_helps() -> None:
    """``--help`` of each command that a document names ends with status 0 and an example."""
    runner = CliRunner()
    commands = {resolve(words) for words in named_commands()}
    assert ("terminal", "sign-in") in commands
    for command in commands:
        result = runner.invoke(application(command[:1]), [*command, "--help"])
        assert result.exit_code == 0, command
        assert "posgate" in result.output


def test_every_command_is_documented() -> None:
    """No command exists that no document names."""
    named = {resolve(words) for words in named_commands()}
    existing = leaves(whole_command())
    assert [leaf for leaf in existing if leaf not in named] == []


def test_every_metric_is_explained() -> None:
    """``docs/operations.md`` names each metric that the gateway shows, and no other."""
    gateway = CHECKOUT / "gateway"
    # the store shows no metric; it names its row types by the same prefix
    sources = [*gateway.glob("*.py"), *gateway.glob("[!s]*/*.py")]
    shown = {
        name
        for source in sources
        for name in re.findall(r'"(posgate_[a-z_]+)"', source.read_text(encoding="utf-8"))
    }
    text = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"posgate_[a-z_]+", text)) == shown
    assert "posgate_parked_total" in shown


def test_every_dependency_has_its_reason() -> None:
    """``docs/dependencies.md`` lists what ``setup.py`` asks for, product and tests apart."""
    setup = (CHECKOUT / "setup.py").read_text(encoding="utf-8")
    text = (CHECKOUT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    parts = text.split("## The tests and checks")
    for name, part in zip(("RUNTIME", "DEVELOPMENT"), parts, strict=True):
        listed = re.search(rf"^{name} = \[(.*?)^\]", setup, re.MULTILINE | re.DOTALL)
        assert listed is not None
        asked = set(re.findall(r'"([A-Za-z0-9_-]+)>=', listed[1]))
        assert set(re.findall(r"^\| `([A-Za-z0-9_-]+)` \|", part, re.MULTILINE)) == asked


def test_every_alarm_is_explained() -> None:
    """The events that the operations page explains are those that the gateway warns with."""
    text = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = text.partition("| Event | Means | Do |")[2].partition("\n\n")[0].splitlines()
    explained = {
        event for row in rows for event in re.findall(r"`([^`]+)`", "".join(row.split("|")[1:2]))
    }
    sources = "".join(p.read_text(encoding="utf-8") for p in (CHECKOUT / "gateway").rglob("*.py"))
    warned = set(re.findall(r"\.(?:warning|error|exception)\(\s*\"([^\"]+)\"", sources))
    assert "payment parked" in warned
    assert warned - explained == set()
    assert {event for event in explained if f'"{event}"' not in sources} == set()

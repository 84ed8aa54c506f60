"""A wrong configuration refuses to start and names file, line, key and mend."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from gateway.config import load
from gateway.keys import open_sealer, read_secret

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
store:
  url: sqlite:///data/posgate.db
keys:
  master_key: env:POSGATE_MASTER_KEY
pos:
  port: 8583
http:
  port: 8443
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def fault(file: Path, text: str | bytes) -> str:
    """What is said about ``text``."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as told:
        load(file)
    return told.value.message


def test_the_good_one_is_good(file: Path) -> None:
    """Defaults are filled in; relative paths are relative to the file."""
    file.write_text(GOOD)
    loaded = load(file)
    assert loaded.config.payments.till_wait_s == 45
    assert loaded.config.http.signature_window_s == 300
    assert loaded.store_url() == f"sqlite://{file.parent / 'data/posgate.db'}"


def test_our_own_file_is_good() -> None:
    """The ``config.yaml`` of the checkout."""
    assert load(ROOT / "config.yaml").config.sandbox is not None


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "mend"),
    [
        ("  port: 8583", "  prot: 8583", 6, "pos.prot", "remove it, or check its spelling"),
        ("  port: 8583", "  tls_port: 8584", 5, "pos", "change the value"),
        ("  port: 8583", "  https_port: 8584", 5, "pos", "change the value"),
        ("pos:", "poss:", 5, "poss", "remove it, or check its spelling"),
        ("  master_key: env:POSGATE_MASTER_KEY", "  {}", 3, "keys.master_key", "add it"),
        ("store:\n  url: sqlite:///data/posgate.db\n", "", 1, "store", "add it"),
        ("8583", "'8583'", 6, "pos.port", "write a whole number"),
        ("8583", "85.83", 6, "pos.port", "write a whole number"),
        ("8583", "true", 6, "pos.port", "write a whole number"),
        ("8583", "70000", 6, "pos.port", ""),
        ("8583", "-1", 6, "pos.port", ""),
        ("8583", "", 6, "pos.port", ""),
        ("env:POSGATE_MASTER_KEY", "00112233", 4, "keys.master_key", "write text in quotes"),
        ("env:POSGATE_MASTER_KEY", "0011ff", 4, "keys.master_key", "see its form"),
        ("env:POSGATE_MASTER_KEY", "env:a-b", 4, "keys.master_key", "see its form"),
        ("env:POSGATE_MASTER_KEY", "'file:'", 4, "keys.master_key", "see its form"),
        ("sqlite:///data/posgate.db", "mysql://h/d", 2, "store.url", "see its form"),
        ("sqlite:///data/posgate.db", "7", 2, "store.url", "write text in quotes"),
        ("  port: 8443", "  max_body_bytes: 0", 8, "http.max_body_bytes", ""),
        ("  port: 8443", "  nonces: memcached", 8, "http.nonces", "see its form"),
        ("  port: 8443", "  signature_window_s: 301", 8, "http.signature_window_s", ""),
        ("  port: 8443", "  tls: {}", 8, "http.tls.certificate_file", "add it"),
        ("http:\n  port: 8443\n", "http: []\n", 7, "http", ""),
        ("http:\n  port: 8443\n", "payments:\n  till_wait_s: 0\n", 8, "payments.till_wait_s", ""),
        ("http:\n  port: 8443\n", "payments:\n  till_wait_s: .inf\n", 8, "payments.till_wait_s",
         ""),
        ("http:\n  port: 8443\n", "payments:\n  till_wait_s: .nan\n", 8, "payments.till_wait_s",
         ""),
        ("http:\n  port: 8443\n", "logs:\n  level: loud\n", 8, "logs.level", ""),
        ("http:\n  port: 8443\n", "7: 8\n", 7, "7", ""),
    ],
)  # fmt: skip
def test_a_fault_is_placed_and_mended(
    file: Path, old: str, new: str, line: int, key: str, mend: str
) -> None:
    """``file:line: key: what; mend``."""
    assert old in GOOD
    said = fault(file, GOOD.replace(old, new))
    assert said.startswith(f"{file}:{line}: {key}: "), said
    assert mend in said


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("postgresql://u:s3cret@h:abc/d", "port"),
        ("postgresql://u:s3cret@h:99999/d", "port"),
        ("postgresql://u:s3cret@h:0/d", "port"),
        ("postgresql://u:s3/cret@h:5432/d", "%2F"),
        ("postgresql://u:s3?cret@h:5432/d", "%3F"),
        ("postgresql://u:s3cret@[h:5432/d", "not a URL"),
        ("postgresql://u:s3cret@h/d?sslmode=bogus", "verify-full"),
    ],
)
def test_a_store_that_no_driver_could_read(file: Path, url: str, mend: str) -> None:
    """Refused here, not by the driver; the password is not quoted."""
    said = fault(file, GOOD.replace("sqlite:///data/posgate.db", url))
    assert said.startswith(f"{file}:2: store.url: ")
    assert mend in said
    assert "s3" not in said and "cret" not in said


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p%40@h1:5432,h2/d", "postgresql:///d?host=/run", "postgresql://[::1]:1/d"],
)
def test_a_store_that_the_driver_can_read(file: Path, url: str) -> None:
    file.write_text(GOOD.replace("sqlite:///data/posgate.db", url))
    assert load(file).store_url() == url


def test_two_doors_have_two_ports(file: Path) -> None:
    """The line and both keys; 0 is the system's choice, another address another place."""
    same = GOOD.replace("8443", "8583")
    assert fault(file, same) == (f"{file}:8: http.port: 8583 is pos.port too; give it another port")
    assert "http.port" in fault(file, same.replace("pos:", "pos:\n  host: 0.0.0.0"))
    for good in (same.replace("8583", "0"), same.replace("pos:", "pos:\n  host: 10.0.0.1")):
        file.write_text(good)
        load(file)


def test_all_faults_are_told_at_once(file: Path) -> None:
    said = fault(file, GOOD.replace("8583", "x").replace("8443", "y").replace("url", "uri"))
    assert len(said.splitlines()) == 4
    for key in ("store.url", "store.uri", "pos.port", "http.port"):
        assert key in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("store: [", 1),
        ("a: b: c\n", 1),
        ("store:\n\turl: x\n", 2),
        ("a: 'b\n", 1),
        ("store: !!python/object/apply:os.system ['true']\n", 1),
        ("a: *nothing\n", 1),
        ("a: 1\n--- \nb: 2\n", 1),
        ("", 1), ("- a\n", 1), ("just text", 1), ("7", 1), ("null", 1),
    ],
)  # fmt: skip
def test_what_is_not_a_mapping_of_sections(file: Path, text: str, line: int) -> None:
    """Placed as well as the parser can; nothing in it is ever executed."""
    said = fault(file, text)
    assert said.startswith(f"{file}:"), said
    assert int(said.removeprefix(f"{file}:").partition(":")[0]) >= line


@pytest.mark.parametrize(
    "text", [b"\xff\xfe\x00", b"store: \xe9", b"a: \x00", b"store:\n  url: 2020-99-99\n",
             b"[" * 1100]
)  # fmt: skip
def test_strange_bytes_are_a_clear_fault(file: Path, text: bytes) -> None:
    """Not UTF-8, a NUL, a date that is none, brackets without end."""
    assert str(file) in fault(file, text)


def test_a_key_given_twice_is_refused(file: Path) -> None:
    """The last must not silently win."""
    said = fault(file, GOOD + "  port: 9443\n")
    assert said.startswith(f"{file}:9: ")
    assert "port" in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Says how to name another; a folder is no file."""
    for place in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigurationError, match="-c FILE"):
            load(place)


def test_a_secret_value_is_never_quoted(file: Path) -> None:
    """Somebody wrote the key itself where its reference belongs."""
    said = fault(file, GOOD.replace("env:POSGATE_MASTER_KEY", "a" * 64))
    assert "aaaa" not in said


def test_a_configuration_cannot_be_changed(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(Exception, match="frozen"):
        load(file).config.pos.port = 1


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
SECTIONS = ["store", "keys", "pos", "http", "payments", "recovery", "channels", "logs", "sandbox"]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(SECTIONS), values))
def test_any_yaml_is_read_or_refused(file: Path, data: Any) -> None:
    """Nothing but a configuration or a clear fault comes of it."""
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    try:
        load(file)
    except ConfigurationError as error:
        assert str(file) in error.message


KEY = "00" * 31 + "ff"


def test_the_master_key_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "master.key").write_text(f"{KEY}\n")
    monkeypatch.setenv("A_KEY", f" {KEY.upper()} ")
    one = open_sealer("file:master.key", tmp_path, bytes)
    two = open_sealer("env:A_KEY", tmp_path, bytes)
    assert two.open(one.seal(b"x", b"c"), b"c") == b"x"


@pytest.mark.parametrize("text", ["", " ", "00" * 31, "00" * 33, "zz" * 32, KEY[:-1], "é" * 64])
def test_a_bad_master_key_is_to_be_mended_not_made_anew(tmp_path: Path, text: str) -> None:
    """Another would open nothing that is sealed. Its own text is not quoted."""
    (tmp_path / "master.key").write_text(text)
    with pytest.raises(ConfigurationError) as told:
        open_sealer("file:master.key", tmp_path, bytes)
    assert "keys.master_key" in told.value.message
    assert "do not make another" in told.value.message
    assert "token_hex" not in told.value.message
    assert text.strip() == "" or text not in told.value.message


def test_a_missing_master_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(ConfigurationError, match=r"environment variable NO_SUCH.*token_hex"):
        open_sealer("env:NO_SUCH", tmp_path, bytes)
    with pytest.raises(ConfigurationError, match=r"none\.key.*token_hex"):
        open_sealer("file:none.key", tmp_path, bytes)
    (tmp_path / "a folder").mkdir()
    with pytest.raises(ConfigurationError, match=r"a folder.*do not make another"):
        open_sealer("file:a folder", tmp_path, bytes)


def test_a_secret_file_that_is_not_text(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are the operator's fault, clearly."""
    (tmp_path / "binary.key").write_bytes(bytes(range(128, 160)))
    with pytest.raises(ConfigurationError, match=r"binary\.key"):
        read_secret("file:binary.key", tmp_path)

"""The examples of ``docs/notifications.md`` verify what the worker really sends."""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.notifications import SCHEDULE_S, signed_headers
from tests.gateway.outbox import KEY

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "notifications.md").read_text("utf-8")
BODY = '{"event_id":"evt_1","payment":{"subject":"奶茶"}}\n'.encode()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def headers(age_s: int = 0) -> dict[str, str]:
    now_ms = int((time.time() - age_s) * 1000)
    return dict(signed_headers(KEY, BODY, now_ms=now_ms, random_bytes=os.urandom))


def test_the_python_example_accepts_the_genuine_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    is_from_posgate, secret = names["is_from_posgate"], KEY.secret.decode()
    assert is_from_posgate(headers(), BODY, secret)
    assert not is_from_posgate(headers(), BODY + b" ", secret)
    assert not is_from_posgate(headers(), BODY, secret + "x")
    assert not is_from_posgate(headers(age_s=400), BODY, secret)
    assert not is_from_posgate(headers() | {"Posgate-Nonce": "other"}, BODY, secret)


def test_the_shell_examples_make_the_same_signature(tmp_path: Path) -> None:
    """One verifies, the other signs; ``curl`` is left to the reader."""
    (tmp_path / "body.json").write_bytes(BODY)
    verifying, signing = (block for block in blocks("sh")[:2])
    signing = signing.partition("curl")[0].replace("$(date +%s)", "1700000000")
    signed = headers()
    given = {
        "TIMESTAMP": signed["Posgate-Timestamp"],
        "NONCE": signed["Posgate-Nonce"],
        "SECRET": KEY.secret.decode(),
    }
    script = f'{verifying}\n{signing}\nprintf "%s %s %s" "$TIMESTAMP" "$NONCE" "$SIGNATURE"'
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=os.environ | given, capture_output=True,
        check=True,
    )  # fmt: skip
    verified, last = done.stdout.decode().splitlines()
    assert verified == signed["Posgate-Signature"]
    timestamp, nonce, signature = last.split(" ")
    again = signed_headers(
        KEY, BODY, now_ms=int(timestamp) * 1000, random_bytes=lambda _: bytes.fromhex(nonce)
    )
    assert again["Posgate-Signature"] == signature


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("15 s, 15 s, 30 s, 3 min, 10 min, 20 min, 3 × 30 min, 60 min, 3 × 3 h, 2 × 6 h", SCHEDULE_S)],
)
def test_the_schedule_is_the_documented_one(words: str, seconds: tuple[int, ...]) -> None:
    assert words in TEXT
    units = {"s": 1, "min": 60, "h": 3600}
    said: list[int] = []
    for part in words.split(", "):
        times, _, rest = part.rpartition(" × ")
        number, unit = rest.split(" ")
        said += [int(number) * units[unit]] * int(times or 1)
    assert tuple(said) == seconds

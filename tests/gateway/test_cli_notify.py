"""``posgate notify``: what merchants were told, the dead list, replays, the self-test."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli.installation import Installation
from gateway.cli.main import application
from gateway.cli.session import Session, session
from gateway.store.port import JobKind, Merchant, Notice, NoticeState
from signing.merchant import answer_string, sign, verify
from tests.gateway.outbox import START_MS, Outbox
from tests.gateway.raw_endpoint import Endpoint, serving

T = TypeVar("T")
Run = Callable[..., Any]
SECRET = "a secret of sixty-four characters, more or less"


@pytest.fixture
def installed(installation_template: Path, tmp_path: Path) -> Installation:
    """A written and migrated installation of this test's own."""
    shutil.copytree(installation_template, tmp_path / "here")
    return Installation(tmp_path / "here")


@pytest.fixture
def posgate(installed: Installation) -> Run:
    """Runs a command; returns its JSON, or its result when it must fail."""

    def run(*words: str, status: int = 0, stdin: bytes = b"") -> Any:
        full = list(words)
        if "verify" not in words:
            full += ["-c", str(installed.config_file)]
        result = CliRunner().invoke(application(), full, input=stdin, catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return orjson.loads(result.stdout) if "--json" in words and status < 2 else result

    return run


def in_store(installed: Installation, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
    async def whole() -> T:
        async with session(installed.config_file) as opened:
            return await work(opened)

    return asyncio.run(whole())


@pytest.fixture
def notices(installed: Installation) -> list[Notice]:
    """Of m1: one delivered, one dead, one pending; of m2: one dead."""

    async def work(opened: Session) -> list[Notice]:
        for name, number in (("m1", "990000000000001"), ("m2", "990000000000002")):
            await opened.store.add_merchant(
                Merchant(merchant_no=name, name="Shop", pos_merchant_id=number, created_at_ms=1)
            )
        outbox = Outbox(opened.store)
        made = [
            await outbox.put(f"https://{host}.example/paid?token=sesame", merchant_no)
            for host, merchant_no in (("a", "m1"), ("b", "m1"), ("c", "m1"), ("d", "m2"))
        ]
        for notice, is_delivered in ((made[0], True), (made[1], False), (made[3], False)):
            (job,) = await opened.store.lease(
                JobKind.NOTIFY, notice.endpoint, START_MS, START_MS + 1000, 1
            )
            if is_delivered:
                assert await opened.store.notice_delivered(job, START_MS + 500)
            else:
                assert await opened.store.notice_failed(job, "HTTP 500", None, START_MS + 600)
        return made

    return in_store(installed, work)


def states(installed: Installation, notices: list[Notice]) -> list[NoticeState]:
    async def work(opened: Session) -> list[NoticeState]:
        found = [await opened.store.notice(one.event_id) for one in notices]
        return [one.state for one in found if one is not None]

    return in_store(installed, work)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["event_id"] for row in rows]


def test_the_list_and_its_filters(posgate: Run, notices: list[Notice]) -> None:
    a, b, c, d = (one.event_id for one in notices)
    assert ids(posgate("notify", "list", "--json")) == [a, b, c, d]
    assert ids(posgate("notify", "list", "--merchant", "m1", "--json")) == [a, b, c]
    assert ids(posgate("notify", "list", "--state", "dead", "--json")) == [b, d]
    assert ids(posgate("notify", "list", "--merchant", "m2", "--state", "dead", "--json")) == [d]
    assert ids(posgate("notify", "list", "--payment", notices[2].payment_id, "--json")) == [c]
    assert ids(posgate("notify", "list", "--limit", "2", "--json")) == [a, b]
    row = posgate("notify", "list", "--state", "dead", "--merchant", "m1", "--json")[0]
    assert row == {
        "event_id": b, "type": "payment.succeeded", "payment_id": notices[1].payment_id,
        "sequence": 1, "endpoint": "m1:b.example", "state": "dead", "attempts": 1,
        "last_error": "HTTP 500", "created_at": "2023-11-14T22:13:20.000Z",
    }  # fmt: skip


def test_a_notice_is_shown_with_its_body_and_without_the_query_of_its_url(
    posgate: Run, notices: list[Notice]
) -> None:
    (row,) = posgate("notify", "show", notices[0].event_id, "--json")
    assert row["body"] == {"event_id": notices[0].event_id, "sequence": 1}
    assert row["url"] == "https://a.example/paid"
    assert row["done_at"] == "2023-11-14T22:13:20.500Z"
    assert "sesame" not in posgate("notify", "show", notices[0].event_id).output
    assert "sesame" not in posgate("notify", "list").output
    assert "no notice evt_none" in posgate("notify", "show", "evt_none", status=1).output


def test_a_notice_is_replayed(posgate: Run, installed: Installation, notices: list[Notice]) -> None:
    """Dead or delivered; one that is pending is being sent anyway."""
    for notice in notices[:2]:
        assert posgate("notify", "replay", notice.event_id, "--json") == {"replayed": 1}
    assert states(installed, notices[:2]) == [NoticeState.PENDING] * 2
    again = posgate("notify", "replay", notices[0].event_id, status=1)
    assert "is pending" in again.output
    assert "no notice" in posgate("notify", "replay", "evt_none", status=1).output


def test_a_merchants_dead_notices_are_replayed_and_nobody_elses(
    posgate: Run, installed: Installation, notices: list[Notice]
) -> None:
    words = ("notify", "replay", "--merchant", "m1", "--state", "dead")
    assert posgate(*words, "--since", "2023-11-15", "--json") == {"replayed": 0}
    assert posgate(*words, "--since", "2023-11-14T22:13:20Z", "--json") == {"replayed": 1}
    assert states(installed, notices) == [
        NoticeState.DELIVERED, NoticeState.PENDING, NoticeState.PENDING, NoticeState.DEAD,
    ]  # fmt: skip
    assert "0 to be sent again" in posgate(*words).output


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("evt_1", "--merchant", "m1", "--state", "dead"),
        ("--merchant", "m1"),
        ("--merchant", "m1", "--state", "pending"),
        ("evt_1", "--state", "dead"),
        ("evt_1", "--since", "2026-11-22"),
        ("--merchant", "m1", "--state", "dead", "--since", "yesterday"),
    ],
)
def test_a_replay_says_what_it_means(posgate: Run, words: tuple[str, ...]) -> None:
    """Never everything by accident."""
    posgate("notify", "replay", *words, status=2)


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes]:
    """Headers and body as a merchant got them; its secret in the environment."""
    monkeypatch.setenv("POSGATE_TEST_SECRET", SECRET)
    body = '{"event_id":"evt_1","payment":{"subject":"奶茶"}}'.encode()
    signature = sign(SECRET.encode(), answer_string("1700000000", "nonce-1234", body))
    head = (
        "POST /paid HTTP/1.1\r\nHost: shop.example\r\nposgate-timestamp: 1700000000\r\n"
        f"Posgate-Nonce: nonce-1234\r\nPosgate-Signature: {signature}\r\nPosgate-Key-Id: key_1"
    ).encode()
    return head, body


def test_a_signature_is_verified_from_files(
    posgate: Run, tmp_path: Path, received: tuple[bytes, bytes]
) -> None:
    head, body = received
    (tmp_path / "head").write_bytes(head)
    (tmp_path / "body").write_bytes(body)
    (tmp_path / "secret").write_text(SECRET)
    files = ("--headers", str(tmp_path / "head"), "--body", str(tmp_path / "body"))
    secret = ("--secret", f"file:{tmp_path / 'secret'}")
    (row,) = posgate("notify", "verify", *files, *secret, "--json")
    assert row == {
        "valid": True, "missing": None, "sent_at": "2023-11-14T22:13:20.000Z",
        "key_id": "key_1", "body_bytes": len(body),
    }  # fmt: skip
    rest = posgate("notify", "verify", *files[:2], *secret, "--json", stdin=body)
    assert rest[0]["valid"] is True


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_signature_is_verified_from_standard_input(
    posgate: Run, received: tuple[bytes, bytes], newline: bytes
) -> None:
    head, body = received
    whole = head.replace(b"\r\n", newline) + newline * 2 + body
    words = ("notify", "verify", "--secret", "env:POSGATE_TEST_SECRET", "--json")
    assert posgate(*words, stdin=whole)[0]["valid"] is True
    for wrong in (
        whole + b"\n",
        whole.replace("奶茶".encode(), b"tea"),
        whole.replace(b"nonce-1234", b"nonce-1235"),
        whole.replace(b": 1700000000", b": 1700000001"),
    ):
        assert posgate(*words, stdin=wrong, status=1)[0]["valid"] is False


def test_a_missing_header_is_named_and_a_wrong_secret_is_not_valid(
    posgate: Run, received: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    head, body = received
    words = ("notify", "verify", "--secret", "env:POSGATE_TEST_SECRET", "--json")
    without = head.replace(b"Posgate-Nonce", b"X-Nonce") + b"\r\n\r\n" + body
    assert posgate(*words, stdin=without, status=1)[0]["missing"] == "Posgate-Nonce"
    strange = (head + b"\r\n\r\n" + body).replace(b": 1700000000", b": 170000000\xb2")
    assert posgate(*words, stdin=strange, status=1)[0]["sent_at"] is None
    monkeypatch.setenv("POSGATE_TEST_SECRET", "another")
    assert posgate(*words, stdin=head + b"\r\n\r\n" + body, status=1)[0]["valid"] is False
    refused = posgate("notify", "verify", "--secret", SECRET, stdin=b"", status=2)
    assert SECRET not in refused.output
    nothing = posgate("notify", "verify", "--secret", "env:POSGATE_NOTHING", stdin=b"", status=2)
    assert "POSGATE_NOTHING is empty or not set" in nothing.output


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A merchant's endpoint in a thread of its own, since a command runs its own loop."""
    made, is_up, stop = Endpoint(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serving(made):
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert is_up.wait(10)
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_an_endpoint_is_tested_with_a_signed_ping(posgate: Run, endpoint: Endpoint) -> None:
    posgate(
        "merchant", "add", "--merchant-no", "m1", "--name", "Shop", "--pos-merchant-id",
        "990000000000001",
    )  # fmt: skip
    url = f"http://127.0.0.1:{endpoint.port}/paid"
    words = ("notify", "test", url, "--merchant", "m1")
    assert "no API key" in posgate(*words, status=1).output
    key = posgate("apikey", "add", "--merchant-no", "m1", "--json")[0]
    later = posgate("apikey", "add", "--merchant-no", "m1", "--json")[0]
    assert posgate(*words, "--json") == [{"acknowledged": True, "said": "204"}]
    posgate("apikey", "disable", key["key_id"])
    posgate(*words)
    for request, chosen in zip(endpoint.requests, (key, later), strict=True):
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().splitlines()]
        said = {name: value for name, _, value in lines}
        message = answer_string(said["Posgate-Timestamp"], said["Posgate-Nonce"], body)
        assert verify(chosen["secret"].encode(), message, said["Posgate-Signature"])
        assert said["Posgate-Key-Id"] == chosen["key_id"]
        assert orjson.loads(body)["type"] == "ping"


def test_a_refused_or_dead_endpoint_is_said_so(posgate: Run, installed: Installation) -> None:
    posgate(
        "merchant", "add", "--merchant-no", "m1", "--name", "Shop", "--pos-merchant-id",
        "990000000000001",
    )  # fmt: skip
    posgate("apikey", "add", "--merchant-no", "m1")
    words = ("notify", "test", "--merchant", "m1", "--json")
    assert posgate(*words, "http://127.0.0.1:1/", status=1)[0]["said"] == "no connection"
    data = yaml.safe_load(installed.config_file.read_text())
    data["notifications"] = {}
    installed.config_file.write_text(yaml.safe_dump(data))
    said = posgate(*words, "http://169.254.169.254/", status=1)[0]["said"]
    assert said == "refused: must be https"


def test_an_allowance_that_is_none_refuses_to_start(posgate: Run, installed: Installation) -> None:
    """The message names file, line and key."""
    data = yaml.safe_load(installed.config_file.read_text())
    data["notifications"] = {"allow": ["10.0.0.0/8", "*.intern"]}
    installed.config_file.write_text(yaml.safe_dump(data))
    said = posgate("notify", "list", status=2).output
    assert "notifications.allow" in said
    assert "a network (10.1.0.0/16), an address or a host name" in said

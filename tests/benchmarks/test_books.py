"""The comparison after the load finds what it is there to find."""

import http.server
import threading
from collections.abc import Iterator

import orjson
import pytest

from benchmarks.books import Heard, compare, fetch_charges

CARD = ("unionpay_card", "99000099000001000001")
CODE = ("alipay", "A1")


def test_agreement_is_empty() -> None:
    """Two payments, each charged, booked, approved and posted twice."""
    books = {CARD: 100, CODE: 200}
    assert (
        compare(books, books, {"card": Heard(1), "barcode": Heard(1)}, postings=4, balance=0) == {}
    )


def test_an_answer_on_its_way_may_or_may_not_be_booked() -> None:
    """A caller that gave up waiting does not know; the books may have it."""
    books = {CODE: 200}
    assert compare(books, books, {"barcode": Heard(0, 1)}, postings=2, balance=0) == {}
    assert compare({}, {}, {"barcode": Heard(0, 1)}, postings=0, balance=0) == {}


@pytest.mark.parametrize(
    ("charges", "booked", "heard", "postings", "balance", "found"),
    [
        ({CARD: 100}, {}, {}, 0, 0, "charged, not booked so"),
        ({}, {CARD: 100}, {"card": Heard(1)}, 2, 0, "booked, not charged so"),
        ({CARD: 100}, {CARD: 99}, {"card": Heard(1)}, 2, 0, "charged, not booked so"),
        ({CARD: 100}, {CARD: 100}, {"card": Heard(2)}, 2, 0, "card approvals unlike the books"),
        ({CODE: 100}, {CODE: 100}, {}, 2, 0, "barcode approvals unlike the books"),
        (
            {CODE: 100},
            {CODE: 100},
            {"card": Heard(0, 1)},
            2,
            0,
            "barcode approvals unlike the books",
        ),
        ({CODE: 100}, {CODE: 100}, {"barcode": Heard(1)}, 1, 0, "ledger lines missing"),
        ({CODE: 100}, {CODE: 100}, {"barcode": Heard(1)}, 2, 5, "ledger off balance"),
    ],
)
def test_every_kind_of_difference_is_named(
    charges: dict[tuple[str, str], int],
    booked: dict[tuple[str, str], int],
    heard: dict[str, Heard],
    postings: int,
    balance: int,
    found: str,
) -> None:
    """One planted difference is found under its own name."""
    assert found in compare(charges, booked, heard, postings=postings, balance=balance)


@pytest.fixture
def control_url() -> Iterator[str]:
    """A control server with one charge of the gateway's and one of each floor's."""
    numbers = [*(CARD, CODE), ("unionpay_card", "99000099900001000001"), ("alipay", "FLOOR1")]
    rows = [
        {"channel": channel, "order_no": number, "charged_fen": 7, "returned_fen": 2}
        for channel, number in numbers
    ]
    rows.append(
        {"channel": "alipay", "order_no": "A2", "charged_fen": 7, "returned_fen": 7},
    )

    class Charges(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(orjson.dumps(rows))

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Charges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_floors_charges_are_told_from_the_gateways(control_url: str) -> None:
    """By their order numbers; amounts are net."""
    assert fetch_charges(control_url) == {CARD: 5, CODE: 5}  # the one returned whole is gone
    assert len(fetch_charges(control_url, floors=True)) == 2

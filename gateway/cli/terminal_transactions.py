"""Every transaction of the command line, as data: its name, what it needs, how it is asked.

Rule: one row is one subcommand and one step of a script.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.cli import terminal_asks
from gateway.cli.terminal_earlier import card_of
from gateway.cli.terminal_given import Given
from gateway.cli.terminal_till import Till
from pos_protocol.card import Card
from pos_protocol.outcome import Request

Build = Callable[[Till, Given], Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One transaction. ``needs`` and ``takes`` are fields of :class:`Given`.

    ``example`` is what follows ``--info demo.json``; ``clears`` says that what was not
    answered is reversed before it.
    """

    name: str
    text: str
    example: str
    build: Build
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    clears: bool = False


_CARD: Final = ("pin", "chip")
_OPERATOR: Final = ("operator_id", "operator_pin")
_EARLIER: Final = ("trace", "batch", "date", "reference")
_EXAMPLE_CARD: Final = "--pan 9900000000000010 --pin 123456"

_ROWS: Final = (
    Row(
        name="sign-in",
        text="Ask for working keys.",
        example="",
        build=lambda till, _: till.terminal.sign_in(),
    ),
    Row(
        name="sign-out",
        text="Give the working keys up.",
        example="",
        build=lambda till, _: till.terminal.sign_out(),
        clears=True,
    ),
    Row(
        name="echo",
        text="Ask whether anybody is there.",
        example="",
        build=lambda till, _: till.terminal.echo(),
    ),
    Row(
        name="balance",
        text="Ask what is in a card's account.",
        example=_EXAMPLE_CARD,
        build=terminal_asks.balance,
        needs=("pan",),
        takes=_CARD,
        clears=True,
    ),
    Row(
        name="moto-sale",
        text="Sell by mail or telephone: the card is not there.",
        example="--amount 1990 --pan 9900000000000010",
        build=terminal_asks.moto_sale,
        needs=("amount", "pan"),
        takes=_OPERATOR,
        clears=True,
    ),
    Row(
        name="void",
        text="Take back a sale of this batch, whole, by card or by code.",
        example="--trace 2",
        build=terminal_asks.void,
        takes=("pan", *_CARD, "code", "voucher", *_EARLIER, "amount"),
        clears=True,
    ),
    Row(
        name="scan-void",
        text="Take back a sale by code of this batch, whole.",
        example="--trace 3",
        build=terminal_asks.scan_void,
        takes=("code", "voucher", *_EARLIER, "amount"),
        clears=True,
    ),
    Row(
        name="refund",
        text="Give back a part or the whole of a sale, by card or by code.",
        example="--trace 2 --amount 500",
        build=terminal_asks.refund,
        takes=("amount", "pan", "chip", "code", "voucher", *_EARLIER),
        clears=True,
    ),
    Row(
        name="scan-refund",
        text="Give back a part or the whole of a sale by code.",
        example="--trace 3 --amount 200",
        build=terminal_asks.scan_refund,
        takes=("amount", "code", "voucher", *_EARLIER),
        clears=True,
    ),
    Row(
        name="reverse",
        text="Reverse a transaction, the last one that can be.",
        example="",
        build=terminal_asks.reverse,
        takes=("trace", "batch", "reason", "auth_code"),
    ),
    Row(
        name="preauth",
        text="Hold an amount on a card.",
        example=f"--amount 50000 {_EXAMPLE_CARD}",
        build=terminal_asks.preauth,
        needs=("amount", "pan"),
        takes=(*_CARD, *_OPERATOR),
        clears=True,
    ),
    Row(
        name="preauth-moto",
        text="Hold by mail or telephone: the card is not there.",
        example="--amount 1990 --pan 9900000000000010",
        build=terminal_asks.preauth_moto,
        needs=("amount", "pan"),
        takes=_OPERATOR,
        clears=True,
    ),
    Row(
        name="preauth-add",
        text="Hold some more.",
        example=f"--amount 10000 {_EXAMPLE_CARD}",
        build=terminal_asks.preauth_add,
        needs=("amount", "pan"),
        takes=(*_CARD, *_OPERATOR),
        clears=True,
    ),
    Row(
        name="preauth-void",
        text="Let a hold go.",
        example="--trace 4 --auth-code 123456 --pan 9900000000000010",
        build=terminal_asks.preauth_void,
        takes=("auth_code", "pan", *_CARD, *_EARLIER, "amount"),
        clears=True,
    ),
    Row(
        name="complete",
        text="Take what was held, or less.",
        example="--trace 4 --auth-code 123456 --amount 42000 --pan 9900000000000010",
        build=terminal_asks.complete,
        takes=("amount", "auth_code", "pan", *_CARD, *_EARLIER),
        clears=True,
    ),
    Row(
        name="complete-advice",
        text="Tell that what was held has been taken.",
        example="--trace 4 --auth-code 123456 --amount 42000 --pan 9900000000000010",
        build=terminal_asks.complete_advice,
        takes=("amount", "auth_code", "pan", "chip", *_EARLIER),
        clears=True,
    ),
    Row(
        name="complete-void",
        text="Take a completion of this batch back.",
        example="--trace 5 --auth-code 123456 --pan 9900000000000010",
        build=terminal_asks.complete_void,
        takes=("auth_code", "pan", *_CARD, *_EARLIER, "amount"),
        clears=True,
    ),
    Row(
        name="query",
        text="Ask what became of a sale by code.",
        example="--code 280000000000000001",
        build=terminal_asks.query,
        takes=("code", "voucher", "trace", "batch"),
    ),
    Row(
        name="status",
        text="Ask whether a sale that was not answered is paid.",
        example="--trace 3",
        build=terminal_asks.status,
        takes=("trace", "batch"),
    ),
    Row(
        name="live-code",
        text="Show a code that any wallet can pay; with --trace, the next code of that order.",
        example="--amount 1990",
        build=terminal_asks.live_code,
        needs=("amount",),
        takes=("trace", *_OPERATOR),
        clears=True,
    ),
    Row(
        name="offline-sale",
        text="Tell of a sale that was made without the host.",
        example="--amount 1990 --auth-code 123456 --pan 9900000000000010",
        build=terminal_asks.offline_sale,
        needs=("amount", "pan"),
        takes=("auth_code", "chip"),
        clears=True,
    ),
    Row(
        name="adjust",
        text="Set the amount of an offline sale.",
        example="--trace 6 --amount 2090 --pan 9900000000000010",
        build=terminal_asks.adjust,
        needs=("amount",),
        takes=("auth_code", "pan", "chip", *_EARLIER),
        clears=True,
    ),
    Row(
        name="tip",
        text="Add a tip to a sale.",
        example="--trace 2 --tip 200 --pan 9900000000000010",
        build=terminal_asks.tip,
        needs=("tip",),
        takes=("amount", "auth_code", "pan", "chip", *_EARLIER),
        clears=True,
    ),
    Row(
        name="notice",
        text="Upload an advice once more (0320), as a settlement does.",
        example="--trace 6",
        build=terminal_asks.notice,
        takes=("trace", "batch"),
    ),
    Row(
        name="script-result",
        text="Tell how an issuer's script to the chip went.",
        example="--trace 2 --chip-data DF3105200000000095050000000000",
        build=terminal_asks.script_result,
        needs=("chip_data",),
        takes=("trace", "batch"),
        clears=True,
    ),
)
_SELLING: Final = (
    Row(
        name="sale",
        text="Sell by card; with --count, many times at a rate.",
        example=f"--amount 1990 {_EXAMPLE_CARD}",
        build=terminal_asks.sale,
        needs=("amount", "pan"),
        takes=(*_CARD, *_OPERATOR),
        clears=True,
    ),
    Row(
        name="scan",
        text="Sell by a scanned code; with --count, many times at a rate.",
        example="--amount 500 --code 280000000000000001",
        build=terminal_asks.scan,
        needs=("amount", "code"),
        takes=_OPERATOR,
        clears=True,
    ),
)
SELLING: Final[Mapping[str, Row]] = MappingProxyType({row.name: row for row in _SELLING})
"""What can be done under load."""
PLAIN: Final[Mapping[str, Row]] = MappingProxyType({row.name: row for row in _ROWS})
ROWS: Final[Mapping[str, Row]] = MappingProxyType({**SELLING, **PLAIN})
"""Every transaction that is one exchange, by its name."""


def card_for(till: Till, row: Row, given: Given) -> Card | None:
    """The card that a transaction shows, for the journal and later steps."""
    return card_of(till, given) if given.pan and "pan" in (*row.needs, *row.takes) else None

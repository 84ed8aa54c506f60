"""Holds, completions, voids, refunds and balances, asked by a codec that is not ours."""

from typing import Any

import pytest

from sandbox.card_orders import BALANCE_FEN
from sandbox.scenarios import CARDS, Scenario
from tests.sandbox.foreign_link import Fields, ForeignLink, order_no

DAY_MS = 86_400_000
TODAY = "1122"
ANOTHER_PAN = CARDS[Scenario.INSUFFICIENT_FUNDS].pan


def f60(type_code: str) -> str:
    return f"{type_code}000007000500"


def amount(fen: int) -> str:
    return f"{fen:012d}"


def hold(link: ForeignLink, trace: int, **changes: str) -> Fields:
    rows = {"f3": "030000", "f25": "06", "f60": f60("10")}
    return link.sale(Scenario.APPROVED, trace, **(rows | changes))


def completion(link: ForeignLink, trace: int, held: int, auth: str, **changes: str) -> Fields:
    sale = link.sale(Scenario.APPROVED, trace, f3="000000", f25="06", f60=f60("20"))
    fields = sale | {"38": auth, "61": f"000007{held:06d}{TODAY}"}
    return fields | {name[1:]: value for name, value in changes.items()}


def bare(fields: Fields) -> Fields:
    """Without anything that is read from a card."""
    return {n: v for n, v in fields.items() if n not in ("2", "14", "26", "35", "52", "53")}


def void(link: ForeignLink, trace: int, original: int, reference: str, **changes: str) -> Fields:
    fields = bare(link.sale(Scenario.APPROVED, trace, f3="200000", f60=f60("23")))
    fields |= {"22": "012", "37": reference, "61": f"000007{original:06d}{TODAY}"}
    return fields | {name[1:]: value for name, value in changes.items()}


def refund(
    link: ForeignLink, trace: int, original: int, reference: str, fen: int, **changes: str
) -> Fields:
    fields = void(link, trace, original, reference) | {"4": amount(fen), "60": f60("25")}
    return fields | {"63": "000"} | {name[1:]: value for name, value in changes.items()}


async def sold(link: ForeignLink, trace: int = 1) -> str:
    """F37 of a sale of 19.90."""
    answer = await link.ask("0200", link.sale(Scenario.APPROVED, trace))
    assert answer["39"] == "00"
    return answer["37"]


async def held(link: ForeignLink, trace: int = 1) -> str:
    """F38 of a hold of 19.90."""
    answer = await link.ask("0100", hold(link, trace))
    assert (answer["t"], answer["39"]) == ("0110", "00")
    return answer["38"]


async def net(sandbox: Any) -> dict[str, int]:
    return {c["order_no"]: c["charged_fen"] - c["returned_fen"] for c in await sandbox.charges()}


async def test_a_hold_charges_nothing_and_a_completion_takes_it_once(
    link: ForeignLink, sandbox: Any
) -> None:
    auth = await held(link)
    assert await net(sandbox) == {}
    first = completion(link, 2, 1, auth, f4=amount(1500))
    answer = await link.ask("0200", first)
    assert (answer["t"], answer["39"], answer["4"]) == ("0210", "00", amount(1500))
    assert await link.ask("0200", first) == answer
    assert (await link.ask("0200", completion(link, 3, 1, auth)))["39"] == "25"
    assert await net(sandbox) == {order_no(2): 1500}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f4": amount(1991)}, "61"),
        ({"f38": "999999"}, "25"),
        ({"f61": "000007000009" + TODAY}, "25"),
        ({"f61": "0000070000011120"}, "25"),
        ({"f61": "000007"}, "30"),
        ({"f2": ANOTHER_PAN, "f35": ANOTHER_PAN + "D3012"}, "55"),
        ({"f2": "9900000000001000001", "f35": "9900000000001000001D3012"}, "14"),
        ({"f60": f60("24")}, "40"),
        ({"f4": amount(0)}, "13"),
        ({"f49": "840"}, "13"),
    ],
)
async def test_a_completion_that_cannot_be(
    link: ForeignLink, sandbox: Any, changes: dict[str, str], code: str
) -> None:
    """Nothing is charged, and the hold can still be taken."""
    auth = await held(link)
    fields = completion(link, 2, 1, auth, **changes)
    if code == "14":
        fields = {n: v for n, v in fields.items() if n not in ("26", "52", "53")}
    assert (await link.ask("0200", fields))["39"] == code
    assert await net(sandbox) == {}
    assert (await link.ask("0200", completion(link, 3, 1, auth)))["39"] == "00"


async def test_a_reversed_completion_opens_its_hold_again(link: ForeignLink, sandbox: Any) -> None:
    auth = await held(link)
    asked = completion(link, 2, 1, auth)
    await link.ask("0200", asked)
    for _ in range(2):
        assert (await link.ask("0400", link.reversal(asked)))["39"] == "00"
    assert (await link.ask("0200", asked))["39"] == "25"
    assert (await link.ask("0200", completion(link, 3, 1, auth)))["39"] == "00"
    assert await net(sandbox) == {order_no(2): 0, order_no(3): 1990}


async def test_a_released_hold_cannot_be_taken(link: ForeignLink, sandbox: Any) -> None:
    """The reversal answers 00 however often it comes, and the late hold's repeat is 25."""
    auth = await held(link)
    for _ in range(2):
        assert (await link.ask("0400", link.reversal(hold(link, 1))))["39"] == "00"
    assert (await link.ask("0100", hold(link, 1)))["39"] == "25"
    assert (await link.ask("0200", completion(link, 2, 1, auth)))["39"] == "25"
    assert await net(sandbox) == {}


async def test_a_hold_that_was_taken_cannot_be_released(link: ForeignLink, sandbox: Any) -> None:
    auth = await held(link)
    await link.ask("0200", completion(link, 2, 1, auth))
    assert (await link.ask("0400", link.reversal(hold(link, 1))))["39"] == "25"
    assert await net(sandbox) == {order_no(2): 1990}


async def test_a_reversal_of_another_kind_finds_nothing(link: ForeignLink, sandbox: Any) -> None:
    await sold(link)
    assert (await link.ask("0400", link.reversal(hold(link, 1))))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 1990}


@pytest.mark.parametrize(
    ("scenario", "code", "reversed_code"),
    [
        (Scenario.INSUFFICIENT_FUNDS, "51", "25"),
        (Scenario.WRONG_PIN, "55", "25"),
        (Scenario.LOST_RESPONSE_CHARGED, "", "00"),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, "", "25"),
    ],
)
async def test_every_scenario_plays_in_a_hold_too(
    link: ForeignLink, sandbox: Any, scenario: Scenario, code: str, reversed_code: str
) -> None:
    asked = link.sale(scenario, 1, f3="030000", f25="06", f60=f60("10"))
    await link.send("0100", asked)
    if code:
        assert (await link.receive())["39"] == code
    answer = await link.ask("0400", link.reversal(asked))
    assert (answer["t"], answer["39"]) == ("0410", reversed_code)
    assert await net(sandbox) == {}


async def test_a_void_returns_the_whole_once(link: ForeignLink, sandbox: Any) -> None:
    reference = await sold(link)
    asked = void(link, 2, 1, reference)
    answer = await link.ask("0200", asked)
    assert (answer["t"], answer["39"], answer["11"], "64" in answer) == (
        "0210", "00", "000002", True,
    )  # fmt: skip
    assert await link.ask("0200", asked) == answer
    assert (await link.ask("0200", void(link, 3, 1, reference)))["39"] == "25"
    assert (await link.ask("0220", refund(link, 4, 1, reference, 1)))["39"] == "61"
    assert (await link.ask("0400", link.reversal(link.sale(Scenario.APPROVED, 1))))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 0}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f4": amount(1989)}, "64"),
        ({"f37": "000000000999"}, "25"),
        ({"f61": "000007000009" + TODAY}, "25"),
        ({"f61": "0000070000011120"}, "25"),
        ({"f60": f60("21"), "f25": "06"}, "25"),
        ({"f2": ANOTHER_PAN}, "14"),
        ({"f11": "000001"}, "94"),
        ({"f25": "06"}, "40"),
        ({"f61": "00000700"}, "30"),
    ],
)
async def test_a_void_that_cannot_be(
    link: ForeignLink, sandbox: Any, changes: dict[str, str], code: str
) -> None:
    reference = await sold(link)
    assert (await link.ask("0200", void(link, 2, 1, reference, **changes)))["39"] == code
    assert await net(sandbox) == {order_no(1): 1990}


async def test_a_void_is_for_the_same_day(link: ForeignLink, sandbox: Any) -> None:
    """The next day is for refunds; a date one day off is still the same order."""
    reference = await sold(link)
    sandbox.clock.ms += DAY_MS
    await link.sign_in()
    assert (await link.ask("0200", void(link, 2, 1, reference)))["39"] == "25"
    late = refund(link, 3, 1, reference, 1990, f61="0000070000011123")
    assert (await link.ask("0220", late))["39"] == "00"
    assert await net(sandbox) == {order_no(1): 0}


async def test_refunds_add_up_to_the_sale_and_not_beyond(link: ForeignLink, sandbox: Any) -> None:
    reference = await sold(link)
    first = refund(link, 2, 1, reference, 1000)
    answer = await link.ask("0220", first)
    assert (answer["t"], answer["39"], answer["4"]) == ("0230", "00", amount(1000))
    assert await link.ask("0220", first) == answer
    assert (await link.ask("0220", first | {"4": amount(1)}))["39"] == "94"
    assert (await link.ask("0220", refund(link, 3, 1, reference, 991)))["39"] == "61"
    assert (await link.ask("0220", refund(link, 3, 1, reference, 991)))["39"] == "61"
    assert (await link.ask("0220", refund(link, 4, 1, reference, 990)))["39"] == "00"
    assert (await link.ask("0200", void(link, 5, 1, reference)))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 0}


async def test_a_refund_is_for_thirty_days(link: ForeignLink, sandbox: Any) -> None:
    reference = await sold(link)
    sandbox.clock.ms += 31 * DAY_MS
    await link.sign_in()
    assert (await link.ask("0220", refund(link, 2, 1, reference, 1)))["39"] == "22"
    assert await net(sandbox) == {order_no(1): 1990}


async def test_what_was_reversed_declined_or_never_seen_is_not_returned(
    link: ForeignLink, sandbox: Any
) -> None:
    reference = await sold(link)
    await link.ask("0400", link.reversal(link.sale(Scenario.APPROVED, 1)))
    declined = await link.ask("0200", link.sale(Scenario.INSUFFICIENT_FUNDS, 2))
    for trace, original, named in ((3, 1, reference), (4, 2, declined["37"]), (5, 9, reference)):
        asked = refund(link, trace, original, named, 1)
        assert (await link.ask("0220", asked))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 0}


async def test_a_reversal_returns_what_refunds_left(link: ForeignLink, sandbox: Any) -> None:
    reference = await sold(link)
    await link.ask("0220", refund(link, 2, 1, reference, 500))
    assert (await link.ask("0400", link.reversal(link.sale(Scenario.APPROVED, 1))))["39"] == "00"
    assert (await link.ask("0220", refund(link, 3, 1, reference, 1)))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 0}


async def test_a_reversed_void_takes_the_money_back_and_a_refund_is_never_reversed(
    link: ForeignLink, sandbox: Any
) -> None:
    reference = await sold(link)
    asked = void(link, 2, 1, reference)
    await link.ask("0200", asked)
    for _ in range(2):
        assert (await link.ask("0400", asked | {"39": "98"}))["39"] == "00"
    assert (await link.ask("0200", asked))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 1990}
    back = refund(link, 3, 1, reference, 500)
    await link.ask("0220", back)
    assert (await link.ask("0400", back | {"39": "98"}))["39"] == "40"
    assert await net(sandbox) == {order_no(1): 1490}


async def test_a_reversal_before_its_void_refuses_the_void(link: ForeignLink, sandbox: Any) -> None:
    reference = await sold(link)
    asked = void(link, 2, 1, reference)
    assert (await link.ask("0400", asked | {"39": "98"}))["39"] == "25"
    assert (await link.ask("0200", asked))["39"] == "25"
    assert await net(sandbox) == {order_no(1): 1990}


async def test_a_completion_is_voided_under_its_own_type(link: ForeignLink, sandbox: Any) -> None:
    """The void returns the money; the hold stays taken."""
    auth = await held(link)
    reference = (await link.ask("0200", completion(link, 2, 1, auth)))["37"]
    assert (await link.ask("0200", void(link, 3, 2, reference)))["39"] == "25"
    asked = void(link, 4, 2, reference, f25="06", f60=f60("21"))
    assert (await link.ask("0200", asked))["39"] == "00"
    assert (await link.ask("0200", completion(link, 5, 1, auth)))["39"] == "25"
    assert await net(sandbox) == {order_no(2): 0}


async def test_a_wrong_mac_returns_nothing(link: ForeignLink, sandbox: Any) -> None:
    reference = await sold(link)
    asked = refund(link, 2, 1, reference, 500)
    assert (await link.ask("0220", asked, spoil_mac=True))["39"] == "A0"
    assert (await link.ask("0100", hold(link, 3), spoil_mac=True))["39"] == "A0"
    assert await net(sandbox) == {order_no(1): 1990}


@pytest.mark.parametrize(
    ("scenario", "code", "fen"),
    [
        (Scenario.APPROVED, "00", BALANCE_FEN),
        (Scenario.INSUFFICIENT_FUNDS, "00", 0),
        (Scenario.WRONG_PIN, "55", None),
    ],
)
async def test_a_balance_is_told_and_moves_nothing(
    link: ForeignLink, sandbox: Any, scenario: Scenario, code: str, fen: int | None
) -> None:
    asked = link.sale(scenario, 1, f3="310000", f60=f60("01"))
    del asked["4"]
    answer = await link.ask("0200", asked)
    assert (answer["t"], answer["39"], "4" in answer) == ("0210", code, False)
    assert answer.get("54") == (None if fen is None else f"1002156C{fen:012d}")
    assert await net(sandbox) == {}
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 1)))["39"] == "00"


UNSENT = {"2", "26", "35", "52", "53", "64"}
"""What a reversal leaves out."""


def half(debit_fen: int, debits: int, credit_fen: int, credits: int, result: int) -> str:
    """One card class of F48, written here."""
    return f"{debit_fen:012}{debits:03}{credit_fen:012}{credits:03}{result}"


async def test_a_settlement_tells_the_hosts_own_totals(link: ForeignLink) -> None:
    """0510 without F39 and F64: the host's sums, and whether they agree, per card class."""
    sale = link.sale(Scenario.APPROVED, 1)
    await link.ask("0200", sale)
    await link.ask("0200", link.sale(Scenario.INSUFFICIENT_FUNDS, 2))
    undone = link.sale(Scenario.APPROVED, 3)
    await link.ask("0200", undone)
    await link.ask("0400", {n: undone[n] for n in undone if n not in UNSENT} | {"39": "98"})
    ask = {
        "11": "999999", "41": sale["41"], "42": sale["42"], "49": "156", "63": "001",
        "60": "00" + sale["60"][2:8] + "201",
    }  # fmt: skip
    none = half(0, 0, 0, 0, 0)
    answer = await link.ask("0500", ask | {"48": half(1990, 1, 0, 0, 0) + none})
    assert answer["t"] == "0510"
    assert "39" not in answer and "64" not in answer
    for field in ("11", "41", "42", "49", "60", "63"):
        assert answer[field] == ask[field]
    equal = half(0, 0, 0, 0, 1)
    assert answer["48"] == half(1990, 1, 0, 0, 1) + equal
    answer = await link.ask("0500", ask | {"48": half(1991, 1, 0, 0, 0) + none})
    assert answer["48"] == half(1990, 1, 0, 0, 2) + equal
    assert (await link.ask("0500", ask | {"48": "12"}))["39"] == "30"
    other = {"60": "00" + sale["60"][2:8] + "202", "48": none * 2}
    assert (await link.ask("0500", ask | other))["39"] == "40"

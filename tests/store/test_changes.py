"""The contract of claims, advances and replies, on both engines."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from domain.decline import Decline, DeclineReason
from domain.errors import Conflict, Unprocessable
from domain.ledger import is_balanced
from domain.payment import Event, Payment, Status
from gateway.store.port import PaymentEvent, Store
from tests.store.conftest import OpenStore, lease_settle
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_order,
    sample_postings,
    sample_reply,
)


async def test_a_claim_is_read_back_exactly(store: Store) -> None:
    """Every field of order and standing survives, by id and by order key."""
    claim = sample_claim(1)
    assert await store.claim(claim)
    expected = Payment(claim.order, claim.standing)
    assert await store.payment(claim.order.id) == expected
    assert await store.payment_by_order(MERCHANT, "pos", claim.order.order_key) == expected
    number = claim.order.channel_order_no
    assert await store.payment_by_channel_order("a1", number) == expected
    assert await store.payment_by_channel_order("a2", number) is None
    assert await store.payment_by_channel_order("a1", number + "0") is None
    assert await store.events(claim.order.id) == [
        PaymentEvent(
            sequence=1,
            event=Event.SUBMIT,
            previous=Status.CREATED,
            status=Status.SUBMITTED,
            at_ms=1_000,
        )
    ]
    assert await store.postings(claim.order.id) == []


async def test_unknown_things_are_none(store: Store) -> None:
    """Reading what does not exist gives nothing."""
    assert await store.payment("PAYNONE") is None
    assert await store.payment_by_order(MERCHANT, "pos", "none") is None
    assert await store.terminal_reply(MERCHANT, "none") is None
    assert await store.events("PAYNONE") == []


async def test_a_second_claim_of_a_key_is_refused_and_writes_nothing(store: Store) -> None:
    """The loser leaves no attempt, event or reply behind."""
    assert await store.claim(sample_claim(1))
    loser = sample_claim(2, order_key="T1/1/1", reply=sample_reply("lost"))
    assert not await store.claim(loser)
    assert await store.payment(loser.order.id) is None
    assert await store.events(loser.order.id) == []
    assert await store.terminal_reply(MERCHANT, "lost") is None
    assert [job.subject for job in await lease_settle(store, 9_000, 1_000, 10)] == [
        sample_order(1).id
    ]


async def test_the_same_claim_again_is_refused(store: Store) -> None:
    """A repeat with the same id loses on the key; it is not an integrity failure."""
    assert await store.claim(sample_claim(1))
    assert not await store.claim(sample_claim(1))


@pytest.mark.parametrize("same_id", [True, False])
async def test_of_fifty_concurrent_claims_of_a_key_one_wins(store: Store, same_id: bool) -> None:
    """Whether they carry one id or fifty."""
    claims = [sample_claim(1 if same_id else n, order_key="T1/1/1") for n in range(50)]
    outcomes = await asyncio.gather(*map(store.claim, claims))
    assert sum(outcomes) == 1
    winner = claims[outcomes.index(True)].order.id
    assert len(await store.events(winner)) == 1


async def test_the_same_key_of_another_merchant_or_door_is_free(store: Store) -> None:
    """The key is unique within merchant and door only."""
    claims = [
        sample_claim(1, order_key="same"),
        sample_claim(2, order_key="same", merchant_no="m2"),
        sample_claim(3, order_key="same", door="api"),
    ]
    assert await asyncio.gather(*map(store.claim, claims)) == [True, True, True]


async def test_an_advance_moves_the_payment_and_writes_all_that_belongs_to_it(store: Store) -> None:
    """Standing, event, postings, reply, and the attempt is settled."""
    await store.claim(sample_claim(1))
    advance = sample_advance(1, reply=sample_reply("k1"))
    assert await store.advance(advance)
    payment = await store.payment(advance.payment_id)
    assert payment is not None
    assert payment.standing == advance.standing
    assert (await store.events(advance.payment_id))[1:] == [
        PaymentEvent(
            sequence=2,
            event=Event.PAID,
            previous=Status.SUBMITTED,
            status=Status.SUCCEEDED,
            at_ms=2_500,
        )
    ]
    postings = await store.postings(advance.payment_id)
    assert tuple(postings) == sample_postings()
    assert is_balanced(postings)
    assert await store.terminal_reply(MERCHANT, "k1") == advance.reply
    assert not await lease_settle(store, 10**12, 1, 10)


async def test_a_decline_is_kept_with_its_channel_code(store: Store) -> None:
    """Reason by value, the channel's code beside it."""
    await store.claim(sample_claim(1))
    advance = sample_advance(1)
    standing = replace(
        advance.standing,
        status=Status.FAILED,
        captured_fen=0,
        decline=Decline(DeclineReason.INSUFFICIENT_FUNDS, "51"),
    )
    assert await store.advance(replace(advance, standing=standing, postings=()))
    payment = await store.payment(advance.payment_id)
    assert payment is not None
    assert payment.standing == standing


async def test_an_advance_from_another_version_is_refused_and_writes_nothing(store: Store) -> None:
    """Compare-and-set on the version."""
    await store.claim(sample_claim(1))
    assert not await store.advance(sample_advance(1, version=3, reply=sample_reply("k")))
    payment = await store.payment(sample_order(1).id)
    assert payment is not None
    assert payment.standing.version == 1
    assert len(await store.events(payment.order.id)) == 1
    assert await store.postings(payment.order.id) == []
    assert await store.terminal_reply(MERCHANT, "k") is None
    assert len(await lease_settle(store, 9_000, 1, 10)) == 1


async def test_an_advance_of_another_merchant_is_refused(store: Store) -> None:
    """No write crosses from one merchant to another."""
    await store.claim(sample_claim(1))
    assert not await store.advance(replace(sample_advance(1), merchant_no="m2"))


async def test_of_fifty_concurrent_advances_one_wins(store: Store) -> None:
    """The race is decided by the version; the winner's content is what stays."""
    await store.claim(sample_claim(1))
    advances = [sample_advance(1, trade_no=f"trade{n}") for n in range(50)]
    outcomes = await asyncio.gather(*map(store.advance, advances))
    assert sum(outcomes) == 1
    payment = await store.payment(sample_order(1).id)
    assert payment is not None
    assert payment.standing.channel_trade_no == f"trade{outcomes.index(True)}"
    assert len(await store.postings(payment.order.id)) == 2


async def test_advances_in_a_row_may_be_queued_at_once(store: Store) -> None:
    """Version 2 and 3 of one payment go to different batches, in order."""
    await store.claim(sample_claim(1))
    outcomes = await asyncio.gather(
        *(store.advance(sample_advance(1, version=version)) for version in range(2, 6))
    )
    assert outcomes == [True] * 4
    assert [e.sequence for e in await store.events(sample_order(1).id)] == [1, 2, 3, 4, 5]


async def test_a_lost_guard_leaves_the_neighbours_alone(store: Store) -> None:
    """Winners and losers of one batch are told apart."""
    await store.claim(sample_claim(1))
    claims = [sample_claim(n, order_key=f"T1/1/{max(n, 1)}") for n in range(100, 120)]
    claims.insert(7, sample_claim(2, order_key="T1/1/1"))
    outcomes = await asyncio.gather(*map(store.claim, claims))
    assert outcomes == [n != 7 for n in range(21)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"channel_order_no": f"CH{1:030d}"}, "channel_order_no_exists"),
        ({"id": f"PAY{1:029d}"}, "payment_id_exists"),
    ],
)
async def test_a_number_used_before_fails_its_claim_alone(
    store: Store, change: dict[str, Any], code: str
) -> None:
    """The culprit gets a conflict, its neighbours commit, and it leaves no trace."""
    await store.claim(sample_claim(1))
    claims = [sample_claim(n, **(change if n == 110 else {})) for n in range(100, 120)]
    outcomes = await asyncio.gather(*map(store.claim, claims), return_exceptions=True)
    culprit = outcomes.pop(10)
    assert isinstance(culprit, Conflict)
    assert culprit.code == code
    assert outcomes == [True] * 19
    assert await store.payment_by_order(MERCHANT, "pos", "T1/1/110") is None


async def test_a_reply_key_used_before_fails_its_advance_alone(store: Store) -> None:
    """All or nothing: the payment does not move either; its neighbours do."""
    assert await store.save_reply(sample_reply("taken"))
    await asyncio.gather(*(store.claim(sample_claim(n)) for n in range(20)))
    advances = [
        sample_advance(n, reply=sample_reply("taken" if n == 5 else f"k{n}")) for n in range(20)
    ]
    outcomes = await asyncio.gather(*map(store.advance, advances), return_exceptions=True)
    culprit = outcomes.pop(5)
    assert isinstance(culprit, Conflict)
    assert culprit.code == "reply_exists"
    assert outcomes == [True] * 19
    payment = await store.payment(sample_order(5).id)
    assert payment is not None
    assert payment.standing.version == 1
    assert await store.postings(payment.order.id) == []


async def test_a_value_that_cannot_be_stored_fails_its_claim_alone(store: Store) -> None:
    """A lone surrogate is the caller's problem, not the batch's."""
    claims = [sample_claim(n, subject="\ud800" if n == 3 else "ok") for n in range(10)]
    outcomes = await asyncio.gather(*map(store.claim, claims), return_exceptions=True)
    assert isinstance(outcomes.pop(3), Unprocessable)
    assert outcomes == [True] * 9


async def test_a_reply_is_kept_once(store: Store) -> None:
    """The first reply to a message stays."""
    first, second = sample_reply("k"), replace(sample_reply("k"), reply_sealed=b"other")
    assert await asyncio.gather(*map(store.save_reply, (first, second))) == [True, False]
    assert await store.terminal_reply(MERCHANT, "k") == first


async def test_claims_and_replies_may_be_queued_together(store: Store) -> None:
    """Both kinds pass through one queue."""
    waiting = []
    for number in range(20):
        waiting += [store.claim(sample_claim(number)), store.save_reply(sample_reply(f"k{number}"))]
    assert await asyncio.gather(*waiting) == [True] * 40


async def test_an_order_without_a_channel_number_has_no_attempt(store: Store) -> None:
    """Two reversals that came before their sales do not collide; nothing falls due."""
    claims = [
        sample_claim(n, due_at_ms=None, channel="", account_id="", channel_order_no="")
        for n in range(2)
    ]
    assert await asyncio.gather(*map(store.claim, claims)) == [True, True]
    assert not await lease_settle(store, 10**12, 1, 10)


async def test_a_batch_larger_than_the_bound_is_split(url: str, open_store: OpenStore) -> None:
    """More waiting changes than max_batch are all committed."""
    small = await open_store(url, max_batch=7)
    assert all(await asyncio.gather(*(small.claim(sample_claim(n)) for n in range(100))))

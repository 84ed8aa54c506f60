"""A nonce is good once: one contract, kept in memory and in a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from structlog.testing import LogCapture

from domain.errors import ConfigurationError, Unavailable
from gateway.http.nonces import MemoryNonces, Nonces, make_nonces
from gateway.http.redis_nonces import RedisNonces
from gateway.sources import RandomIds
from tests.gateway.conftest import RedisServer

NOW_S = 1_800_000_000
LOG = structlog.get_logger()


class SetClock:
    """Time as a test sets it."""

    def __init__(self) -> None:
        self.s = NOW_S

    def now_ms(self) -> int:
        return self.s * 1000

    def monotonic_s(self) -> float:
        return float(self.s)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["memory", "redis"])
async def nonces(request: pytest.FixtureRequest, clock: SetClock) -> AsyncIterator[Nonces]:
    """Both implementations."""
    if request.param == "memory":
        made = make_nonces("memory", clock, 100_000)
    else:
        server: RedisServer = request.getfixturevalue("shared_redis")
        made = make_nonces(server.url, clock, 100_000)
    yield made
    await made.close()


@pytest.fixture
def key() -> str:
    """A key id that no other test uses."""
    return RandomIds().new("key_")


async def test_good_once(nonces: Nonces, key: str) -> None:
    """The second use is refused, whatever time it names."""
    assert await nonces.use(key, "n", NOW_S + 300)
    for until_s in (NOW_S + 300, NOW_S + 600, NOW_S):
        assert not await nonces.use(key, "n", until_s)


async def test_another_keys_nonce_is_another_one(nonces: Nonces, key: str) -> None:
    """Neither blocks nor stands for it; a separator cannot be smuggled."""
    assert await nonces.use(key, "n", NOW_S + 300)
    assert await nonces.use(f"{key}2", "n", NOW_S + 300)
    assert await nonces.use(key, "N", NOW_S + 300)


async def test_at_the_same_moment_one_wins(nonces: Nonces, key: str) -> None:
    """A hundred at once, one accepted."""
    results = await asyncio.gather(*(nonces.use(key, "n", NOW_S + 300) for _ in range(100)))
    assert sum(results) == 1


async def test_a_thousand_different_ones_are_all_good(nonces: Nonces, key: str) -> None:
    results = await asyncio.gather(*(nonces.use(key, f"n{i}", NOW_S + 300) for i in range(1000)))
    assert all(results)


async def test_memory_remembers_until_the_last_acceptable_second(clock: SetClock) -> None:
    """Never forgotten early; forgotten in the end."""
    nonces = MemoryNonces(clock, 10)
    assert await nonces.use("k", "n", NOW_S + 300)
    for clock.s in (NOW_S + 1, NOW_S + 299, NOW_S + 300):
        assert not await nonces.use("k", "n", NOW_S + 300)
    clock.s = NOW_S + 1000
    assert await nonces.use("k", "other", clock.s + 300)
    assert nonces.kept() == 1


async def test_memory_is_bounded_and_forgets_nothing_for_it(clock: SetClock) -> None:
    """Full is Unavailable; what is known is still refused; room comes with time."""
    nonces = MemoryNonces(clock, 2)
    assert await nonces.use("k", "a", NOW_S + 300)
    assert await nonces.use("k", "b", NOW_S + 300)
    with pytest.raises(Unavailable):
        await nonces.use("k", "c", NOW_S + 300)
    assert not await nonces.use("k", "a", NOW_S + 300)
    clock.s += 1000
    assert await nonces.use("k", "c", clock.s + 300)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-300, 300), st.integers(0, 5)), max_size=60)
)
def test_no_history_lets_a_replay_through(steps: list[tuple[int, int, int]]) -> None:
    """Against a model that remembers everything: time moves on, requests come early and late."""

    async def run() -> None:
        clock, used = SetClock(), set()
        nonces = MemoryNonces(clock, 1000)
        for wait_s, offset_s, name in steps:
            clock.s += wait_s
            stamp_s = clock.s + offset_s
            seen = (name, stamp_s)
            accepted = await nonces.use("k", f"{name}-{stamp_s}", stamp_s + 300)
            assert accepted == (seen not in used)
            used.add(seen)
            for old_name, old_stamp_s in used:
                if abs(old_stamp_s - clock.s) <= 300:
                    old = f"{old_name}-{old_stamp_s}"
                    assert not await nonces.use("k", old, old_stamp_s + 300)

    asyncio.run(run())


async def test_redis_keeps_it_until_the_last_acceptable_second(
    shared_redis: RedisServer, clock: SetClock, key: str
) -> None:
    """The expiry is at least the time that is left, and there is one."""
    nonces = RedisNonces(shared_redis.url, clock, LOG)
    assert await nonces.use(key, "n", NOW_S + 300)
    left_s = await nonces._redis.ttl(f"posgate:nonce:{key}:n")
    assert 299 <= left_s <= 302
    await nonces.close()


async def test_two_processes_share_what_is_in_redis(
    shared_redis: RedisServer, clock: SetClock, key: str
) -> None:
    one, two = RedisNonces(shared_redis.url, clock, LOG), RedisNonces(shared_redis.url, clock, LOG)
    results = await asyncio.gather(
        *(nonces.use(key, "n", NOW_S + 300) for nonces in (one, two) * 20)
    )
    assert sum(results) == 1
    await one.close()
    await two.close()


async def test_a_redis_that_is_gone_refuses(own_redis: RedisServer, clock: SetClock) -> None:
    """Killed: Unavailable for the known and the new, never a replay accepted; back: good again."""
    nonces = RedisNonces(own_redis.url, clock, LOG)
    assert await nonces.use("k", "n", NOW_S + 300)
    own_redis.kill()
    for nonce in ("n", "new"):
        with pytest.raises(Unavailable):
            await nonces.use("k", nonce, NOW_S + 300)
    own_redis.start()
    assert await nonces.use("k", "newer", NOW_S + 300)
    await nonces.close()


async def test_a_redis_that_was_never_there_refuses(clock: SetClock) -> None:
    server = RedisServer()
    nonces = RedisNonces(server.url, clock, LOG)
    with pytest.raises(Unavailable):
        await nonces.use("k", "n", NOW_S + 300)
    await nonces.close()


async def test_that_redis_is_away_is_warned_of_once_and_told_when_it_is_back(
    own_redis: RedisServer, clock: SetClock
) -> None:
    """Not at every request; ``ready`` says so without trying at every look."""
    said = LogCapture()
    nonces = RedisNonces(own_redis.url, clock, structlog.wrap_logger(None, processors=[said]))
    assert await nonces.ready()
    own_redis.kill()
    assert await nonces.ready()  # it was tried within this second
    clock.s += 1
    assert not await nonces.ready()
    for nonce in "ab":
        with pytest.raises(Unavailable, match="cannot be reached"):
            await nonces.use("k", nonce, NOW_S + 300)
    own_redis.start()
    assert not await nonces.ready()
    clock.s += 1
    assert await nonces.ready()
    assert [line["event"] for line in said.entries] == ["nonce store away", "nonce store is back"]
    assert "http.nonces" in said.entries[0]["next"]
    await nonces.close()


async def test_a_user_that_may_write_nonces_alone_is_enough(
    own_redis: RedisServer, clock: SetClock
) -> None:
    """What ``ready`` writes lies among them."""
    Redis(port=own_redis.port).acl_setuser(
        "posgate", enabled=True, passwords=["+pw"], keys=["posgate:nonce:*"], categories=["+@all"]
    )
    nonces = RedisNonces(own_redis.url.replace("//", "//posgate:pw@"), clock, LOG)
    assert await nonces.use("k", "n", NOW_S + 300)
    assert await nonces.ready()
    await nonces.close()


async def test_one_nonce_that_could_not_be_kept_makes_nothing_unready(
    own_redis: RedisServer, clock: SetClock
) -> None:
    """``ready`` believes what it tried itself, not one request's time-out."""
    nonces = RedisNonces(own_redis.url, clock, LOG)
    assert await nonces.ready()
    own_redis.kill()
    with pytest.raises(Unavailable):
        await nonces.use("k", "n", NOW_S + 300)
    assert await nonces.ready()
    own_redis.start()
    clock.s += 1
    assert await nonces.ready()
    await nonces.close()


async def test_a_refused_password_is_called_one(own_redis: RedisServer, clock: SetClock) -> None:
    Redis(port=own_redis.port).config_set("requirepass", "s3cret")
    for address in (own_redis.url, own_redis.url.replace("//", "//:wr0ng@")):
        said = LogCapture()
        nonces = RedisNonces(address, clock, structlog.wrap_logger(None, processors=[said]))
        with pytest.raises(Unavailable, match="refuses us"):
            await nonces.use("k", "n", NOW_S + 300)
        (line,) = said.entries
        assert "password" in line["next"]
        assert "wr0ng" not in str(line)
        await nonces.close()
    good = RedisNonces(own_redis.url.replace("//", "//:s3cret@"), clock, LOG)
    assert await good.use("k", "n", NOW_S + 300)
    await good.close()


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://[::1/0", "redis://h:99999999/0"])
def test_an_address_that_cannot_be_is_the_operators_fault(url: str, clock: SetClock) -> None:
    """Refused at the start, naming the key."""
    with pytest.raises(ConfigurationError, match=r"http\.nonces"):
        make_nonces(url, clock, 10)

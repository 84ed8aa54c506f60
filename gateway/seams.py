"""Everything of the world that a gateway is handed: time, numbers, randomness, network, store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from channels.port import ChannelPlugin, Connect, Download, Send
from channels.registry import plugins
from channels.tcp import connect as tcp_connect
from domain.clock import Clock
from domain.ids import IdSource
from gateway.http.nonces import Nonces
from gateway.logs import Log
from gateway.notifications import Deliver
from gateway.sources import RandomIds, RandomPool, SystemClock, random_bytes
from gateway.store.port import Store


@dataclass(frozen=True, slots=True)
class Seams:
    """What a test or a simulation may replace; the defaults are the real things.

    ``None`` means: made from the configuration. With a ``send`` of its own a gateway
    makes no HTTP client, and then nothing reaches a merchant but through a ``deliver`` of
    its own, and no file is fetched but through a ``download`` of its own. Whatever is handed in is
    opened, started and closed as the real one would be. The ``wrap_…`` are put around whichever
    there is.
    """

    clock: Clock = field(default_factory=SystemClock)
    ids: IdSource = field(default_factory=RandomIds)
    random_bytes: Callable[[int], bytes] = random_bytes
    nonce_bytes: Callable[[int], bytes] = field(default_factory=lambda: RandomPool().take)
    plugins: Callable[[], Mapping[str, ChannelPlugin]] = plugins
    store: Store | None = None
    nonces: Nonces | None = None
    send: Send | None = None
    download: Download | None = None
    connect: Connect = tcp_connect
    deliver: Deliver | None = None
    log: Log | None = None
    wrap_store: Callable[[Store], Store] = lambda store: store
    wrap_send: Callable[[Send], Send] = lambda send: send
    wrap_connect: Callable[[Connect], Connect] = lambda connect: connect

"""What a core stands on, handed to whoever builds a part of it."""

from dataclasses import dataclass

from domain.decline import Texts
from gateway.config import Config
from gateway.http.nonces import Nonces
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.notifications import Deliver
from gateway.pos.catalogue import Catalogue
from gateway.routes import Routes
from gateway.seams import Seams
from gateway.store.port import Store
from signing.keywrap import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a core stands on; the store is open, the channels are started."""

    config: Config
    seams: Seams
    store: Store
    routes: Routes
    sealer: Sealer
    nonces: Nonces
    deliver: Deliver
    catalogue: Catalogue
    texts: Texts
    metrics: Metrics
    log: Log

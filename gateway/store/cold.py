"""Everything of the store that is not hot, over a ``Database`` of either engine."""

from gateway.store.archives import Archives
from gateway.store.batches import Batches
from gateway.store.cases import Cases
from gateway.store.checkouts import Checkouts
from gateway.store.completions import Completions
from gateway.store.jobs import Jobs
from gateway.store.ledger import Ledger
from gateway.store.limits import Limits
from gateway.store.link_batches import LinkBatchReads
from gateway.store.link_keys import LinkKeys
from gateway.store.merchant_days import MerchantDays
from gateway.store.nights import Nights
from gateway.store.notices import Notices
from gateway.store.operators import Operators
from gateway.store.provisioning import Provisioning
from gateway.store.qr_codes import QrCodes
from gateway.store.reads import PaymentReads
from gateway.store.refunds import Refunds
from gateway.store.surplus_refunds import SurplusRefunds
from gateway.store.till_events import TillEvents


class ColdStore(
    PaymentReads,
    TillEvents,
    Completions,
    Checkouts,
    Refunds,
    Jobs,
    Cases,
    Notices,
    Ledger,
    Provisioning,
    Batches,
    LinkBatchReads,
    LinkKeys,
    Nights,
    MerchantDays,
    SurplusRefunds,
    QrCodes,
    Limits,
    Operators,
    Archives,
):
    """One half per protocol of the port; each has its own file."""

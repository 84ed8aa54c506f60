"""How long checkouts last, and how many are ended at once (``gateway.config``)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutBounds:
    """See ``gateway.config.CheckoutsSection``; ``public_url`` is ``http.public_url``."""

    public_url: str
    wait_s: float
    code_renew_s: float
    code_grace_s: float
    take_over_after_s: float
    interval_s: float
    max_at_once: int

"""The payers' door put together from the configuration.

Rule: what payers are shown is drawn with Jinja2 and segno, a tenth of a second of every start
that has no use for them; so this module is imported where ``http.public_url`` is set, not before.
"""

from collections.abc import Callable
from ipaddress import ip_network

from domain.clock import Clock
from gateway.checkout.port import CheckoutPages
from gateway.config_pages import PagesSection
from gateway.http.pages.counters import FindCode
from gateway.http.pages.door import PageDoor, PageRates
from gateway.http.pages.server import PageServer
from gateway.http.pages.tickets import Tickets
from gateway.logs import Log
from gateway.metrics import Metrics
from signing.keywrap import Sealer


def page_door(
    *,
    public_url: str,
    section: PagesSection,
    pages: CheckoutPages,
    find_code: FindCode,
    sealer: Sealer,
    random_bytes: Callable[[int], bytes],
    clock: Clock,
    metrics: Metrics,
    log: Log,
) -> PageDoor:
    """Make the door; tickets are sealed under the installation's master key."""
    return PageDoor(
        public_url=public_url,
        pages=pages,
        find_code=find_code,
        tickets=Tickets(sealer, random_bytes),
        clock=clock,
        metrics=metrics,
        log=log,
        rates=PageRates(
            code_per_s=section.code_per_s,
            code_burst=section.code_burst,
            address_per_s=section.address_per_s,
            address_burst=section.address_burst,
            code_presses_per_s=section.code_presses_per_s,
            code_presses_burst=section.code_presses_burst,
            address_presses_per_s=section.address_presses_per_s,
            address_presses_burst=section.address_presses_burst,
            max_keys=section.max_keys,
        ),
        max_in_flight=section.max_in_flight,
    )


def page_server(door: PageDoor, section: PagesSection) -> PageServer:
    """Its routes."""
    return PageServer(door=door, proxies=[ip_network(entry) for entry in section.proxies])

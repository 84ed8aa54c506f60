"""The configuration of the payers' page."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field
from pydantic import field_validator as checks_field

from gateway.config_section import Count, Section

_Rate = Annotated[float, Field(gt=0, le=100_000)]


class PagesSection(Section):
    """The page behind a code (`http.public_url` opens it); every rate is of one process."""

    code_per_s: _Rate = 200
    """Requests in a second about one code; an open page asks once a second."""
    code_burst: Count = 400
    """How many at once."""
    address_per_s: _Rate = 100
    """Requests in a second from one address; a shop's Wi-Fi is one."""
    address_burst: Count = 200
    """How many at once."""
    code_presses_per_s: _Rate = 20
    """Presses of the button in a second at one code."""
    code_presses_burst: Count = 40
    """How many at once."""
    address_presses_per_s: _Rate = 5
    """Presses of the button in a second from one address."""
    address_presses_burst: Count = 20
    """How many at once."""
    max_keys: Count = 50_000
    """Codes, and as many addresses, that each of the limits remembers."""
    max_in_flight: Count = 1024
    """Requests being answered; one more is told to come back."""
    proxies: list[str] = []  # noqa: RUF012 - pydantic copies it
    """Networks of your own HTTP proxies, whose `X-Forwarded-For` is believed."""

    @checks_field("proxies")
    @classmethod
    def _readable(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            ip_network(entry)
        return entries

"""The section ``limits``: how limits and operators' PINs are looked at; the limits are data."""

from typing import Annotated

from pydantic import Field

from gateway.config_section import Seconds, Section


class LimitsSection(Section):
    """How merchants' limits and operators' PINs are looked at; what they are is data."""

    fresh_s: Seconds = 10
    """How soon a limit that was set or removed holds."""
    pin_tries: Annotated[int, Field(ge=1, le=10)] = 5
    """Wrong PINs after which an operator is locked."""
    pin_lock_s: Seconds = 1800
    """How long; `posgate operator set-pin` frees at once."""
    max_pin_checks: Annotated[int, Field(ge=1, le=64)] = 2
    """PINs looked at at once, 19 MiB each; 64 in all, one more gets 503."""

"""The readers of channels' bills that are installed, found by entry points.

Rules: as ``channels/registry.py``; a reader is loaded when it is asked for, and nothing
that takes payments imports this file: readers bring Arrow with them.
"""

from importlib.metadata import entry_points
from typing import Final, cast

from channels.bill_rows import BillFormat
from domain.errors import ConfigurationError

GROUP: Final = "posgate.bills"


def bill_channels() -> tuple[str, ...]:
    """The names that :func:`bill_format` knows."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def bill_format(channel: str) -> BillFormat:
    """How the files of ``channel`` are read.

    Raises:
        ConfigurationError: nobody reads them, two do, or the one cannot be loaded.
    """
    points = list(entry_points(group=GROUP, name=channel))
    if len(points) != 1:
        known = ", ".join(bill_channels())
        fault = "nobody reads" if not points else "more than one reads"
        raise ConfigurationError(f"{fault} bills of {channel!r}; installed: {known}")
    try:
        found = points[0].load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the reader of {channel!r} ({points[0].value}) cannot be loaded: {error}"
        ) from error
    if not (hasattr(found, "kinds") and hasattr(found, "kind_of") and hasattr(found, "open")):
        raise ConfigurationError(f"{points[0].value} is not a reader of bills")
    return cast(BillFormat, found)

"""The channels that are installed, found by entry points.

Rules: a channel is known by its plugin alone; nothing is registered by an import
side effect and nothing is kept here. Two plugins of one name, or an entry point
that names something else, refuse to start.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from channels.port import ChannelPlugin
from domain.errors import ConfigurationError

GROUP: Final = "posgate.channels"


def plugins(group: str = GROUP) -> Mapping[str, ChannelPlugin]:
    """Every installed plugin by its channel's name.

    Raises:
        ConfigurationError: an entry point cannot be loaded, is no plugin, or its
            name is taken or differs from the plugin's.
    """
    found: dict[str, ChannelPlugin] = {}
    for point in entry_points(group=group):
        try:
            plugin = point.load()
        except (ImportError, AttributeError) as fault:
            raise ConfigurationError(
                f"channel {point.name!r} ({point.value}) cannot be loaded: {fault}"
            ) from fault
        if not isinstance(plugin, ChannelPlugin) or plugin.name != point.name:
            raise ConfigurationError(f"{point.value} is not the plugin of channel {point.name!r}")
        if point.name in found:
            raise ConfigurationError(f"channel {point.name!r} is installed twice")
        found[point.name] = plugin
    return MappingProxyType(found)

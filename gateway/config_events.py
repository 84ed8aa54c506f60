"""The configuration of who follows payments."""

from gateway.config_section import Count, Seconds, Section


class EventsSection(Section):
    """Event streams, waits for a payment to move, and what terminals are told at once."""

    poll_s: Seconds = 0.1
    """How often what was committed is looked for, while somebody follows."""
    heartbeat_s: Seconds = 15
    """How often an idle stream is written a sign of life, and its key looked up again."""
    life_s: Seconds = 3600
    """How long a stream may stay; then its reader connects again and goes on."""
    max_streams: Count = 4096
    """Streams and waits in this process; one more gets 503."""
    max_streams_per_merchant: Count = 1024
    """Those of one merchant."""
    max_waiting: Count = 64
    """Events of a store that wait for a slow reader; one more cuts it off."""
    write_timeout_s: Seconds = 10
    """How long a reader may take to accept what is written; then it is cut off."""

"""Ending the connections of a door that leaves, without cutting off what is asked on them."""

from aiohttp import web


def end_idle(server: web.Server) -> None:
    """End the connections that are between two requests; the others are for their answer.

    What reads or answers a request must be let alone, or the rest of its body would be thrown
    away. That nothing is asked is aiohttp's own sign.
    """
    for connection in server.connections:
        waiting = getattr(connection, "_waiter", None)
        if waiting is not None and not waiting.done():
            connection.force_close()

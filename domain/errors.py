"""The faults, and whose they are.

::

    PosgateError
    ├── RequestError          the caller's fault: answered, changes nothing
    │   ├── InvalidRequest        not understood: a field is missing or malformed
    │   ├── Unauthorized          no valid signature, MAC, nonce or time
    │   ├── NotFound              no such payment of this merchant
    │   ├── Conflict              same key, other content
    │   ├── TooLarge              over a configured bound
    │   ├── OverLimit             a limit of the merchant's own, or its operator's PIN
    │   ├── UnsupportedMedia      not JSON
    │   └── Unprocessable         understood, and impossible
    ├── Unavailable           ours for now: draining, overloaded or store down
    │   └── ChannelDown           the channel's, for now: it does not answer
    └── ConfigurationError    the operator's: refuses to start, names the mend

A decline is not here: it is a value (``domain/decline.py``). Each leaf is mapped
once to HTTP (``gateway/http/errors.py``) and once to F39
(``gateway/pos/translate.py``); tests prove both maps total.
"""


class PosgateError(Exception):
    """Root of every error of ours; ``message`` is safe to show and to log."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(PosgateError):
    """The caller's fault. ``code`` is stable, ``field`` names the offending field."""

    def __init__(self, code: str, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class InvalidRequest(RequestError):
    """A field is missing or malformed."""


class Unauthorized(RequestError):
    """No valid signature, MAC, nonce or time."""


class NotFound(RequestError):
    """No such thing of this merchant."""


class Conflict(RequestError):
    """The same key with other content."""


class TooLarge(RequestError):
    """Over a configured bound."""


class OverLimit(RequestError):
    """A limit that was set for the merchant stops it, or an operator's PIN is wanting.

    Nothing was begun. ``message`` and ``message_zh`` are for the person at the till.
    """

    def __init__(self, code: str, message: str, *, message_zh: str = "") -> None:
        super().__init__(code, message)
        self.message_zh = message_zh


class UnsupportedMedia(RequestError):
    """The body is not of a type this call takes."""


class Unprocessable(RequestError):
    """Understood, and impossible."""


class Unavailable(PosgateError):
    """Ours, for now: draining, overloaded or the store cannot be reached.

    ``nothing_begun`` only where it is certain that the payment does not exist.
    """

    nothing_begun = False


class ChannelDown(Unavailable):
    """The channel's, for now: it answers nobody, or we may call it no more this second.

    Nothing was begun.
    """

    nothing_begun = True


class ConfigurationError(PosgateError):
    """The operator's: names the place and the mend."""

"""TLS towards channels: what is trusted, and who we are where a server asks.

Rules: TLS 1.2 or newer, the server always verified. A client's key reaches OpenSSL through
a file that is encrypted under a password of the moment and gone at once: in clear it is
never on a disk. A context costs a handshake's worth of work, so each identity has one
(:class:`Identities`), and their number is bounded.
"""

import secrets
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from domain.errors import ConfigurationError

_MOST_IDENTITIES: Final = 64


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who we are in mutual TLS: a certificate (its chain after it) and the key, PEM."""

    certificate: bytes = field(repr=False)
    private_key: bytes = field(repr=False)


def tls_context(ca_file: str | None, identity: ClientIdentity | None = None) -> ssl.SSLContext:
    """A client's context; ``ca_file`` is trusted beside the system's bundle.

    Raises:
        ConfigurationError: the file or the identity cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as fault:
            raise ConfigurationError(f"CA file {ca_file} cannot be used: {fault}") from fault
    if identity is not None:
        _load(context, identity)
    return context


class Identities:
    """A context for each identity, made once."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self._contexts: dict[ClientIdentity, ssl.SSLContext] = {}

    def context(self, identity: ClientIdentity) -> ssl.SSLContext:
        """The context to connect as ``identity`` with.

        Raises:
            ConfigurationError: it cannot be used, or there are too many.
        """
        known = self._contexts.get(identity)
        if known is not None:
            return known
        if len(self._contexts) >= _MOST_IDENTITIES:
            raise ConfigurationError("too many different client certificates")
        made = self._contexts[identity] = tls_context(self._ca_file, identity)
        return made


def _load(context: ssl.SSLContext, identity: ClientIdentity) -> None:
    password = secrets.token_urlsafe(24)
    try:
        key = load_pem_private_key(identity.private_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError("the client's key is no PEM (or it is encrypted)") from None
    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
    )
    with tempfile.TemporaryDirectory(prefix="posgate-") as folder:
        path = Path(folder, "identity.pem")
        path.write_bytes(sealed + b"\n" + identity.certificate)
        try:
            context.load_cert_chain(path, password=password)
        except (OSError, ssl.SSLError):
            raise ConfigurationError("the client's certificate and key do not belong") from None

"""The TLS of whatever listens: version 1.2 at least, from PEM files."""

import ssl
from pathlib import Path

from domain.errors import ConfigurationError


def server_context(
    section: str, certificate_file: Path, key_file: Path, client_ca_file: Path | None = None
) -> ssl.SSLContext:
    """A server's context; with ``client_ca_file`` a client must show a certificate of its.

    Raises:
        ConfigurationError: a file cannot be loaded; ``section`` and the file are named.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{section}: cannot load {certificate_file}: {error}") from None
    if client_ca_file is not None:
        try:
            context.load_verify_locations(client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{section}: cannot load {client_ca_file}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context

"""The TLS of whatever listens: version 1.2 at least, from PEM files."""

import ssl
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError

_CERTIFICATE: Final = b"CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_OTHER_KEY: Final = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""Of one kind, and of another kind than the certificate's."""


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
        # an encrypted key would have the start wait for somebody who types
        context.load_cert_chain(certificate_file, key_file, password="")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(_pair_fault(section, certificate_file, key_file, error)) from None
    if client_ca_file is not None:
        try:
            context.load_verify_locations(client_ca_file)
        except (OSError, ssl.SSLError) as error:
            mend = _file_fault(f"{section}.client_ca_file", client_ca_file, _CERTIFICATE)
            other = f"{section}.client_ca_file: cannot load {client_ca_file}: {error}"
            raise ConfigurationError(mend or other) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _pair_fault(section: str, certificate: Path, key: Path, error: Exception) -> str:
    """Which of the two files is wrong, and how; a line for each."""
    of_files = (
        _file_fault(f"{section}.certificate_file", certificate, _CERTIFICATE),
        _file_fault(f"{section}.key_file", key, _KEY),
    )
    if any(of_files):
        return "\n".join(filter(None, of_files))
    if getattr(error, "reason", None) in _OTHER_KEY:
        return f"{section}.key_file: {key} is not the key of {certificate}; name its own"
    return (
        f"{section}: cannot load {certificate} with {key}: damaged, or the key is encrypted;"
        " give the chain as it was issued, and its key unencrypted"
    )


def _file_fault(name: str, file: Path, mark: bytes) -> str:
    """What is wrong with one file by itself, ``""`` where that cannot be told."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return f"{name}: {file} cannot be read ({error.strerror}); name an existing file"
    if mark not in content:
        what = "certificate" if mark == _CERTIFICATE else "private key"
        return f"{name}: {file} holds no {what}; give one in PEM"
    return ""

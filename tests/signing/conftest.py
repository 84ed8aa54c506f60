"""Keys for this room's tests, made on the spot: no private key is kept in the project."""

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key


@pytest.fixture(scope="session")
def private_key() -> RSAPrivateKey:
    """An RSA key of 2048 bits."""
    return generate_private_key(public_exponent=65537, key_size=2048)

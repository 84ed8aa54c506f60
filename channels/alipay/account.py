"""An application at Alipay, as its plugin reads it from an account's settings."""

import enum
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from signing.alipay_certificates import AlipayKeys


class Transport(enum.Enum):
    """How its calls are written: one form to one gateway, or REST."""

    V2 = "v2"
    V3 = "v3"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AlipayAccount:
    """``seller_id`` is compared where an answer names one.

    ``app_cert_sn`` and ``root_cert_sn`` are set in certificate mode, ``aes_key`` where contents
    are encrypted, ``app_auth_token`` where we act for a merchant, ``service_provider_id`` where
    a service provider is paid for that.
    """

    gateway_url: str
    app_id: str
    seller_id: str
    timeout_s: float
    private_key: RSAPrivateKey
    alipay_keys: AlipayKeys
    transport: Transport = Transport.V2
    app_cert_sn: str = ""
    root_cert_sn: str = ""
    aes_key: bytes = b""
    app_auth_token: str = ""
    service_provider_id: str = ""
    royalty_freeze: bool = False
    notify_url: str = ""
    authorise_url: str = ""

"""The section ``sandbox`` of the configuration: the simulated channels, one section each.

Rule: only ``posgate sandbox`` reads it; a channel that may be absent has a default of none.
"""

from typing import Annotated

from pydantic import Field
from pydantic import model_validator as checks_section

from gateway.config_section import (
    Count,
    OptionalSecretReference,
    Port,
    Seconds,
    SecretReference,
    Section,
)


class SandboxAlipaySection(Section):
    """The simulated Alipay: whose requests it accepts, and what it signs with."""

    port: Port = 0
    """TCP port; 0 lets the system choose."""
    app_id: str
    """The only application that it knows."""
    seller_id: str
    """The PID that its answers name."""
    app_public_key_file: str | None = None
    """PEM; verifies our requests (key mode)."""
    alipay_private_key: SecretReference
    """PEM; signs its answers."""
    app_certificate_file: str | None = None
    """PEM; verifies our requests (certificate mode, with the two that follow)."""
    alipay_certificate_file: str | None = None
    """PEM; of the key that signs its answers."""
    root_certificates_file: str | None = None
    """PEM; the bundle of roots whose serial number requests name."""
    aes_key: OptionalSecretReference = None
    """16 bytes in base64; contents come and go encrypted."""
    app_auth_token: OptionalSecretReference = None
    """The merchant's token that a service provider's calls must bring."""

    @checks_section(mode="after")
    def _one_mode(self) -> "SandboxAlipaySection":
        certificates = (
            self.app_certificate_file,
            self.alipay_certificate_file,
            self.root_certificates_file,
        )
        given = sum(name is not None for name in certificates)
        if (self.app_public_key_file is None, given) not in ((False, 0), (True, 3)):
            raise ValueError("needs app_public_key_file, or the three of certificate mode")
        return self


class SandboxCardSection(Section):
    """The simulated card host, and the link it knows."""

    port: Port = 0
    """TCP port; 0 lets the system choose."""
    merchant_id: Annotated[str, Field(min_length=15, max_length=15)]
    """F42 of the link, 15 characters."""
    terminal_id: Annotated[str, Field(min_length=8, max_length=8)]
    """F41 of the link, 8 characters."""
    tmk: SecretReference
    """The link's master key, 32 or 48 hexadecimal digits."""


class SandboxTlsSection(Section):
    """TLS of a simulated channel, PEM files."""

    certificate_file: str
    """The certificate and its chain."""
    key_file: str
    """Its private key, unencrypted."""
    client_ca_file: str | None = None
    """Who signs the certificates of merchants: what demands one works only with this."""


class SandboxWechatNationalSection(Section):
    """The national algorithms (国密) of the simulated WeChat Pay, beside RSA."""

    merchant_serial: str
    """Serial of the merchant's SM2 certificate, hexadecimal, as requests name it."""
    merchant_public_key_file: str
    """Its public key (or the certificate), PEM: verifies national requests."""
    platform_serial: str
    """What answers are signed under: a `PUB_KEY_ID_…`, or the certificate's serial."""
    platform_private_key: SecretReference
    """Its SM2 key, PEM."""
    platform_certificate_file: str | None = None
    """The platform's SM2 certificate, PEM: handed out to who asks for national ones."""


class SandboxWechatSection(Section):
    """The simulated WeChat Pay: one merchant (or service provider), and what it signs with."""

    port: Port = 0
    """TCP port; 0 lets the system choose."""
    appid: str
    """The only application that it knows."""
    mchid: str
    """The merchant's number, or the service provider's."""
    sub_mchids: list[str] = []  # noqa: RUF012 - pydantic copies it
    """The merchants that the service provider may act for."""
    api_v2_key: SecretReference
    """Signs APIv2, both ways."""
    apiv3_key: SecretReference
    """32 characters; encrypts notifications and certificates."""
    app_secret: SecretReference
    """Exchanges the wallet's code for the payer's openid."""
    merchant_certificate_file: str
    """The merchant's API certificate: verifies APIv3 requests, and is shown in mutual TLS."""
    platform_certificate_file: str
    """What answers are signed under by default."""
    platform_private_key: SecretReference
    """Its key, PEM."""
    public_key_id: Annotated[str, Field(pattern="^PUB_KEY_ID_[0-9A-Za-z]{1,64}$")]
    """The name of the other key that it signs with, for who asks for it."""
    public_key_private_key: SecretReference
    """Its private half, PEM."""
    tls: SandboxTlsSection | None = None
    """Without it the port is plain HTTP, and reversals of APIv2 refuse everything."""
    national: SandboxWechatNationalSection | None = None
    """Without it national requests are refused, as of a merchant that has no such certificate."""
    prompt_s: Seconds = 50
    """How long a payer may type a password before the payment fails."""
    reverse_after_s: Annotated[float, Field(ge=0, le=86_400)] = 15
    """A reversal sooner than this after its payment is refused."""
    bills_at_once: bool = False
    """Whether today's bill is there at any time, instead of tomorrow at 10:00."""


class SandboxUnionPayQrSection(Section):
    """The simulated UnionPay ACP gateway: whose requests it accepts, and what it signs with."""

    port: Port = 0
    """TCP port; 0 lets the system choose."""
    mer_id: Annotated[str, Field(min_length=15, max_length=15)]
    """The only merchant that it knows, 15 characters."""
    merchant_certificate_file: str
    """PEM; verifies our requests."""
    unionpay_private_key: SecretReference
    """PEM; signs its answers."""
    unionpay_certificate_file: str
    """PEM; goes along with each answer."""


class SandboxWalletsSection(Section):
    """The payers' simulated apps, for a browser."""

    port: Port = 0
    """Plain HTTP port of the apps' pages; 0 lets the system choose."""


class SandboxSection(Section):
    """The simulated channels (``posgate sandbox``)."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    control_port: Port = 0
    """Plain HTTP port of ``/charges`` and ``/faults``; 0 lets the system choose."""
    user_paying_after_s: Seconds = 8
    """When the payer of the ``user_paying`` code pays."""
    max_orders: Count = 1_000_000
    """Orders that each channel remembers."""
    notify_factor: Count = 60
    """What the waits between attempts to notify are divided by."""
    alipay: SandboxAlipaySection
    card: SandboxCardSection
    wechat: SandboxWechatSection | None = None
    unionpay_qr: SandboxUnionPayQrSection | None = None
    wallets: SandboxWalletsSection | None = None

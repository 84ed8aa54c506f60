"""What a sandbox is started with, as frozen values.

Rules: every bound is here; a port of 0 lets the system choose, :class:`BoundPorts`
tells the real ones; nothing here is ever a production secret, and ``repr`` still
hides keys.
"""

from dataclasses import dataclass, field
from typing import Final

DEFAULT_MAX_ORDERS: Final = 500_000
WORKING_KEY_LIFE_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipaySandboxConfig:
    """One app at the simulated Alipay.

    ``app_public_key_pem`` verifies requests, ``alipay_private_key_pem`` signs answers;
    both as PEM or as the bare base64 body that Alipay's console hands out. With
    ``app_certificate_pem`` the app is in certificate mode: ``alipay_certificate_pem`` is that
    of the key that signs, ``root_certificates_pem`` the bundle. ``aes_key`` is 16 bytes in
    base64: contents come and go encrypted. ``app_auth_token``, if set, must come with a call.
    """

    app_id: str
    app_public_key_pem: bytes = b""
    alipay_private_key_pem: bytes = field(repr=False)
    seller_id: str = "2088000000000001"
    app_certificate_pem: bytes = b""
    alipay_certificate_pem: bytes = b""
    root_certificates_pem: bytes = b""
    aes_key: str = field(default="", repr=False)
    app_auth_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLink:
    """One terminal of the acquirer's that a gateway signs in as.

    ``tmk`` is the zone master key, 16 or 24 bytes, under which working keys travel.
    """

    merchant_id: str
    terminal_id: str
    tmk: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHostConfig:
    """The simulated UnionPay card host.

    ``rotate_keys_each_sign_in`` issues new working keys at every sign-in (the previous
    ones stay good for messages in flight); otherwise every sign-in within
    ``working_key_life_s`` gets the current ones. ``reorder_window_ms`` delays each
    answer by a random part of itself, so that answers overtake each other.
    """

    links: tuple[CardLink, ...]
    mac_algorithm: str = "cup-ecb"
    working_key_life_s: int = WORKING_KEY_LIFE_S
    rotate_keys_each_sign_in: bool = False
    reorder_window_ms: int = 0
    max_frame_bytes: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """Files of a TLS listener; ``client_ca_file`` verifies the certificates of clients.

    A client need not show one; what an operation demands is its own affair.
    """

    certificate_file: str
    key_file: str
    client_ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeChatNationalKeys:
    """国密: the merchant's SM2 certificate or public key, and the platform's pair, PEM."""

    merchant_serial: str
    merchant_public_key_pem: bytes
    platform_serial: str
    platform_private_key_pem: bytes = field(repr=False)
    platform_certificate_pem: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeChatSandboxConfig:
    """One merchant (or service provider) at the simulated WeChat Pay.

    ``merchant_certificate_pem`` is the API certificate: its key signs APIv3 and it is shown
    in mutual TLS. ``platform_*`` is the certificate that signs by default;
    ``public_key_*`` the pair that signs for who asks for it by its id. ``sub_mchids`` are
    the merchants of a service provider. Without ``tls`` the listener is plain HTTP and the
    operations that demand a client's certificate refuse everything.
    ``prompt_s``: how long a payer may type; ``reverse_after_s``: how soon after the pay a
    reversal is too soon; ``refund_after_ms``: how long a refund is on its way.
    ``bills_at_once`` makes today's bill before the day is over.
    """

    appid: str
    mchid: str
    api_v2_key: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    app_secret: str = field(repr=False)
    merchant_certificate_pem: bytes
    platform_certificate_pem: bytes
    platform_private_key_pem: bytes = field(repr=False)
    public_key_id: str
    public_key_private_pem: bytes = field(repr=False)
    national: WeChatNationalKeys | None = None
    sub_mchids: tuple[str, ...] = ()
    tls: ServerTls | None = None
    prompt_s: float = 50
    reverse_after_s: float = 15
    refund_after_ms: int = 1000
    bills_at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionPayQrSandboxConfig:
    """One merchant at the simulated ACP gateway.

    ``merchant_certificate_pem`` verifies requests; answers are signed with the private key
    and bring ``unionpay_certificate_pem`` along.
    """

    mer_id: str
    merchant_certificate_pem: bytes
    unionpay_private_key_pem: bytes = field(repr=False)
    unionpay_certificate_pem: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything ``sandbox.server.serve`` needs.

    ``max_orders`` bounds each channel's books: an order beyond it is refused (the
    books of money are never silently forgotten). ``fault_seed`` seeds the random
    source of faults and reordering. ``notify_factor`` divides the waits between attempts to
    notify; ``notify_ca_file`` is trusted when merchants are reached over TLS. A channel whose
    section is ``None`` is not served. Payers' apps are served if ``wallets_port`` is not ``None``;
    they open merchants' pages of this machine and of the origins ``wallet_sites``.
    """

    alipay: AlipaySandboxConfig
    card: CardHostConfig
    wechat: WeChatSandboxConfig | None = None
    unionpay_qr: UnionPayQrSandboxConfig | None = None
    host: str = "127.0.0.1"
    alipay_port: int = 0
    card_port: int = 0
    wechat_port: int = 0
    unionpay_qr_port: int = 0
    wallets_port: int | None = None
    control_port: int = 0
    user_paying_after_s: int = 8
    max_orders: int = DEFAULT_MAX_ORDERS
    max_connections: int = 2048
    max_body_bytes: int = 65_536
    fault_seed: int = 0
    notify_factor: int = 60
    notify_ca_file: str = ""
    wallet_sites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundPorts:
    """The ports that the sandbox really listens on, by listener; 0 for one that is not there."""

    alipay: int = 0
    card: int = 0
    control: int = 0
    wechat: int = 0
    unionpay_qr: int = 0
    wallets: int = 0

"""A merchant's account at WeChat Pay, and the keys of WeChat Pay that it trusts.

Rules (reference ``channels.md`` B): a *direct* account names itself, a *service provider's*
names the shop it acts for too (``sub_mchid``). Keys of both verification modes are held side
by side and chosen by the serial; a certificate that was fetched is replaced as a whole, what
was configured stays. Nothing here shows a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from channels.tls import ClientIdentity
from signing.wechat import PUBLIC_KEY_ID, MerchantKey, PlatformKey


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WechatAccount:
    """One merchant number and the application that takes its payments."""

    base_url: str
    face_url: str
    appid: str
    mchid: str
    sub_appid: str
    sub_mchid: str
    merchant_serial: str
    key: MerchantKey
    apiv3_key: bytes
    api_v2_key: bytes
    sign_type: str
    identity: ClientIdentity | None
    notify_url: str
    till_ip: str
    timeout_s: float

    @property
    def is_partner(self) -> bool:
        """Whether a service provider acts for a shop."""
        return bool(self.sub_mchid)

    @property
    def payer_appid(self) -> str:
        """The application whose openids payers have here."""
        return self.sub_appid or self.appid


class PlatformKeys:
    """WeChat Pay's keys by serial: what was configured, and what was fetched last."""

    def __init__(self, configured: Mapping[str, PlatformKey]) -> None:
        self._configured = dict(configured)
        self._fetched: dict[str, PlatformKey] = {}
        self.known: Mapping[str, PlatformKey] = MappingProxyType(self._configured)
        """Every key that may verify."""
        self.serial = self._preferred()
        """What ``Wechatpay-Serial`` of a request names: the public key before certificates.

        Of those the one that lives longest: another may end before they are fetched anew.
        """

    def replace_fetched(self, keys: Mapping[str, PlatformKey]) -> None:
        """Trust what was fetched now in place of what was fetched before."""
        self._fetched = dict(keys)
        self.known = MappingProxyType(self._configured | self._fetched)
        self.serial = self._preferred()

    def _preferred(self) -> str:
        ids = [serial for serial in self.known if serial.startswith(PUBLIC_KEY_ID)]
        return (ids or list(self._fetched) or list(self._configured) or [""])[0]

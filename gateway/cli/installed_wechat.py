"""One merchant at the simulated WeChat Pay, as an installation has it.

Rule: the merchant's API certificate and its key serve both APIv3 and mutual TLS, as the
vendor's do; the platform has a certificate and a public key, of two different pairs.
"""

import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.cli.installed_account import Addresses, InstalledAccount
from gateway.cli.local_ca import LocalCa, write_private, write_rsa_pair
from gateway.cli.tuning import Tuning
from gateway.sources import random_bytes

APPID: Final = "wx2026000000000001"
MCHID: Final = "1900000001"
SUB_MCHID: Final = "1900000002"
PUBLIC_KEY_ID: Final = "PUB_KEY_ID_0119000000012026000000000001"
_SECRETS: Final = ("wechat-api-v2", "wechat-apiv3", "wechat-app-secret")
_DAYS: Final = 30


class InstalledWechat:
    """See the module."""

    section = "wechat"

    def write_keys(self, folder: Path, ca: LocalCa) -> None:
        for name in _SECRETS:
            write_private(folder / f"{name}.key", random_bytes(16).hex().encode())
        merchant = write_rsa_pair(folder, "wechat-merchant")
        certificate = ca.issue(MCHID, merchant.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH)
        _write(folder / "wechat-merchant-certificate.pem", certificate)
        platform = write_rsa_pair(folder, "wechat-platform")
        _write(folder / "wechat-platform-certificate.pem", _self_signed(platform))
        write_rsa_pair(folder, "wechat-public-key")

    def sandbox_section(self, tuning: Tuning) -> dict[str, object]:
        return {
            "appid": APPID,
            "mchid": MCHID,
            "sub_mchids": [SUB_MCHID],
            "api_v2_key": "file:wechat-api-v2.key",
            "apiv3_key": "file:wechat-apiv3.key",
            "app_secret": "file:wechat-app-secret.key",
            "merchant_certificate_file": "wechat-merchant-certificate.pem",
            "platform_certificate_file": "wechat-platform-certificate.pem",
            "platform_private_key": "file:wechat-platform-private.pem",
            "public_key_id": PUBLIC_KEY_ID,
            "public_key_private_key": "file:wechat-public-key-private.pem",
            "tls": {
                "certificate_file": "server.pem",
                "key_file": "server-key.pem",
                "client_ca_file": "ca.pem",
            },
            "prompt_s": tuning.wechat_prompt_s,
            "reverse_after_s": tuning.wechat_undo_not_before_s,
        }

    def account(
        self, folder: Path, tuning: Tuning, addresses: Addresses
    ) -> InstalledAccount | None:
        base_url = addresses.get("wechat")
        if base_url is None:
            return None
        return InstalledAccount(
            account_id="wechat-1",
            channel="wechat",
            settings={
                "base_url": base_url,
                "face_url": base_url,
                "oauth_api": base_url,
                "oauth_page": f"{base_url}/connect/oauth2/authorize",
                "appid": APPID,
                "mchid": MCHID,
                "merchant_serial": _serial(folder),
                "platform_public_key_id": PUBLIC_KEY_ID,
                "notify_url": tuning.wechat_notify_url,
                "timeout_s": tuning.wechat_timeout_s,
                "query_after_s": tuning.wechat_query_after_s,
                "undo_retry_s": tuning.wechat_undo_retry_s,
                # a reversal too soon by a hair would be refused, and cost a whole retry
                "undo_not_before_s": str(tuning.wechat_undo_not_before_s + 0.25),
            },
            secrets={
                "merchant_private_key": (folder / "wechat-merchant-private.pem").read_bytes(),
                "client_certificate": (folder / "wechat-merchant-certificate.pem").read_bytes(),
                "platform_public_key": (folder / "wechat-public-key-public.pem").read_bytes(),
                "api_v2_key": (folder / "wechat-api-v2.key").read_bytes(),
                "apiv3_key": (folder / "wechat-apiv3.key").read_bytes(),
                "app_secret": (folder / "wechat-app-secret.key").read_bytes(),
            },
        )

    def info(self, folder: Path, addresses: Addresses) -> dict[str, dict[str, object]]:
        if "wechat" not in addresses:
            return {}
        return {
            "wechat": {
                "base_url": addresses["wechat"],
                "appid": APPID,
                "mchid": MCHID,
                "api_v2_key": (folder / "wechat-api-v2.key").read_text(),
                "apiv3_key": (folder / "wechat-apiv3.key").read_text(),
                "merchant_serial": _serial(folder),
                "merchant_private_key_file": str(folder / "wechat-merchant-private.pem"),
                "platform_public_key_id": PUBLIC_KEY_ID,
                "platform_public_key_file": str(folder / "wechat-public-key-public.pem"),
                "platform_certificate_file": str(folder / "wechat-platform-certificate.pem"),
                "client_certificate_file": str(folder / "wechat-merchant-certificate.pem"),
                "client_key_file": str(folder / "wechat-merchant-private.pem"),
            }
        }


def _serial(folder: Path) -> str:
    pem = (folder / "wechat-merchant-certificate.pem").read_bytes()
    return f"{x509.load_pem_x509_certificate(pem).serial_number:X}"


def _self_signed(key: rsa.RSAPrivateKey) -> x509.Certificate:
    """The platform's: nobody checks who signed it, it is trusted by how it was fetched."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Simulated platform")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))

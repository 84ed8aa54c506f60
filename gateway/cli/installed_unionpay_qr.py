"""One merchant at the simulated UnionPay ACP, as an installation has it."""

import datetime
from pathlib import Path
from typing import Final

import yaml

from gateway.cli.acp_ca import (
    MERCHANT_FILE,
    MERCHANT_KEY_FILE,
    MERCHANT_PFX_FILE,
    MIDDLE_FILE,
    PFX_PASSWORD,
    ROOT_FILE,
    SIGNER_NAME,
    UNIONPAY_FILE,
    UNIONPAY_KEY_FILE,
    write_acp_files,
)
from gateway.cli.installed_account import Addresses, InstalledAccount
from gateway.cli.local_ca import LocalCa
from gateway.cli.tuning import Tuning

MER_ID: Final = "990000000000077"
ACCOUNT_ID: Final = "unionpay-qr-1"


class InstalledUnionPayQr:
    """See ``gateway/cli/installed_channels.py``."""

    section = "unionpay_qr"

    def write_keys(self, folder: Path, ca: LocalCa) -> None:
        write_acp_files(folder, MER_ID, datetime.datetime.now(datetime.UTC))

    def sandbox_section(self, tuning: Tuning) -> dict[str, object]:
        return {
            "mer_id": MER_ID,
            "merchant_certificate_file": MERCHANT_FILE,
            "unionpay_private_key": f"file:{UNIONPAY_KEY_FILE}",
            "unionpay_certificate_file": UNIONPAY_FILE,
        }

    def account(
        self, folder: Path, tuning: Tuning, addresses: Addresses
    ) -> InstalledAccount | None:
        if "unionpay_qr" not in addresses:
            return None
        return InstalledAccount(
            account_id=ACCOUNT_ID,
            channel="unionpay_qr",
            settings={
                "base_url": addresses["unionpay_qr"],
                "file_url": addresses["unionpay_qr"],
                "mer_id": MER_ID,
                "root_certificate": (folder / ROOT_FILE).read_text("ascii"),
                "middle_certificate": (folder / MIDDLE_FILE).read_text("ascii"),
                "signer_name": SIGNER_NAME,
                "back_url": _back_url(folder),
                "terminal_id": "99000077",
                "authorise_url": f"{addresses['unionpay_qr']}/qrcGtwWeb-web/api/userAuth",
                "timeout_s": tuning.unionpay_qr_timeout_s,
                "query_after_s": tuning.unionpay_qr_query_after_s,
                "refund_retry_s": tuning.unionpay_qr_refund_retry_s,
            },
            secrets={
                "sign_key": (folder / MERCHANT_PFX_FILE).read_bytes(),
                "sign_password": PFX_PASSWORD.encode(),
            },
        )

    def info(self, folder: Path, addresses: Addresses) -> dict[str, dict[str, object]]:
        if "unionpay_qr" not in addresses:
            return {}
        return {
            "unionpay": {
                "acp_base_url": addresses["unionpay_qr"],
                "acp_file_url": addresses["unionpay_qr"],
                "acp_mer_id": MER_ID,
                "acp_sign_pfx_file": str(folder / MERCHANT_PFX_FILE),
                "acp_sign_pfx_password": PFX_PASSWORD,
                "acp_sign_key_file": str(folder / MERCHANT_KEY_FILE),
                "acp_sign_certificate_file": str(folder / MERCHANT_FILE),
                "acp_root_certificate_file": str(folder / ROOT_FILE),
                "acp_middle_certificate_file": str(folder / MIDDLE_FILE),
                "acp_signer_name": SIGNER_NAME,
            }
        }


def _back_url(folder: Path) -> str:
    """Our own door, where the configuration beside the keys puts it."""
    http = yaml.safe_load((folder / "config.yaml").read_text())["http"]
    scheme = "https" if "tls" in http else "http"
    return f"{scheme}://127.0.0.1:{http['port']}/notify/unionpay_qr/{ACCOUNT_ID}"

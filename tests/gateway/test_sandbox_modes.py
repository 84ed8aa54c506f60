"""How the simulated channels are dressed by the configuration: ``sandbox.alipay``, ``.wechat``."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.errors import ConfigurationError
from gateway.cli.installation import Installation
from gateway.cli.sandbox import sandbox_config
from gateway.config import load
from sandbox.config import SandboxConfig, WeChatNationalKeys

CERTIFICATE_MODE = ("app_certificate_file", "alipay_certificate_file", "root_certificates_file")


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    it = Installation(tmp_path / "here")
    it.write()
    for name in CERTIFICATE_MODE:
        (it.folder / f"{name}.pem").write_text(f"{name} of somebody")
    (it.folder / "aes.key").write_text("MDEyMzQ1Njc4OWFiY2RlZg==\n")
    (it.folder / "token").write_text("202605BBtoken\n")
    return it


def read(place: Installation, more: dict[str, Any], *gone: str, **sandbox: object) -> SandboxConfig:
    """The sandbox's configuration with keys of ``sandbox.alipay`` added and gone."""
    data = yaml.safe_load(place.config_file.read_text())
    section = data["sandbox"]["alipay"] | more
    data["sandbox"] |= sandbox
    data["sandbox"]["alipay"] = {key: section[key] for key in section if key not in gone}
    place.config_file.write_text(yaml.safe_dump(data))
    loaded = load(place.config_file)
    assert loaded.config.sandbox is not None
    return sandbox_config(loaded, loaded.config.sandbox)


def files(*names: str) -> dict[str, str]:
    return {name: f"{name}.pem" for name in names}


def test_key_mode_is_what_an_installation_has(place: Installation) -> None:
    config = read(place, {})
    assert config.alipay.app_public_key_pem == (place.folder / "app-public.pem").read_bytes()
    assert (config.alipay.app_certificate_pem, config.alipay.aes_key) == (b"", "")
    assert (config.alipay.app_auth_token, config.notify_factor) == ("", 60)


def test_certificates_encryption_a_token_and_the_pace_of_notices(place: Installation) -> None:
    more = files(*CERTIFICATE_MODE) | {"aes_key": "file:aes.key", "app_auth_token": "file:token"}
    config = read(place, more, "app_public_key_file", notify_factor=1200)
    alipay = config.alipay
    assert alipay.app_public_key_pem == b""
    assert alipay.app_certificate_pem == b"app_certificate_file of somebody"
    assert alipay.alipay_certificate_pem == b"alipay_certificate_file of somebody"
    assert alipay.root_certificates_pem == b"root_certificates_file of somebody"
    assert (alipay.aes_key, alipay.app_auth_token) == ("MDEyMzQ1Njc4OWFiY2RlZg==", "202605BBtoken")
    assert config.notify_factor == 1200
    assert alipay.aes_key not in repr(config)
    assert alipay.app_auth_token not in repr(config)


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ((), ("app_public_key_file",)),
        (CERTIFICATE_MODE, ()),
        (CERTIFICATE_MODE[:2], ("app_public_key_file",)),
        (CERTIFICATE_MODE[2:], ()),
    ],
    ids=["no mode", "both modes", "no roots", "roots alone"],
)
def test_half_a_mode_is_refused(
    place: Installation, given: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError, match="app_public_key_file, or the three of"):
        read(place, files(*given), *gone)


@pytest.mark.parametrize(
    ("more", "gone", "why"),
    [
        ({"app_public_key_file": "token"}, (), "not a public key in PEM or base64"),
        (
            files(*CERTIFICATE_MODE),
            ("app_public_key_file",),
            "the app's certificate is not one certificate in PEM",
        ),
    ],
    ids=["no key", "no certificate"],
)
def test_a_key_that_cannot_be_read_is_one_clear_line(
    place: Installation, more: dict[str, str], gone: tuple[str, ...], why: str
) -> None:
    read(place, more, *gone)
    command = [sys.executable, "-m", "gateway.cli.main", "sandbox", "-c", str(place.config_file)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 2
    assert said.stderr == f"posgate: {place.config_file}: sandbox: {why}\n"


@pytest.mark.parametrize("certificate", [{}, {"platform_certificate_file": "sm-platform.pem"}])
def test_wechat_pays_national_keys(place: Installation, certificate: dict[str, str]) -> None:
    """Beside RSA's, as a public key or a certificate; nothing of it is shown."""
    assert read(place, {}).wechat is not None
    (place.folder / "sm-merchant.pem").write_bytes(b"a public key")
    (place.folder / "sm-platform.key").write_bytes(b"a private key")
    (place.folder / "sm-platform.pem").write_bytes(b"a certificate")
    national = {
        "merchant_serial": "5D1A",
        "merchant_public_key_file": "sm-merchant.pem",
        "platform_serial": "5A02",
        "platform_private_key": "file:sm-platform.key",
        **certificate,
    }
    data = yaml.safe_load(place.config_file.read_text())
    config = read(place, {}, wechat=data["sandbox"]["wechat"] | {"national": national})
    assert config.wechat is not None
    assert config.wechat.national == WeChatNationalKeys(
        merchant_serial="5D1A",
        merchant_public_key_pem=b"a public key",
        platform_serial="5A02",
        platform_private_key_pem=b"a private key",
        platform_certificate_pem=b"a certificate" if certificate else b"",
    )
    assert "a private key" not in repr(config)

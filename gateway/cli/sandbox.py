"""``posgate sandbox``: the channel simulators alone."""

import asyncio
import contextlib
import gc
import itertools
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from domain.errors import ConfigurationError
from gateway.cli.ready_file import require_writable, write_atomically
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, run
from gateway.config import LoadedConfig, load
from gateway.config_sandbox import (
    SandboxAlipaySection,
    SandboxCardSection,
    SandboxSection,
    SandboxUnionPayQrSection,
    SandboxWechatNationalSection,
    SandboxWechatSection,
)
from gateway.keys import read_secret
from sandbox.config import (
    AlipaySandboxConfig,
    BoundPorts,
    CardHostConfig,
    CardLink,
    SandboxConfig,
    ServerTls,
    UnionPayQrSandboxConfig,
    WeChatNationalKeys,
    WeChatSandboxConfig,
)
from sandbox.server import serve as serve_sandbox

_ASIDE_EVERY_S: Final = 0.25
_WHOLE_ROUND: Final = 1_200
"""How many times between two collections of everything: five minutes."""


def sandbox(
    config: ConfigOption = DEFAULT_CONFIG,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the real ports here once ready (JSON).")
    ] = None,
) -> None:
    """Run the simulated channels until SIGTERM.

    Example: posgate sandbox -c config.yaml
    """

    async def work() -> None:
        loaded = load(config)
        section = loaded.config.sandbox
        if section is None:
            raise ConfigurationError(f"{config}: add a sandbox section; see docs/sandbox.md")
        settings = sandbox_config(loaded, section)
        if ready_file is not None:
            require_writable(ready_file)

        def ready(ports: BoundPorts) -> None:
            addresses = addresses_of(settings, ports)
            if ready_file is not None:
                write_atomically(ready_file, addresses)
            typer.echo(f"sandbox ready: {addresses}", err=True)

        aside = asyncio.create_task(_set_books_aside())
        try:
            await _until_told(serve_sandbox(settings, ready))
        except ValueError as fault:  # of its start alone: a key that cannot be read
            raise ConfigurationError(f"{config}: sandbox: {fault}") from None
        except OSError as error:
            what = error.strerror or error
            raise ConfigurationError(f"{config}: sandbox: cannot start: {what}") from None
        finally:
            aside.cancel()

    uvloop.install()
    run(work())


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Run ``work`` until it ends or a signal cancels it."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _set_books_aside() -> None:
    """Keep the garbage collector from what the channels remember.

    Their books only grow and have no cycles in them. To be looked through again and again
    they would stop every channel for a twentieth of a second, and that would be measured as
    the gateway's.
    """
    gc.disable()
    for turn in itertools.count():
        if turn % _WHOLE_ROUND == 0:
            gc.unfreeze()
            gc.collect()
        else:
            gc.collect(1)
        gc.freeze()
        await asyncio.sleep(_ASIDE_EVERY_S)


def addresses_of(config: SandboxConfig, ports: BoundPorts) -> dict[str, object]:
    """What the ready file says: where each channel that is served answers."""
    addresses: dict[str, object] = {
        "alipay": f"http://{config.host}:{ports.alipay}/gateway.do",
        "card_host": config.host,
        "card_port": ports.card,
        "control_url": f"http://{config.host}:{ports.control}",
    }
    if config.wechat is not None:
        scheme = "http" if config.wechat.tls is None else "https"
        addresses["wechat"] = f"{scheme}://{config.host}:{ports.wechat}"
    if config.unionpay_qr is not None:
        addresses["unionpay_qr"] = f"http://{config.host}:{ports.unionpay_qr}"
    if config.wallets_port is not None:
        addresses["wallets"] = f"http://{config.host}:{ports.wallets}"
    return addresses


def sandbox_config(loaded: LoadedConfig, section: SandboxSection) -> SandboxConfig:
    """The sandbox's own configuration from ours, with its secrets read.

    Raises:
        ConfigurationError: a key cannot be read or is not one; names it.
    """
    tls = loaded.config.http.tls  # notices go to this configuration's own door, most often
    return SandboxConfig(
        host=section.host,
        control_port=section.control_port,
        alipay_port=section.alipay.port,
        card_port=section.card.port,
        user_paying_after_s=int(section.user_paying_after_s),
        max_orders=section.max_orders,
        notify_factor=section.notify_factor,
        notify_ca_file=str(loaded.path(tls.certificate_file)) if tls is not None else "",
        alipay=_alipay(loaded, section.alipay),
        card=_card(loaded, section.card),
        unionpay_qr=_unionpay_qr(loaded, section.unionpay_qr) if section.unionpay_qr else None,
        unionpay_qr_port=section.unionpay_qr.port if section.unionpay_qr else 0,
        wallets_port=section.wallets.port if section.wallets is not None else None,
        wechat_port=section.wechat.port if section.wechat is not None else 0,
        wechat=_wechat(loaded, section.wechat) if section.wechat is not None else None,
    )


def _alipay(loaded: LoadedConfig, section: SandboxAlipaySection) -> AlipaySandboxConfig:
    def public(key: str, name: str | None) -> bytes:
        return _file(loaded, f"sandbox.alipay.{key}", name) if name else b""

    def secret(reference: str | None) -> str:
        return read_secret(reference, loaded.folder) if reference else ""

    return AlipaySandboxConfig(
        app_id=section.app_id,
        seller_id=section.seller_id,
        app_public_key_pem=public("app_public_key_file", section.app_public_key_file),
        alipay_private_key_pem=secret(section.alipay_private_key).encode(),
        app_certificate_pem=public("app_certificate_file", section.app_certificate_file),
        alipay_certificate_pem=public("alipay_certificate_file", section.alipay_certificate_file),
        root_certificates_pem=public("root_certificates_file", section.root_certificates_file),
        aes_key=secret(section.aes_key),
        app_auth_token=secret(section.app_auth_token),
    )


def _card(loaded: LoadedConfig, section: SandboxCardSection) -> CardHostConfig:
    try:
        tmk = bytes.fromhex(read_secret(section.tmk, loaded.folder))
    except ValueError:
        raise ConfigurationError("sandbox.card.tmk must be hexadecimal") from None
    link = CardLink(merchant_id=section.merchant_id, terminal_id=section.terminal_id, tmk=tmk)
    return CardHostConfig(links=(link,))


def _wechat(loaded: LoadedConfig, section: SandboxWechatSection) -> WeChatSandboxConfig:
    key, tls = "sandbox.wechat", section.tls
    return WeChatSandboxConfig(
        appid=section.appid,
        mchid=section.mchid,
        sub_mchids=tuple(section.sub_mchids),
        api_v2_key=read_secret(section.api_v2_key, loaded.folder),
        apiv3_key=read_secret(section.apiv3_key, loaded.folder),
        app_secret=read_secret(section.app_secret, loaded.folder),
        merchant_certificate_pem=_file(
            loaded, f"{key}.merchant_certificate_file", section.merchant_certificate_file
        ),
        platform_certificate_pem=_file(
            loaded, f"{key}.platform_certificate_file", section.platform_certificate_file
        ),
        platform_private_key_pem=read_secret(section.platform_private_key, loaded.folder).encode(),
        public_key_id=section.public_key_id,
        public_key_private_pem=read_secret(section.public_key_private_key, loaded.folder).encode(),
        tls=None
        if tls is None
        else ServerTls(
            certificate_file=str(loaded.path(tls.certificate_file)),
            key_file=str(loaded.path(tls.key_file)),
            client_ca_file=str(loaded.path(tls.client_ca_file)) if tls.client_ca_file else "",
        ),
        national=_national(loaded, section.national) if section.national is not None else None,
        prompt_s=section.prompt_s,
        reverse_after_s=section.reverse_after_s,
        bills_at_once=section.bills_at_once,
    )


def _national(loaded: LoadedConfig, section: SandboxWechatNationalSection) -> WeChatNationalKeys:
    key, certificate = "sandbox.wechat.national", section.platform_certificate_file
    return WeChatNationalKeys(
        merchant_serial=section.merchant_serial,
        merchant_public_key_pem=_file(
            loaded, f"{key}.merchant_public_key_file", section.merchant_public_key_file
        ),
        platform_serial=section.platform_serial,
        platform_private_key_pem=read_secret(section.platform_private_key, loaded.folder).encode(),
        platform_certificate_pem=_file(loaded, f"{key}.platform_certificate_file", certificate)
        if certificate
        else b"",
    )


def _unionpay_qr(
    loaded: LoadedConfig, section: SandboxUnionPayQrSection
) -> UnionPayQrSandboxConfig:
    key, name = "sandbox.unionpay_qr.", section.merchant_certificate_file
    return UnionPayQrSandboxConfig(
        mer_id=section.mer_id,
        merchant_certificate_pem=_file(loaded, f"{key}merchant_certificate_file", name),
        unionpay_private_key_pem=read_secret(section.unionpay_private_key, loaded.folder).encode(),
        unionpay_certificate_pem=_file(
            loaded, f"{key}unionpay_certificate_file", section.unionpay_certificate_file
        ),
    )


def _file(loaded: LoadedConfig, key: str, name: str) -> bytes:
    """The content of a public file that the configuration names under ``key``."""
    path = loaded.path(name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: file {path} cannot be read ({error.strerror})") from None

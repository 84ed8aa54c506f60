"""``posgate sandbox``: the channel simulators alone."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from domain.errors import ConfigurationError
from gateway.cli.ready_file import write_atomically
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, run
from gateway.config import (
    LoadedConfig,
    SandboxAlipaySection,
    SandboxCardSection,
    SandboxSection,
    load,
)
from gateway.keys import read_secret
from sandbox.config import (
    AlipaySandboxConfig,
    BoundPorts,
    CardHostConfig,
    CardLink,
    SandboxConfig,
)
from sandbox.server import serve as serve_sandbox


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

        def ready(ports: BoundPorts) -> None:
            addresses = addresses_of(settings, ports)
            if ready_file is not None:
                write_atomically(ready_file, addresses)
            typer.echo(f"sandbox ready: {addresses}", err=True)

        await _until_told(serve_sandbox(settings, ready))

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


def addresses_of(config: SandboxConfig, ports: BoundPorts) -> dict[str, object]:
    """What the ready file says: where each channel that is served answers."""
    return {
        "alipay": f"http://{config.host}:{ports.alipay}/gateway.do",
        "card_host": config.host,
        "card_port": ports.card,
        "control_url": f"http://{config.host}:{ports.control}",
    }


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
        notify_ca_file=str(loaded.path(tls.certificate_file)) if tls is not None else "",
        alipay=_alipay(loaded, section.alipay),
        card=_card(loaded, section.card),
    )


def _alipay(loaded: LoadedConfig, section: SandboxAlipaySection) -> AlipaySandboxConfig:
    return AlipaySandboxConfig(
        app_id=section.app_id,
        seller_id=section.seller_id,
        app_public_key_pem=_file(
            loaded, "sandbox.alipay.app_public_key_file", section.app_public_key_file
        ),
        alipay_private_key_pem=read_secret(section.alipay_private_key, loaded.folder).encode(),
    )


def _card(loaded: LoadedConfig, section: SandboxCardSection) -> CardHostConfig:
    try:
        tmk = bytes.fromhex(read_secret(section.tmk, loaded.folder))
    except ValueError:
        raise ConfigurationError("sandbox.card.tmk must be hexadecimal") from None
    link = CardLink(merchant_id=section.merchant_id, terminal_id=section.terminal_id, tmk=tmk)
    return CardHostConfig(links=(link,))


def _file(loaded: LoadedConfig, key: str, name: str) -> bytes:
    """The content of a public file that the configuration names under ``key``."""
    path = loaded.path(name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: file {path} cannot be read ({error.strerror})") from None

"""``posgate migrate`` and ``posgate config check``."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
import yaml

from channels.tls import tls_context
from domain.errors import ConfigurationError
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json, run
from gateway.config import Config, LoadedConfig, PosTlsSection, load
from gateway.config_faults import line_of
from gateway.config_ports import check_host, listening
from gateway.http.nonces import make_nonces
from gateway.keys import open_sealer, read_secret
from gateway.pos.catalogue import read_catalogue
from gateway.sources import SystemClock, random_bytes
from gateway.store.location import without_password
from gateway.store.migrate import migrate as migrate_store
from gateway.tls import server_context

_Probe = tuple[str, Callable[[], object]]
"""A key, and what raises ``ConfigurationError`` if the machine lacks what the key names."""
_KEY: Final = re.compile(rf"({'|'.join(Config.model_fields)})(\.[a-z_]+)+(?=[: ])")
_FIRST_START: Final = "docs/operations.md shows a first start, step by step"

configuration = typer.Typer(no_args_is_help=True, help="The configuration file.")


def migrate(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Create or upgrade the schema.

    Example: posgate migrate -c config.yaml
    """

    async def work() -> list[str]:
        return list(await migrate_store(load(config).store_url()))

    applied = run(work())
    if json:
        print_json({"applied": applied})
    elif applied:
        typer.echo(f"applied: {', '.join(applied)}")
    else:
        typer.echo("the schema is up to date")


@configuration.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(help="The file, or use -c.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Name the line and the mend of whatever is wrong; exit status 2 if anything is.

    Example: posgate config check -c config.yaml
    """

    async def work() -> None:
        chosen = file or config
        faults = list(dict.fromkeys(_unprepared(chosen, load(chosen))))
        if faults:
            raise ConfigurationError("\n".join([*faults, _FIRST_START]))

    run(work())
    typer.echo(f"{file or config}: in order")


def _unprepared(file: Path, loaded: LoadedConfig) -> Iterator[str]:
    """Everything that the configuration names and the machine does not have, by line."""
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is None:  # it was read a moment ago
        return
    for key, probe in (*_gateway_probes(loaded), *_sandbox_probes(loaded)):
        try:
            probe()
        except ConfigurationError as error:
            for text in error.message.splitlines():
                said = _KEY.match(text)  # it may name a deeper key itself
                place = said[0] if said is not None else key
                line = line_of(root, tuple(place.split(".")))
                yield f"{file}:{line}: {text if said is not None else f'{key}: {text}'}"


def _gateway_probes(loaded: LoadedConfig) -> Iterator[_Probe]:
    """What a start would do with each key, without the start."""
    config, folder = loaded.config, loaded.folder
    keys, http, pos = config.keys, config.http, config.pos
    yield "keys.master_key", partial(open_sealer, keys.master_key, folder, random_bytes)
    yield "http.nonces", partial(make_nonces, http.nonces, SystemClock(), http.max_nonces)
    yield "pos.downloads", partial(read_catalogue, pos.downloads, loaded.path)
    for section, tls in (("http.tls", http.tls), ("pos.tls", pos.tls)):
        if tls is not None:
            certificate, key = loaded.path(tls.certificate_file), loaded.path(tls.key_file)
            client_ca = tls.client_ca_file if isinstance(tls, PosTlsSection) else None
            authorities = None if client_ca is None else loaded.path(client_ca)
            yield section, partial(server_context, section, certificate, key, authorities)
    for section, ca_file in (
        ("channels", config.channels.ca_file),
        ("notifications", config.notifications.ca_file),
    ):
        if ca_file is not None:
            yield f"{section}.ca_file", partial(tls_context, str(loaded.path(ca_file)))
    for place in listening(config):
        section = place.key.partition(".")[0]
        yield f"{section}.host", partial(check_host, f"{section}.host", place.host)


def _sandbox_probes(loaded: LoadedConfig) -> Iterator[_Probe]:
    section = loaded.config.sandbox
    if section is None:
        return
    file = section.alipay.app_public_key_file
    if file is not None:
        yield "sandbox.alipay.app_public_key_file", partial(_check_file, loaded.path(file))
    for key, reference in (
        ("sandbox.alipay.alipay_private_key", section.alipay.alipay_private_key),
        ("sandbox.card.tmk", section.card.tmk),
    ):
        yield key, partial(read_secret, reference, loaded.folder)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ConfigurationError(f"file {path} does not exist; make it, or name another")


@configuration.command("show")
def show_configuration(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print every setting with its default filled in; secrets stay references or ***.

    Example: posgate config show -c config.yaml
    """

    async def work() -> LoadedConfig:
        return load(config)

    settings = run(work()).config.model_dump()
    for section, key in (("store", "url"), ("http", "nonces")):
        settings[section][key] = without_password(settings[section][key])
    print_json(settings)

"""``posgate migrate`` and ``posgate config check``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from domain.errors import ConfigurationError
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json, run
from gateway.config import LoadedConfig, load
from gateway.http.nonces import make_nonces
from gateway.keys import open_sealer, read_secret
from gateway.pos.catalogue import read_catalogue
from gateway.sources import SystemClock, random_bytes
from gateway.store.location import without_password
from gateway.store.migrate import migrate as migrate_store

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
        faults = list(_unprepared(load(file or config)))
        if faults:
            raise ConfigurationError("\n".join([*faults, _FIRST_START]))

    run(work())
    typer.echo(f"{file or config}: in order")


def _unprepared(loaded: LoadedConfig) -> Iterator[str]:
    """Everything that the configuration names and the machine does not have."""
    config = loaded.config
    try:
        open_sealer(config.keys.master_key, loaded.folder, random_bytes)
    except ConfigurationError as error:
        yield error.message
    try:
        make_nonces(config.http.nonces, SystemClock(), config.http.max_nonces)
    except ConfigurationError as error:
        yield error.message
    try:
        read_catalogue(config.pos.downloads, loaded.path)
    except ConfigurationError as error:
        yield error.message
    files = {"channels.ca_file": config.channels.ca_file}
    if config.http.tls is not None:
        files["http.tls.certificate_file"] = config.http.tls.certificate_file
        files["http.tls.key_file"] = config.http.tls.key_file
    secrets = {}
    if config.sandbox is not None:
        alipay, card = config.sandbox.alipay, config.sandbox.card
        files["sandbox.alipay.app_public_key_file"] = alipay.app_public_key_file
        secrets["sandbox.alipay.alipay_private_key"] = alipay.alipay_private_key
        secrets["sandbox.card.tmk"] = card.tmk
    for key, name in files.items():
        if name is not None and not loaded.path(name).is_file():
            yield f"{key}: file {loaded.path(name)} does not exist"
    for key, reference in secrets.items():
        try:
            read_secret(reference, loaded.folder)
        except ConfigurationError as error:
            yield f"{key}: {error.message}"


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

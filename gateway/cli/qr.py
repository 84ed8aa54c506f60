"""``posgate qr create|list|show|notify|disable``: printed codes.

Rules: where a merchant is told of payments is judged here as it is at the API, and again
when it is called. A code's number is drawn from the system's random source; its picture holds
the address of ``http.public_url`` and nothing else. Disabling works from the next scan on: the
page reads the store each time.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.clock import iso_utc
from domain.errors import ConfigurationError, NotFound, Unprocessable
from domain.money import MAX_AMOUNT_FEN
from domain.qr_code import RANDOM_BYTES, is_qr_code_id, qr_code_id, qr_code_url
from gateway.cli.known import merchant_of, require_merchant
from gateway.cli.provisioning import MerchantOption
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.delivery import outbound_policy
from gateway.outbound import refusal
from gateway.posters import SIZES_MM, poster_pdf
from gateway.qr_images import qr_png, qr_svg
from gateway.sources import random_bytes
from gateway.store.shop_records import QrCode

codes = typer.Typer(no_args_is_help=True, help="Printed codes that any wallet can pay by.")

MAX_NAME: Final = 60
_MAX_PLACE: Final = 32
_PAGE: Final = 500

SvgOption = Annotated[Path | None, typer.Option(help="Write the code as SVG.")]
PngOption = Annotated[Path | None, typer.Option(help="Write the code as PNG.")]
PdfOption = Annotated[Path | None, typer.Option(help="Write a poster to print, as PDF.")]
NotifyOption = Annotated[
    str, typer.Option("--notify-url", help="Where the merchant is told of payments by it.")
]
SizeOption = Annotated[str, typer.Option(help=f"The poster's: {', '.join(SIZES_MM)}.")]


@codes.command("create")
def create_code(
    merchant_no: MerchantOption,
    store: Annotated[str, typer.Option(help="The store that payments by it are of.")] = "",
    till: Annotated[str, typer.Option(help="The till or terminal that they are of.")] = "",
    name: Annotated[str, typer.Option(help="What the payer reads; the merchant's if absent.")] = "",
    amount: Annotated[
        int, typer.Option(min=0, max=MAX_AMOUNT_FEN, help="In fen; 0: the payer types it.")
    ] = 0,
    notify_url: NotifyOption = "",
    svg: SvgOption = None,
    png: PngOption = None,
    pdf: PdfOption = None,
    size: SizeOption = "A5",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Make a printed code for a store, a till or a terminal, and its pictures.

    Example: posgate qr create --merchant-no M1 --store S1 --name 奶茶店 --pdf poster.pdf
    """
    _check_size(size)
    _check_text(name, MAX_NAME, "--name")
    _check_text(store, _MAX_PLACE, "--store")
    _check_text(till, _MAX_PLACE, "--till")

    async def work(session: Session) -> dict[str, Any]:
        public_url = _public_url(session)
        _check_notify_url(session, notify_url)
        merchant = await merchant_of(session, merchant_no)
        code = QrCode(
            code_id=qr_code_id(random_bytes(RANDOM_BYTES)),
            merchant_no=merchant_no,
            store_id=store,
            terminal_id=till,
            name=name or merchant.name[:MAX_NAME],
            amount_fen=amount,
            created_at_ms=session.clock.now_ms(),
            notify_url=notify_url,
        )
        # drawn and written first: what cannot be leaves no code behind
        _write(_pictures(code, public_url, svg=svg, png=png, pdf=pdf, size=size))
        await session.store.add_qr_code(code)
        return _row(code, public_url)

    show([in_session(config, work)], as_json=json)


@codes.command("list")
def list_codes(
    merchant_no: Annotated[str, typer.Option("--merchant-no", help="Only this merchant's.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List printed codes, disabled ones too.

    Example: posgate qr list --merchant-no M1
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        await require_merchant(session, merchant_no)
        after, public_url = "", session.loaded.config.http.public_url
        while len(rows) < limit:
            page = await session.store.qr_codes(merchant_no, after, min(_PAGE, limit - len(rows)))
            if not page:
                break
            rows += [_row(code, public_url) for code in page]
            after = page[-1].code_id
        return rows

    show(in_session(config, work), as_json=json)


@codes.command("show")
def show_code(
    code_id: str,
    svg: SvgOption = None,
    png: PngOption = None,
    pdf: PdfOption = None,
    size: SizeOption = "A5",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show a printed code, and write its pictures again.

    Example: posgate qr show abcdefghijklmnopqrstuvwxyz --pdf poster.pdf --size A4
    """
    _check_size(size)

    async def work(session: Session) -> dict[str, Any]:
        found = await session.store.qr_code(_number(code_id))
        if found is None:
            raise NotFound("qr_code_not_found", "no such code")
        public_url = session.loaded.config.http.public_url
        if svg or png or pdf:
            public_url = _public_url(session)
        _write(_pictures(found[1], public_url, svg=svg, png=png, pdf=pdf, size=size))
        return _row(found[1], public_url)

    show([in_session(config, work)], as_json=json)


@codes.command("notify")
def notify_of_code(
    code_id: str, notify_url: NotifyOption = "", config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Change where payments by a printed code are told of; without an address, nowhere.

    Example: posgate qr notify abcdefghijklmnopqrstuvwxyz --notify-url https://shop.example/paid
    """

    async def work(session: Session) -> None:
        _check_notify_url(session, notify_url)
        await session.store.tell_qr_code(_number(code_id), notify_url)

    in_session(config, work)


@codes.command("disable")
def disable_code(code_id: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Stop a printed code at once; whoever scans it is told so.

    Example: posgate qr disable abcdefghijklmnopqrstuvwxyz
    """
    in_session(config, lambda session: session.store.disable_qr_code(_number(code_id)))


def _number(code_id: str) -> str:
    if not is_qr_code_id(code_id):
        raise NotFound("qr_code_not_found", "no such code")
    return code_id


def _check_size(size: str) -> None:
    if size not in SIZES_MM:
        raise typer.BadParameter(f"must be {', '.join(SIZES_MM)}", param_hint="--size")


def _check_text(text: str, longest: int, option: str) -> None:
    if len(text) > longest or not text.isprintable():
        raise typer.BadParameter(f"at most {longest} printable characters", param_hint=option)


def _check_notify_url(session: Session, url: str) -> None:
    policy = outbound_policy(session.loaded.config.notifications)
    reason = refusal(url, policy) if url else ""
    if reason:
        raise Unprocessable("notify_url_refused", f"--notify-url {reason}", field="notify_url")


def _public_url(session: Session) -> str:
    public_url = session.loaded.config.http.public_url
    if not public_url:
        raise ConfigurationError(
            "http.public_url is not set: give the https address that payers' phones reach"
        )
    return public_url


def _pictures(
    code: QrCode,
    public_url: str,
    *,
    svg: Path | None,
    png: Path | None,
    pdf: Path | None,
    size: str,
) -> list[tuple[Path, bytes]]:
    url = qr_code_url(public_url, code.code_id)
    pictures = []
    if svg is not None:
        pictures.append((svg, qr_svg(url)))
    if png is not None:
        pictures.append((png, qr_png(url)))
    if pdf is not None:
        pictures.append((pdf, poster_pdf(code, url, size)))
    return pictures


def _write(pictures: list[tuple[Path, bytes]]) -> None:
    for file, data in pictures:
        try:
            file.write_bytes(data)
        except OSError as error:
            raise ConfigurationError(f"{file}: cannot be written ({error.strerror})") from None


def _row(code: QrCode, public_url: str) -> dict[str, Any]:
    return {
        "code_id": code.code_id,
        "merchant_no": code.merchant_no,
        "store_id": code.store_id or None,
        "terminal_id": code.terminal_id or None,
        "name": code.name,
        "amount_fen": code.amount_fen or None,
        "url": qr_code_url(public_url, code.code_id) if public_url else None,
        "notify_url": code.notify_url or None,
        "created_at": iso_utc(code.created_at_ms),
        "disabled": code.disabled,
    }

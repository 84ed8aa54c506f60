"""The configuration: read once, checked whole, frozen.

Rules:

* One YAML file. An unknown, missing or wrong key refuses to start, and the
  message names file, line, key and mend; all faults are told at once.
* Secrets are references (``env:NAME`` or ``file:PATH``), never values.
* What an operator may want to change is a key here with its default; the bounds that
  nobody needs to change are constants where they hold.
* Relative paths are relative to the configuration file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError
from pydantic import field_validator as checks_field
from pydantic import model_validator as checks_section

from domain.errors import ConfigurationError
from gateway.config_events import EventsSection
from gateway.config_faults import faults, port_faults, repeated_keys
from gateway.config_limits import LimitsSection
from gateway.config_pages import PagesSection
from gateway.config_reconciliation import ReconciliationSection
from gateway.config_sandbox import SandboxSection
from gateway.config_section import Count as _Count
from gateway.config_section import OptionalPort as _OptionalPort
from gateway.config_section import Port as _Port
from gateway.config_section import Seconds as _Seconds
from gateway.config_section import SecretReference as _SecretReference
from gateway.config_section import Section as _Section
from gateway.outbound import read_allowance
from gateway.store.location import check_store_url


class StoreSection(_Section):
    """Where payments live, and the bounds of the group commit."""

    url: Annotated[str, Field(pattern=r"^(sqlite:///|postgresql://).+")]
    """``sqlite:///PATH`` (relative to this file) or ``postgresql://USER@HOST:PORT/DATABASE``."""
    max_batch: _Count = 512
    """Changes that one commit holds at most."""
    max_queued: _Count = 8192
    """Changes that may wait for a commit; beyond that a caller is told to come back."""
    commit_interval_ms: Annotated[int, Field(ge=0, le=50)] = 1
    """Commits of the hot path begin at least so far apart, so that changes gather; one that comes
    after a pause never waits. 0: each begins as soon as the one before it has ended."""

    @checks_field("url")
    @classmethod
    def _readable(cls, url: str) -> str:
        check_store_url(url)
        return url


class KeysSection(_Section):
    """The master key under which everything sensitive rests."""

    master_key: _SecretReference
    """64 hexadecimal digits. Lost means that nothing sealed opens again."""


class DownloadsSection(_Section):
    """What terminals download: YAML or JSON files, each a list of texts of hexadecimal digits.

    Each text is one entry as it goes into F62, a BER-TLV list; a list has at most 99.
    """

    parameters: str | None = None
    """Terminal parameters (60.3 = 360)."""
    program: str | None = None
    """Terminal management (364)."""
    public_keys: str | None = None
    """Chip public keys (370); an entry has one 9F06 of 5 bytes and one 9F22."""
    applications: str | None = None
    """Chip applications (380); an entry has one 9F06."""
    black_list: str | None = None
    """Black list (390). It goes out without a MAC, to whoever names a known terminal."""
    contactless: str | None = None
    """Contactless parameters (394)."""
    announce: bool = False
    """Whether a sign-in tells a terminal to fetch what it has not, or not the newest of."""
    ask_status: bool = False
    """Whether the first sign-in of a day tells a terminal to send its status (362)."""


class PosTlsSection(_Section):
    """Server certificate and key of `pos.tls_port` and `pos.https_port`, PEM files."""

    certificate_file: str
    """The certificate and its chain."""
    key_file: str
    """Its private key, unencrypted, readable by the gateway's user alone."""
    client_ca_file: str | None = None
    """Authorities of terminals' certificates; with it a terminal must show one of theirs."""


class PosSection(_Section):
    """The door of POS terminals: plain TCP, TCP under TLS, HTTPS."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: _Port = 8583
    """TCP port; 0 lets the system choose."""
    plain: bool = True
    """Whether `port` is open; `false` leaves it to TLS alone."""
    tls: PosTlsSection | None = None
    """TLS 1.2 or newer for the two ports below."""
    tls_port: _OptionalPort = None
    """Port of TCP under TLS; 0 lets the system choose, without it there is none."""
    https_port: _OptionalPort = None
    """Port of messages in HTTPS bodies; 0 lets the system choose, without it there is none."""
    max_frame_bytes: Annotated[int, Field(ge=64, le=65_535)] = 4096
    """The longest message; a longer one closes its connection."""
    max_connections: _Count = 20_000
    """Open connections, plain and TLS together, and as many of HTTPS; one more is closed at
    once."""
    max_in_flight: _Count = 16_384
    """Messages being answered on all connections, plain and TLS; more wait for their turn."""
    max_in_flight_per_connection: _Count = 128
    """Messages being answered on one; at the bound reading pauses."""
    https_max_in_flight: _Count = 2048
    """Messages of HTTPS being answered; one more gets 503."""
    idle_timeout_s: _Seconds = 3600
    """A connection that is silent for so long is closed (HTTPS: after 75 s at most)."""
    frame_timeout_s: _Seconds = 30
    """A message that began to arrive so long ago and is not whole closes its connection."""
    keepalive_s: _Seconds = 60
    """After so long a silence TCP asks whether the peer lives; after twice that it is gone."""
    handshake_timeout_s: _Seconds = 10
    """How long a TLS handshake may take."""
    max_handshakes: _Count = 512
    """TLS handshakes under way at each port; one more ends the one that takes longest."""
    push: bool = False
    """Whether messages that nobody asked for may go to terminals; only to those whose option
    `push` says that they know them ([push](pos_protocol.md#push))."""
    max_pushes_per_connection: _Count = 16
    """Pushes that wait until nothing is in flight; one more is not taken."""
    working_key_hours: Annotated[int, Field(ge=1, le=24)] = 24
    """How long a sign-in holds; after that a terminal is told 77."""
    downloads: DownloadsSection = DownloadsSection()

    @checks_section(mode="after")
    def _complete(self) -> "PosSection":
        if self.tls is None and not (self.tls_port is None and self.https_port is None):
            raise ValueError("tls_port and https_port need the section tls")
        return self


class TlsSection(_Section):
    """Server certificate and key, PEM files."""

    certificate_file: str
    """The certificate and its chain."""
    key_file: str
    """Its private key, unencrypted, readable by the gateway's user alone."""


class HttpSection(_Section):
    """The HTTPS door of cashier software."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: _Port = 8443
    """TCP port; 0 lets the system choose."""
    tls: TlsSection | None = None
    """TLS 1.2 or newer; without it the door speaks plain HTTP."""
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#]+)?$")] = ""
    """``https://HOST[:PORT]`` as payers and channels reach this door; empty: one-code payments,
    their pages and the channels' notices at our own address stay closed."""
    max_body_bytes: _Count = 65_536
    """The longest request body; a longer one gets 413."""
    max_in_flight: _Count = 2048
    """Requests being answered; one more gets 503."""
    signature_window_s: Annotated[int, Field(ge=1, le=300)] = 300
    """How far a request's time may be from ours."""
    nonces: Annotated[str, Field(pattern=r"^(memory|rediss?://.+)$")] = "memory"
    """``memory`` for one process, ``redis://HOST:PORT/N`` for several."""
    max_nonces: _Count = 1_000_000
    """Nonces that ``memory`` remembers; when full, requests get 503."""


class PaymentsSection(_Section):
    """The rule of the till, and how many payments run at once."""

    till_wait_s: _Seconds = 45
    """How long a till waits; when it passes, the undo begins."""
    max_in_flight: _Count = 8192
    """Payments in work in this process; one more is told to come back."""
    max_refunds_in_flight: _Count = 1024
    """Refunds in work in this process; one more is told to come back."""


class CheckoutsSection(_Section):
    """Orders that every wallet may pay: their time, and their live code."""

    wait_s: Annotated[int, Field(ge=60, le=7200)] = 300
    """How long one waits for its payer, where the call does not say."""
    code_renew_s: Annotated[int, Field(ge=5, le=3600)] = 60
    """How long a live code is shown before the next."""
    code_grace_s: Annotated[int, Field(ge=0, le=300)] = 10
    """How much longer the old one is good."""
    take_over_after_s: _Seconds = 20
    """How old a payer's attempt is, at least, when another payer's press has it closed."""
    interval_s: _Seconds = 1
    """How often it looks for those whose time is over."""
    max_at_once: _Count = 256
    """How many of them are ended in one go."""


class RecoverySection(_Section):
    """The background worker that finishes what was left open."""

    interval_s: _Seconds = 1
    """How often it looks for due payments; five times as often while it finds some."""
    lease_s: _Seconds = 20
    """How long a payment or refund is its own, at least, before another worker may take it."""
    max_at_once: _Count = 512
    """Payments and refunds that it works on at once."""
    max_at_once_per_account: _Count = 128
    """Payments, and as many refunds, of one channel account that it works on at once."""
    starts_per_s: _Count = 250
    """How many it begins in a second at most: payments meanwhile wait for one of them only."""
    patience_s: _Seconds = 86_400
    """How long an undo or a refund is tried; then it is parked and opens a case."""


class NotificationsSection(_Section):
    """What merchants are told, and where their URLs may lead us."""

    interval_s: _Seconds = 1
    """How often it looks for due notices; those of this process are sent at once."""
    timeout_s: _Seconds = 10
    """How long one attempt may take."""
    connect_timeout_s: _Seconds = 5
    """How long looking up and connecting may take of that."""
    max_at_once: _Count = 256
    """Attempts at once, and host names being looked up."""
    max_per_merchant: _Count = 32
    """Attempts at once for one merchant."""
    max_per_endpoint: _Count = 4
    """Attempts at once at one endpoint (a merchant's host); it begins with one."""
    pause_after: _Count = 5
    """Failures running after which an endpoint is paused."""
    max_pause_s: _Seconds = 60
    """The longest pause between two probes of an endpoint."""
    max_endpoints: _Count = 10_000
    """Failing endpoints that are remembered."""
    max_answer_bytes: _Count = 4096
    """What is read of an answer's body; a longer one closes its connection."""
    allow_http: bool = False
    """Whether plain HTTP will do."""
    ports: list[_Port] = [80, 443, 8443]  # noqa: RUF012 - pydantic copies it
    """Ports that a URL may name."""
    allow: list[str] = []  # noqa: RUF012
    """Networks, addresses and host names that are called, at any port, though not public."""
    ca_file: str | None = None
    """PEM file of a further certificate authority."""

    @checks_field("allow")
    @classmethod
    def _readable(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            read_allowance(entry)
        return entries


class InboundSection(_Section):
    """What channels tell us unasked, at `POST /notify/{channel}/{account}`."""

    answer_within_s: _Seconds = 4
    """What is not booked by then is to come again (WeChat waits 5 s)."""
    max_in_flight: _Count = 512
    """Notifications being booked; one more is told to come again."""


class ChannelsSection(_Section):
    """Bounds of the shared HTTP client; ``ca_file`` adds a certificate authority."""

    max_concurrent_per_channel: _Count = 512
    """HTTP requests in flight at one channel."""
    connect_timeout_s: _Seconds = 5
    """How long a connection may take to open."""
    breaker_failures: _Count = 10
    """Failed calls in a row after which an account's channel is taken to be away."""
    breaker_open_s: _Seconds = 5
    """How long it is left alone then, before one call probes it."""
    ca_file: str | None = None
    """PEM file of a further certificate authority."""


class LogsSection(_Section):
    """How much is logged, and in which dress (``auto``: pretty on a terminal)."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""
    format: Literal["auto", "json", "pretty"] = "auto"
    """``auto`` is pretty on a terminal and JSON elsewhere."""


class DirectorySection(_Section):
    """The cache of terminals, merchants and API keys."""

    max_entries: _Count = 50_000
    """Terminals, and as many API keys."""
    fresh_s: _Seconds = 10
    """How soon a disabled terminal or key stops."""


class Config(_Section):
    """The whole file."""

    store: StoreSection
    keys: KeysSection
    pos: PosSection = PosSection()
    http: HttpSection = HttpSection()
    payments: PaymentsSection = PaymentsSection()
    checkouts: CheckoutsSection = CheckoutsSection()
    pages: PagesSection = PagesSection()
    recovery: RecoverySection = RecoverySection()
    notifications: NotificationsSection = NotificationsSection()
    inbound: InboundSection = InboundSection()
    events: EventsSection = EventsSection()
    channels: ChannelsSection = ChannelsSection()
    reconciliation: ReconciliationSection = ReconciliationSection()
    logs: LogsSection = LogsSection()
    directory: DirectorySection = DirectorySection()
    limits: LimitsSection = LimitsSection()
    sandbox: SandboxSection | None = None


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration and the folder that its relative paths start from."""

    config: Config
    folder: Path

    def path(self, text: str) -> Path:
        """``text`` as an absolute path."""
        return (self.folder / text).resolve()

    def store_url(self) -> str:
        """The store's URL with a relative SQLite path made absolute."""
        url = self.config.store.url
        if not url.startswith("sqlite:///"):
            return url
        return f"sqlite://{self.path(url.removeprefix('sqlite:///'))}"


def load(file: Path) -> LoadedConfig:
    """Read and check ``file``.

    Raises:
        ConfigurationError: unreadable, not YAML or wrong; one line for each fault.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise ConfigurationError(f"{file}: {why}; pass an existing file with -c FILE") from None
    except UnicodeDecodeError as error:
        line_no = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{file}:{line_no}: not UTF-8; save it as UTF-8") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        repeated = [] if root is None else list(repeated_keys(root))
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", "not YAML")
        mend = "mend the indentation or quotes"
        raise ConfigurationError(f"{file}{line}: {problem}; {mend}") from None
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigurationError(f"{file}: {problem}; write text in quotes") from None
    if repeated:
        raise ConfigurationError(
            "\n".join(f"{file}:{line}: {key}: given twice; remove one" for line, key in repeated)
        )
    if root is None or not isinstance(data, dict):
        raise ConfigurationError(f"{file}:1: must be a mapping of sections; see config.yaml")
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError("\n".join(faults(file, root, error))) from None
    shared = list(port_faults(file, root, config))
    if shared:
        raise ConfigurationError("\n".join(shared))
    return LoadedConfig(config, file.resolve().parent)

"""How a terminal's messages travel: a socket, a socket under TLS, or HTTPS bodies.

Rules: one message at a time; a connection on which an answer did not come is hung up, so
that a late answer is never taken for the next one. What is raised says whether anything
was sent.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final, Protocol

from channels.http import HttpClient
from channels.port import AnswerLost, HttpRequest, NotSent
from domain.errors import ConfigurationError, Unavailable
from pos_protocol.framing import PREFIX_BYTES, frame

_HTTPS_TYPE: Final = "x-ISO-TPDU/x-auth"
_OK: Final = 200
_CONNECT_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the gateway is. TLS if ``ca_file`` is there; ``https``: in HTTPS bodies.

    ``certificate_file`` is the terminal's own, its key in the same PEM file.
    """

    host: str
    port: int
    ca_file: str = ""
    certificate_file: str = ""
    https: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Line(Protocol):
    """One way to the gateway."""

    async def connect(self) -> None:
        """Have a connection; raises :class:`Unavailable`: nothing was sent."""
        ...

    async def send(self, payload: bytes) -> bytes:
        """One message and what comes back; raises :class:`Unavailable`: nobody answered."""
        ...

    async def receive(self) -> bytes:
        """What comes next, unasked; raises as :meth:`send`."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def line_to(address: Address, patience_s: float) -> Line:
    """The way that an address names.

    Raises:
        ConfigurationError: what is named for TLS cannot be used.
    """
    if not address.https:
        return SocketLine(address, patience_s)
    if address.certificate_file:
        raise ConfigurationError("a client certificate goes with TCP under TLS, not with HTTPS")
    return HttpsLine(address, patience_s)


class SocketLine:
    """TCP, as terminals do it; TLS 1.2 or newer if the address says so."""

    def __init__(self, address: Address, patience_s: float) -> None:
        self._address = address
        self._patience_s = patience_s
        self._tls = _trust(address) if address.ca_file else None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> None:
        """See :class:`Line`."""
        if self._streams is not None and not self._streams[0].at_eof():
            return
        await self.close()
        address = self._address
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                self._streams = await asyncio.open_connection(
                    address.host, address.port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            raise _unreachable(address, _why(error)) from None

    async def send(self, payload: bytes) -> bytes:
        """See :class:`Line`."""
        await self.connect()
        if self._streams is None:
            raise _unreachable(self._address, "hung up")
        self._streams[1].write(frame(payload))
        return await self.receive()

    async def receive(self) -> bytes:
        """See :class:`Line`."""
        if self._streams is None:
            raise _unreachable(self._address, "hung up")
        reader, answer = self._streams[0], None
        try:
            async with asyncio.timeout(self._patience_s):
                size = int.from_bytes(await reader.readexactly(PREFIX_BYTES))
                answer = await reader.readexactly(size)
        except TimeoutError:
            raise _silent(self._patience_s) from None
        except (OSError, asyncio.IncompleteReadError):
            raise Unavailable(f"the gateway at {self._address} hung up without an answer") from None
        finally:
            if answer is None:
                await self.close()
        return answer

    async def close(self) -> None:
        """See :class:`Line`."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class HttpsLine:
    """The same bytes as the body of a POST, and of its answer."""

    def __init__(self, address: Address, patience_s: float) -> None:
        self._address = address
        self._patience_s = patience_s
        self._http: HttpClient | None = None

    async def connect(self) -> None:
        """See :class:`Line`; the connection itself comes with the message."""
        if self._http is None:
            http = HttpClient(ca_file=self._address.ca_file or None)
            await http.start()
            self._http = http

    async def send(self, payload: bytes) -> bytes:
        """See :class:`Line`."""
        await self.connect()
        if self._http is None:
            raise _unreachable(self._address, "hung up")
        request = HttpRequest(
            method="POST",
            url=f"https://{self._address}/",
            headers={"Content-Type": _HTTPS_TYPE},
            body=frame(payload),
            timeout_s=self._patience_s,
        )
        try:
            answer = await self._http.send(request)
        except NotSent as error:
            raise _unreachable(self._address, str(error)) from None
        except AnswerLost:
            raise _silent(self._patience_s) from None
        if answer.status != _OK:
            raise Unavailable(f"the gateway at {self._address} says HTTP {answer.status}")
        size = int.from_bytes(answer.body[:PREFIX_BYTES])
        if size != len(answer.body) - PREFIX_BYTES:
            raise Unavailable(f"the gateway at {self._address} answered with no whole message")
        return answer.body[PREFIX_BYTES:]

    async def receive(self) -> bytes:
        """See :class:`Line`: nothing comes unasked here."""
        raise _silent(self._patience_s)

    async def close(self) -> None:
        """See :class:`Line`."""
        if self._http is not None:
            await self._http.close()
            self._http = None


def _unreachable(address: Address, why: str) -> Unavailable:
    return Unavailable(
        f"the gateway at {address} cannot be reached ({why}); nothing was sent:"
        " see that it runs and where it listens"
    )


def _silent(patience_s: float) -> Unavailable:
    return Unavailable(f"no answer within {patience_s:g} s; reverse it")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.strerror if isinstance(error, OSError) else "") or "no answer"


def _trust(address: Address) -> ssl.SSLContext:
    file = address.ca_file
    try:
        context = ssl.create_default_context(cafile=file)
        if address.certificate_file:
            file = address.certificate_file
            context.load_cert_chain(file)
    except OSError as error:
        why = error.strerror or "not PEM"
        raise ConfigurationError(f"{file}: cannot be used for TLS ({why})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

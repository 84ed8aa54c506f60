"""The HTTP client towards merchants' own addresses.

Only here and in ``http.py`` is aiohttp's client. Rules:

* Every address is judged before it is connected, and nothing but a status comes back.
* A caller learns exactly one of three things, as towards channels: a status;
  :class:`NotSent`; :class:`AnswerLost`. Nothing is sent twice.
* TLS 1.2 or newer, verified (``channels/tls.py``). No redirects, no cookies, no proxies
  from the environment, no decompression. Who calls bounds how much is open at once.
"""

import socket
from collections.abc import Mapping
from typing import Final

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientSSLError,
    InvalidURL,
)
from yarl import URL

from channels.http import bare_session
from channels.lookup import Lookups, Vet, narrow_socket
from channels.port import AnswerLost, NotSent
from channels.tls import tls_context

_IDLE_S: Final = 2.0
"""Below what servers allow, so that a delivery hardly ever meets a connection just closed."""


class GuardedClient:
    """Posts to URLs that somebody else chose: one attempt, no redirect, a status back.

    An address is judged by ``vet`` and connected as judged, so that a name cannot mean
    another one in the next moment. At most ``max_lookups`` threads look names up.
    """

    def __init__(
        self,
        *,
        vet: Vet,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        answer_bytes: int = 4096,
        max_lookups: int = 256,
        ca_file: str | None = None,
    ) -> None:
        """``timeout_s`` holds for the whole; ``answer_bytes`` is what is read of a body.

        Raises:
            ConfigurationError: the CA file cannot be used.
        """
        self._vet = vet
        self._timeout = ClientTimeout(
            total=timeout_s, connect=min(connect_timeout_s, timeout_s), ceil_threshold=60
        )
        self._answer_bytes = answer_bytes
        self._tls = tls_context(ca_file)
        self._resolver = _VettingResolver(vet, max_lookups)
        self._session: ClientSession | None = None

    async def start(self) -> None:
        """Open the pool; no connection is made yet."""
        self._session = bare_session(
            TCPConnector(
                limit=0,  # who calls bounds it
                ssl=self._tls,
                keepalive_timeout=_IDLE_S,
                use_dns_cache=False,
                resolver=self._resolver,
                socket_factory=narrow_socket,
            )
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._resolver.close()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of one POST; the texts of the faults are safe to show.

        Raises:
            NotSent: certainly nothing left.
            AnswerLost: something may have arrived.
        """
        session = self._session
        if session is None:
            raise NotSent("the HTTP client is not running")
        try:
            target = URL(url, encoded=True)
            host = target.raw_host or ""
            if ":" in host or host.replace(".", "").isdigit():
                self._vet(host, host)  # the connector asks no resolver about these
            answer = await session.post(
                target, data=body, headers=headers, allow_redirects=False, timeout=self._timeout
            )
        except (ClientConnectorError, ConnectionTimeoutError, InvalidURL) as fault:
            raise NotSent(_unreached(fault)) from fault
        except (ClientError, TimeoutError, OSError, ValueError, RuntimeError) as fault:
            timed_out = isinstance(fault, TimeoutError)
            raise AnswerLost("no answer in time" if timed_out else "no answer") from fault
        await self._leave(answer)
        return answer.status

    async def _leave(self, answer: ClientResponse) -> None:
        """Read a short body, so that the connection can be kept; whatever it is changes nothing."""
        left = self._answer_bytes
        try:
            while left > 0 and not answer.content.at_eof():
                left -= len(await answer.content.read(left))
        except (ClientError, TimeoutError, OSError, ValueError, RuntimeError):
            left = 0
        finally:
            if left > 0:
                answer.release()
            else:
                answer.close()


class _VettingResolver(AbstractResolver):
    """Hands the connector what :class:`Lookups` lets through."""

    def __init__(self, vet: Vet, max_lookups: int) -> None:
        self._lookups = Lookups(vet, max_lookups)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=place.address,
                port=port,
                family=place.family,
                proto=place.protocol,
                flags=flags,
            )
            for place in await self._lookups.find(host, port, family)
        ]

    async def close(self) -> None:
        self._lookups.close()


def _unreached(fault: Exception) -> str:
    """Why nothing left, in words for the one whose endpoint it is."""
    match fault:
        case ClientConnectorDNSError():
            return "the host name was not found"
        case ClientConnectorCertificateError():
            return "the certificate is not trusted"
        case ClientSSLError():
            return "TLS was not agreed"
        case ConnectionTimeoutError():
            return "no connection in time"
        case InvalidURL():
            return "not a URL"
    return "no connection"

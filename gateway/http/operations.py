"""What the operator and the curious ask: health, readiness, metrics, documentation."""

from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from channels.port import ChannelHealth
from gateway.http.docs_page import docs_page
from gateway.http.openapi import openapi_document
from gateway.metrics import Metrics


class Operations:
    """The unsigned routes; they show no payment and no secret."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        store_ready: Callable[[], Awaitable[bool]],
        nonces_ready: Callable[[], Awaitable[bool]],
        accepting: Callable[[], bool],
        channels: Callable[[], Mapping[str, ChannelHealth]],
    ) -> None:
        self._metrics = metrics
        self._store_ready = store_ready
        self._nonces_ready = nonces_ready
        self._accepting = accepting
        self._channels = channels
        document = openapi_document()
        self._document = orjson.dumps(document)
        self._page = docs_page(document).encode()

    def add_routes(self, app: web.Application) -> None:
        """Put the routes on ``app``."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/v1/openapi.json", self._openapi)
        app.router.add_get("/docs", self._docs)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        store, nonces = await self._store_ready(), await self._nonces_ready()
        accepting = self._accepting()
        channels = {
            account: {"ready": health.ready, "detail": health.detail}
            for account, health in self._channels().items()
        }
        ready = store and nonces and accepting
        body = {
            "ready": ready,
            "store": store,
            "nonces": nonces,
            "accepting": accepting,
            "channels": channels,
        }
        return _json(200 if ready else 503, body)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def _docs(self, _request: web.Request) -> web.Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return web.Response(
            body=self._page,
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": policy},
        )


def _json(status: int, body: object) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")

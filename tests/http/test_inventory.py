"""OWASP API Security Top 10 (2023), row 9: nothing is served that no document lists.

The routes of a whole server, pages included, are held against the OpenAPI document, the page's
own table in ``docs/one_qr_code.md``, and what the operator asks: in both directions.
"""

import re
from itertools import product
from pathlib import Path

import pytest
from aiohttp import web

from tests.http.test_payer_page import shop
from tests.support.gateway import Running

__all__ = ["shop"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = Path(__file__).parents[2] / "docs" / "one_qr_code.md"
OPERATORS = {("GET", path) for path in ("/healthz", "/readyz", "/metrics", "/docs")}
OPENAPI = ("GET", "/v1/openapi.json")
CHANNELS = ("POST", "/notify/{channel}/{account}")
_ROW = re.compile(r"^\| (`(?:GET|POST).*?) \|", re.MULTILINE)
_FOR_NOBODY = (
    *("/v0/payments", "/v2/payments", "/v1", "/v1/", "/payments", "/v1/terminals", "/v1/merchants"),
    *("/debug", "/debug/pprof/", "/_debug", "/v1/debug", "/admin", "/console", "/test", "/sandbox"),
    *("/openapi.json", "/v2/openapi.json", "/swagger", "/swagger-ui/", "/graphql", "/actuator"),
    *("/.env", "/.git/HEAD", "/config.yaml", "/static/", "/charges", "/faults", "/q", "/q/_/"),
    *(
        "/metrics/",
        "/healthz/x",
        "/docs/x",
        "/notify",
        "/notify/alipay",
        "/.wallet/wechat/bridge.js",
    ),
)
"""Older and newer versions, debugging, other products' pages, and the sandbox's own."""


def routes_of(running: Running) -> set[tuple[str, str]]:
    """Every route of the server, as its router knows it; ``HEAD`` comes with ``GET``."""
    api = running.gateway._api
    assert api is not None
    app: web.Application = api.application()
    found = [route for route in app.router.routes() if route.method != "HEAD"]
    assert all(route.resource is not None for route in found)
    return {(route.method, route.resource.canonical) for route in found if route.resource}


def page_routes() -> set[tuple[str, str]]:
    """The page's paths as its document lists them."""
    listed = set()
    for row in _ROW.findall(DOCUMENT.read_text(encoding="utf-8")):
        methods, paths = re.findall(r"GET|POST", row), re.findall(r"/q/[^\s`]+", row)
        listed |= set(product(methods, paths))
    return {
        (method, path.replace("/q/_/…", "/q/_/{name}").replace("/q/ID", "/q/{id}"))
        for method, path in listed
    }


async def test_api9_what_is_served_is_what_the_documents_list(shop: Running) -> None:
    """Improper inventory management: no route without a document, no document without a route."""
    document = (await shop.api.send("GET", "/v1/openapi.json")).json
    signed = {(verb.upper(), path) for path, calls in document["paths"].items() for verb in calls}
    routes = shop.gateway.api_door.routes
    assert signed == {(method, path) for path, methods in routes.items() for method in methods}
    served = routes_of(shop)
    places = {path for method, path in served if method == "*"}
    assert served - {("*", path) for path in places} == (
        OPERATORS | {OPENAPI, CHANNELS} | page_routes()
    )
    roots = {path.partition("/{below}")[0] for path in places}
    assert roots == {"/".join(path.split("/")[:3]) for _, path in signed}


async def test_api9_there_is_one_version_and_its_paths_say_so(shop: Running) -> None:
    """The document's version is the paths' own, every call needs a signature and has a name."""
    document = (await shop.api.send("GET", "/v1/openapi.json")).json
    version = document["info"]["version"]
    assert [path for path in document["paths"] if not path.startswith(f"/v{version}/")] == []
    assert document["security"] == [{"merchant": []}]
    calls = [call for path in document["paths"].values() for call in path.values()]
    assert [call for call in calls if not call["operationId"] or "security" in call] == []
    assert not any(call.get("deprecated") for call in calls)


@pytest.mark.parametrize("path", _FOR_NOBODY)
async def test_api9_nothing_else_answers(shop: Running, path: str) -> None:
    """Neither a debugging page nor another version, whatever the method."""
    for method in ("GET", "POST", "DELETE"):
        reply = await shop.api.send(method, path)
        assert reply.status in (404, 405), (method, reply.raw)
        assert b"Traceback" not in reply.raw

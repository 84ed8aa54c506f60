"""The wallets as a server: each app's first screen, its cashier, and its in-app browser.

``GET /?code=…`` on an app's host scans; ``/.wallet/…`` is the app itself; every other path there
is the merchant's page that is open, fetched as the app would fetch it. Without an app's host
it is asked which app scans.

Rules: this is a shell beside :mod:`sandbox.server`: what is decided is decided in
``wallet_acts``, ``wallet_browser`` and ``wallet_pages``. Requests under way are bounded. Only
names of this machine are answered to, so that no web page elsewhere can rebind one.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    web,
)
from yarl import URL

from sandbox import wallet_acts, wallet_pages
from sandbox.wallet_acts import BadAsk, ask_of
from sandbox.wallet_apps import APPS, BY_HOST, OWN_PREFIX, WalletApp
from sandbox.wallet_browser import (
    MAX_REWRITTEN_BYTES,
    REWRITTEN,
    Phone,
    Phones,
    authorise_query,
    coming_back,
    inside,
    outgoing,
    rewritten,
    site_of,
)
from sandbox.world import World

MAX_UNDER_WAY: Final = 256
PHONE_COOKIE: Final = "posgate_phone"
_TIMEOUT: Final = ClientTimeout(total=None, sock_connect=5, sock_read=60)
_CASHIER: Final = f"{OWN_PREFIX}unionpay/cashier/"
_HTML: Final = "text/html"


class WalletSite:
    """Every app of one sandbox; ``runner`` is what listens.

    ``sites`` are origins of merchants' pages beside those of this machine.
    """

    def __init__(
        self,
        world: World,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        *,
        ca_file: str = "",
        sites: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
    ) -> None:
        self._world = world
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._ca_file = ca_file
        self._sites = sites
        self._hosts = frozenset((*BY_HOST, "localhost", "127.0.0.1", *hosts))
        self._port = 0
        self._phones = Phones()
        self._http: ClientSession | None = None
        self._room = asyncio.Semaphore(MAX_UNDER_WAY)
        app = web.Application(middlewares=[self._admit], client_max_size=65_536)
        app.router.add_get("/", self._first_screen)
        app.router.add_post(OWN_PREFIX + "{app}/{act:open|pay|front}", self._act)
        app.router.add_get(OWN_PREFIX + "{app}/bridge.js", self._bridge)
        app.router.add_get(OWN_PREFIX + "{app}/authorise", self._authorise)
        app.router.add_get(_CASHIER + "{number}", self._cashier)
        app.router.add_route("*", "/{path:.*}", self._browse)
        self.runner = web.AppRunner(app, access_log=None)

    def protocol(self) -> asyncio.Protocol:
        """One connection's; the runner must be set up."""
        server = self.runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        return server()

    def listens_on(self, port: int) -> None:
        """The port that it really has; from now on UnionPay's orders are paid here."""
        self._port = port
        if self._world.unionpay_qr_state is not None:
            site = f"http://{APPS['unionpay'].host}:{port}"
            self._world.unionpay_qr_state.cashier_url = site + _CASHIER

    async def close(self) -> None:
        """End what is under way."""
        await self.runner.cleanup()
        if self._http is not None:
            await self._http.close()

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.host.partition(":")[0] not in self._hosts:
            return web.Response(status=421, text="not a name of this machine")
        if self._room.locked():
            return web.Response(status=503, text="too many requests under way")
        async with self._room:
            answer: web.StreamResponse = await handler(request)
            return answer

    async def _first_screen(self, request: web.Request) -> web.StreamResponse:
        texts, code = _texts(request), request.query.get("code", "")[:4096].strip()
        app = _app_of_host(request)
        if app is None:
            return _page(wallet_pages.choose_page(code, self._port, texts))
        if not code:
            return _page(wallet_pages.scan_page(app, texts))
        site = site_of(code, self._sites)
        path = inside(code, site) if site else None
        if path is None or path.startswith(OWN_PREFIX):
            answer: web.Response = _page(wallet_pages.cashier_page(app, texts, code=code))
            self._phone(request, answer)
            return answer
        answer = web.Response(status=303, headers={"Location": path})
        self._phone(request, answer).site = site
        return answer

    def _phone(self, request: web.Request, answer: web.Response) -> Phone:
        """The browser's phone, a new one if it has none."""
        phone = self._phones.find(request.cookies.get(PHONE_COOKIE, ""))
        if phone is None:
            token = self._random_bytes(16).hex()
            phone = self._phones.add(token)
            answer.set_cookie(PHONE_COOKIE, token, httponly=True, samesite="Lax")
        return phone

    async def _act(self, request: web.Request) -> web.Response:
        """The app's own screens: ``open``, ``pay``, and where UnionPay sends its payer."""
        app, phone = APPS.get(request.match_info["app"]), self._known_phone(request)
        if app is None or request.content_type != "application/json":
            return web.Response(status=404)
        try:
            raw = orjson.loads(await request.read())
            if not isinstance(raw, dict):
                raise BadAsk("an object")
            told = self._told(request.match_info["act"], app, raw, phone)
        except (orjson.JSONDecodeError, BadAsk) as fault:
            return web.json_response({"error": str(fault)}, status=400)
        return web.json_response(told)

    def _told(
        self, act: str, app: WalletApp, raw: Mapping[str, Any], phone: Phone | None
    ) -> dict[str, Any]:
        now_ms, payer = self._now_ms(), phone.payer if phone is not None else ""
        ask = ask_of(raw)
        match act:
            case "open":
                return wallet_acts.look(app, ask, payer, self._world, now_ms)
            case "pay":
                return wallet_acts.pay(
                    app,
                    ask,
                    payer,
                    self._world,
                    now_ms,
                    password=str(raw.get("password", "")),
                    act=str(raw.get("act", "pays")),
                )
            case _:
                number = ask.order.rpartition("/")[2]
                front = wallet_acts.front_of(number, self._world, now_ms)
                if front is None:
                    raise BadAsk("no such order")
                return {"url": _back_inside(front[0], phone), "form": front[1]}

    async def _bridge(self, request: web.Request) -> web.Response:
        app = APPS.get(request.match_info["app"])
        if app is None:
            return web.Response(status=404)
        script = wallet_pages.bridge_script(app)
        return web.Response(text=script, content_type="text/javascript", charset="utf-8")

    async def _cashier(self, request: web.Request) -> web.Response:
        """UnionPay's page for an order."""
        app, number = APPS["unionpay"], request.match_info["number"]
        state = self._world.unionpay_qr_state
        front = wallet_acts.front_of(number, self._world, self._now_ms())
        if state is None or front is None:
            return _page(wallet_pages.fault_page(app, _texts(request), "nobody"), 404)
        page = wallet_pages.cashier_page(
            app,
            _texts(request),
            order=state.cashier_url + number,
            back=_back_inside(front[0], self._known_phone(request)) or "/",
            front=bool(front[0]),
        )
        return _page(page)

    def _known_phone(self, request: web.Request) -> Phone | None:
        return self._phones.find(request.cookies.get(PHONE_COOKIE, ""))

    async def _authorise(self, request: web.Request) -> web.Response:
        """OAuth, for a page that leads there by a link or a script."""
        app, phone = APPS.get(request.match_info["app"]), self._known_phone(request)
        if app is None or phone is None:
            return web.Response(status=404)
        back = self._signed_in(app, dict(request.query), phone)
        if not back:
            return web.Response(status=400, text="the app refuses this authorisation")
        return web.Response(status=303, headers={"Location": back})

    def _signed_in(self, app: WalletApp, query: Mapping[str, str], phone: Phone) -> str:
        back = wallet_acts.sent_back(app, query, phone.payer, self._world, self._now_ms())
        return inside(back, phone.site) or ""

    async def _browse(self, request: web.Request) -> web.StreamResponse:
        """The merchant's page that is open in the app."""
        app, phone = _app_of_host(request), self._known_phone(request)
        if request.path.startswith(OWN_PREFIX):
            return web.Response(status=404)
        if app is None or phone is None or not phone.site:
            shown = app or APPS["wechat"]
            return _page(wallet_pages.fault_page(shown, _texts(request), "nobody"), 404)
        own_site = f"{request.scheme}://{request.host}"
        headers = outgoing(request.headers, phone, app, request.path, own_site)
        try:
            async with self._client().request(
                request.method,
                URL(phone.site + request.raw_path, encoded=True),
                headers=headers,
                data=await request.read() or None,
                allow_redirects=False,
            ) as answer:
                return await self._shown(request, answer, phone, app)
        except (ClientError, TimeoutError, OSError):
            return _page(wallet_pages.fault_page(app, _texts(request), "away"), 502)

    async def _shown(
        self, request: web.Request, answer: ClientResponse, phone: Phone, app: WalletApp
    ) -> web.StreamResponse:
        phone.keep(answer.headers.getall("Set-Cookie", []))
        headers = coming_back(answer.headers)
        location = answer.headers.get("Location")
        if location is not None:
            headers["Location"] = self._followed(location, phone, app)
        if answer.content_type in REWRITTEN:
            body = rewritten(await _whole(answer), answer.content_type, phone, app)
            return web.Response(status=answer.status, headers=headers, body=body)
        shown = web.StreamResponse(status=answer.status, headers=headers)
        await shown.prepare(request)
        async for piece in answer.content.iter_any():
            await shown.write(piece)
        return shown

    def _followed(self, location: str, phone: Phone, app: WalletApp) -> str:
        """Where the browser goes: the app's OAuth is walked through here."""
        query = authorise_query(location, app)
        if query is not None:
            return self._signed_in(app, query, phone) or "/"
        return inside(location, phone.site) or location

    def _client(self) -> ClientSession:
        if self._http is None:
            tls = ssl.create_default_context(cafile=self._ca_file or None)
            tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may be the certificate itself
            connector = TCPConnector(limit=MAX_UNDER_WAY, ssl=tls, keepalive_timeout=2)
            self._http = ClientSession(
                connector=connector, timeout=_TIMEOUT, cookie_jar=DummyCookieJar()
            )
        return self._http


async def _whole(answer: ClientResponse) -> bytes:
    """A body that is rewritten; what is longer than the bound is cut off."""
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_REWRITTEN_BYTES:
            break
    return b"".join(pieces)[:MAX_REWRITTEN_BYTES]


def _back_inside(url: str, phone: Phone | None) -> str:
    """The merchant's return address, in the app's own browser if the page is open there."""
    return (inside(url, phone.site) if phone is not None and phone.site else None) or url


def _app_of_host(request: web.Request) -> WalletApp | None:
    return BY_HOST.get(request.host.partition(":")[0])


def _texts(request: web.Request) -> Mapping[str, str]:
    return wallet_pages.texts_for(request.headers.get("Accept-Language", ""))


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=text, content_type=_HTML, charset="utf-8")

"""HTTP around the payers' door: aiohttp in, requests of ours, out.

Rules: every answer carries the same strict headers; nothing is kept by a browser or a proxy
but the page's own files, whose names change with their content; a form is read within
bounds; a method that a page does not have is the router's 405.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from domain.errors import RequestError
from gateway.http.pages.addresses import Network, payer_address
from gateway.http.pages.assets import ASSETS, PREFIX
from gateway.http.pages.door import PageDoor
from gateway.http.pages.requests import Action, PageRequest, PageResponse

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-src weixin: weixinping: weixinpreinject:; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style. Older WeChat bridges speak through frames of their own schemes."""
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language, User-Agent, Cookie",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_KEPT: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}
_MOST_BYTES: Final = 8192
"""Of a form: two tickets and a remark."""
_GET: Final = (Action.SHOW, Action.BACK, Action.STATE, Action.DONE)
_POST: Final = (Action.PAY, Action.RELEASE, Action.DONE)

Read = Callable[[web.Request], Awaitable[bytes]]


class PageServer:
    """The routes below ``/q/``."""

    def __init__(self, *, door: PageDoor, proxies: Sequence[Network]) -> None:
        self._door = door
        self._proxies = proxies

    def add_routes(self, app: web.Application, read: Read) -> None:
        """Put the routes on ``app``; ``read`` reads a body within the server's bounds."""
        app.router.add_get(f"{PREFIX}{{name}}", self._asset)
        for action in _GET:
            app.router.add_get(_place(action), self._page(action, read))
        for action in _POST:
            app.router.add_post(_place(action), self._page(action, read))

    async def _asset(self, request: web.Request) -> web.Response:
        asset = ASSETS.get(request.path)
        if asset is None:
            raise web.HTTPNotFound
        headers = {**_KEPT, "Content-Type": asset.content_type}
        return web.Response(body=asset.body, headers=headers)

    def _page(self, action: Action, read: Read) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            body = b""
            if request.method == "POST" and action is not Action.DONE:
                body = await _form(request, read)
            headers = request.headers
            asked = PageRequest(
                action=action,
                code_id=request.match_info["id"],
                query=request.rel_url.raw_query_string,
                body=body,
                cookies=headers.get("Cookie", ""),
                user_agent=headers.get("User-Agent", ""),
                accept_language=headers.get("Accept-Language", ""),
                fetch_site=headers.get("Sec-Fetch-Site", ""),
                address=payer_address(
                    request.remote or "", headers.get("X-Forwarded-For", ""), self._proxies
                ),
            )
            return _response(await self._door.handle(asked))

        return serve


async def _form(request: web.Request, read: Read) -> bytes:
    """The body of a form; one that is no form, or too long, is none, and its ticket missing."""
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if not is_form or (request.content_length or 0) > _MOST_BYTES:
        return b""
    try:
        body = await read(request)
    except RequestError:
        return b""
    return body if len(body) <= _MOST_BYTES else b""


def _place(action: Action) -> str:
    return f"/q/{{id}}/{action.value}" if action.value else "/q/{id}"


def _response(answer: PageResponse) -> web.Response:
    headers = dict(_HEADERS)
    if answer.location:
        headers["Location"] = answer.location
    if answer.cookie:
        headers["Set-Cookie"] = answer.cookie
    if answer.body:
        headers["Content-Type"] = answer.content_type
    if answer.status == 429:
        headers["Retry-After"] = "1"
    return web.Response(body=answer.body, status=answer.status, headers=headers)

"""The abilities of a WeChat Pay channel towards payers: codes, pages, faces, and whose code.

Rules: as ``adapter.py``; nothing here is booked: an order stands or it does not, and whether
it was paid is heard from a query or a notification. An order for an app, the openid behind a
payment code and a face are abilities of the adapter; no door offers them yet.
"""

from channels.one_call import call_once, unanswered
from channels.payer_orders import (
    FaceAnswer,
    FaceRequest,
    OrderAnswer,
    OrderRequest,
    PayerAnswer,
)
from channels.port import Verdict
from channels.wechat import oauth
from channels.wechat.calls import Calls
from channels.wechat.v2_payer_wire import build_face, build_openid, read_face, read_openid
from channels.wechat.v3 import APP, H5, JSAPI, NATIVE, V3Api
from channels.wechat.v3_order_wire import build_order, read_order


class PayerOrders:
    """``channels.payer_orders`` at WeChat Pay."""

    def __init__(self, calls: Calls, oauth_page: str, oauth_api: str, app_secret: bytes) -> None:
        self._payer_calls = calls
        self._oauth_page = oauth_page
        self._oauth_api = oauth_api
        self._app_secret = app_secret

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        """``native``: a code for one order."""
        return await self._create(NATIVE, request)

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        """``jsapi`` for a payer in WeChat's browser, ``h5`` for one in another."""
        return await self._create(JSAPI if request.payer_id else H5, request)

    async def create_app_order(self, request: OrderRequest) -> OrderAnswer:
        """``app``: what a merchant's own app gives to WeChat's SDK, signed."""
        return await self._create(APP, request)

    async def _create(self, api: V3Api, request: OrderRequest) -> OrderAnswer:
        calls = self._payer_calls
        account, keys = calls.account, calls.keys
        return await call_once(
            OrderAnswer,
            lambda: build_order(api, request, account, keys, calls.stamped()),
            calls.send_v3,
            lambda heard: read_order(api, heard, account, keys, calls.stamped()),
        )

    def authorise_url(self, return_url: str, state: str) -> str:
        """Where WeChat's browser is sent so that it comes back with a code."""
        return oauth.authorise_url(self._oauth_page, self._payer_calls.account, return_url, state)

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        """The openid behind that code; the code is good once."""
        if not self._app_secret:
            return PayerAnswer(verdict=Verdict.NOT_SENT, channel_message="no app_secret is set")
        account = self._payer_calls.account
        try:
            built = oauth.build_exchange(self._oauth_api, account, self._app_secret, code)
            return oauth.read_exchange(await self._payer_calls.send(built))
        except Exception as fault:
            return unanswered(PayerAnswer, fault)

    async def openid_of(self, auth_code: str) -> PayerAnswer:
        """Whose payment code it is, without paying (``authcodetoopenid``)."""
        calls = self._payer_calls
        try:
            built = build_openid(auth_code, calls.account, calls.stamped().nonce)
            return read_openid(await calls.send(built), calls.account)
        except Exception as fault:
            return unanswered(PayerAnswer, fault)

    async def begin_face(self, request: FaceRequest) -> FaceAnswer:
        """Leave for a device to recognise a face (``get_wxpayface_authinfo``)."""
        calls, stamped = self._payer_calls, self._payer_calls.stamped()
        return await call_once(
            FaceAnswer,
            lambda: build_face(request, calls.account, stamped.nonce, stamped.now_ms),
            calls.send,
            lambda heard: read_face(heard, calls.account),
        )

"""Orders of the payer at Alipay behind their ports: live codes, pages in the wallet, faces.

Rules: as the adapter's. What could not be written or sent is ``NOT_SENT`` for an order; the
payer's authorisation and a face carry no money, so anything that is no answer is ``UNKNOWN``.
A face is an ability of the adapter; no door offers it yet.
"""

from collections.abc import Callable

from channels.alipay.account import AlipayAccount
from channels.alipay.calls import AlipayCalls, what
from channels.alipay.orders_wire import (
    authorise_url,
    build_create,
    build_face,
    build_precreate,
    build_token,
    read_create,
    read_face,
    read_precreate,
    read_token,
)
from channels.payer_orders import (
    FaceAnswer,
    FaceRequest,
    OrderAnswer,
    OrderRequest,
    PayerAnswer,
)
from channels.port import HttpRequest, HttpResponse, NotSent, Verdict

_Build = Callable[[OrderRequest, AlipayAccount, int, str], HttpRequest]
_Read = Callable[[HttpResponse, AlipayAccount, str], OrderAnswer]


class AlipayOrders(AlipayCalls):
    """``PayerCodes``, ``PayerPages`` and ``Faces`` of one application."""

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        """``alipay.trade.precreate``."""
        return await self._make(request, build_precreate, read_precreate)

    def authorise_url(self, return_url: str, state: str) -> str:
        """Where the wallet's browser is sent."""
        return authorise_url(self._account, return_url, state)

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        """``alipay.system.oauth.token``."""
        try:
            built = build_token(code, self._account, *self._moment())
            return read_token(await self._send(built), self._account)
        except Exception as fault:
            return PayerAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        """``alipay.trade.create``."""
        if not request.payer_id:
            return OrderAnswer(
                verdict=Verdict.NOT_SENT, unwritable=True, channel_message="no payer"
            )
        return await self._make(request, build_create, read_create)

    async def begin_face(self, request: FaceRequest) -> FaceAnswer:
        """``zoloz.authentication.customer.smilepay.initialize``."""
        try:
            built = build_face(request, self._account, *self._moment())
            return read_face(await self._send(built), self._account)
        except Exception as fault:
            return FaceAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def _make(self, request: OrderRequest, build: _Build, read: _Read) -> OrderAnswer:
        try:
            built = build(request, self._account, *self._moment())
        except Exception as fault:  # an amount or a text that cannot be written
            message = type(fault).__name__
            return OrderAnswer(verdict=Verdict.NOT_SENT, unwritable=True, channel_message=message)
        try:
            return read(await self._send(built), self._account, request.order_no)
        except NotSent as fault:
            return OrderAnswer(verdict=Verdict.NOT_SENT, channel_message=str(fault))
        except Exception as fault:
            return OrderAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

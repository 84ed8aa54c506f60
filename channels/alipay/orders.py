"""Orders of the payer at Alipay behind their ports: live codes, pages in the wallet, faces.

Rules: as the adapter's. The payer's authorisation and a face carry no money, so anything that
is no answer is ``UNKNOWN``.
A face is an ability of the adapter; no door offers it yet.
"""

from channels.alipay.calls import AlipayCalls
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
from channels.one_call import call_once, what
from channels.payer_orders import (
    FaceAnswer,
    FaceRequest,
    OrderAnswer,
    OrderRequest,
    PayerAnswer,
)
from channels.port import Verdict


class AlipayOrders(AlipayCalls):
    """``PayerCodes``, ``PayerPages`` and ``Faces`` of one application."""

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        """``alipay.trade.precreate``."""
        return await call_once(
            OrderAnswer,
            lambda: build_precreate(request, self._account, *self._moment()),
            self._send,
            lambda heard: read_precreate(heard, self._account, request.order_no),
        )

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
        return await call_once(
            OrderAnswer,
            lambda: build_create(request, self._account, *self._moment()),
            self._send,
            lambda heard: read_create(heard, self._account, request.order_no),
        )

    async def begin_face(self, request: FaceRequest) -> FaceAnswer:
        """``zoloz.authentication.customer.smilepay.initialize``."""
        try:
            built = build_face(request, self._account, *self._moment())
            return read_face(await self._send(built), self._account)
        except Exception as fault:
            return FaceAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

"""A channel's own words for its codes reach whoever asks about the payment or the refund."""

import orjson

from channels.port import Answer, ChannelPlugin, RefundAnswer, Verdict
from channels.registry import plugins
from domain.decline import CashierText, ChannelTexts, DeclineReason
from gateway.accounts import seal_secrets
from gateway.store.port import Account
from tests.gateway.fakes import RefundingChannel
from tests.support.gateway import Place, with_seams

WECHAT = "130000000000000001"
TEXTS = ChannelTexts(
    payments={"NOTENOUGH": CashierText("Top up the wallet.", "请充值")},
    refunds={"TOOLATE": CashierText("Older than a year.", "订单已超过一年")},
)


async def test_the_plugins_text_is_shown(place: Place) -> None:
    channel = RefundingChannel()
    reason = DeclineReason.INSUFFICIENT_FUNDS
    channel.pays = [
        Answer(verdict=Verdict.DECLINED, reason=reason, channel_code="NOTENOUGH"),
        Answer(verdict=Verdict.DECLINED, reason=reason, channel_code="OTHER"),
        Answer(verdict=Verdict.SUCCEEDED, trade_no="T1"),
    ]
    channel.refunds = [
        RefundAnswer(
            verdict=Verdict.DECLINED, reason=DeclineReason.NOT_PERMITTED, channel_code="TOOLATE"
        )
    ]
    channel.refund_queries = [RefundAnswer(verdict=Verdict.UNKNOWN, not_found=True)]
    async with place.session() as it:
        account = Account(
            account_id="wechat-1",
            channel="wechat",
            merchant_no="",
            settings_json=orjson.dumps({}).decode(),
            secrets_sealed=seal_secrets(it.sealer, "wechat-1", {}),
            created_at_ms=it.clock.now_ms(),
        )
        await it.store.add_account(account)
    plugin = ChannelPlugin("wechat", (), lambda _account, _services: channel, TEXTS)
    every = {**plugins(), "wechat": plugin}
    async with with_seams(place, plugins=lambda: every).gateway() as running:
        first = (await running.api.pay(WECHAT)).json["error"]
        assert (first["message"], first["message_zh"]) == ("Top up the wallet.", "请充值")
        assert (first["code"], first["channel_code"]) == ("insufficient_funds", "NOTENOUGH")
        second = (await running.api.pay(WECHAT)).json["error"]
        assert second["message"] == "Not enough money in the account."
        paid = (await running.api.pay(WECHAT)).json
        asked = (await running.api.refund(paid["id"], 5)).json
        refund = await running.api.final_refund(asked["id"])
        assert refund["error"]["message"] == "Older than a year."

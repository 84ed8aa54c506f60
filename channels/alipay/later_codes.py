"""The sub codes of everything that follows a payment: query, cancel, close, refund, royalty, bill.

Rules: see ``codes.py``. Every constant of the vendor's error models of these methods (OpenAPI
document of 2024-08-21) is here, the two spellings of a cancel's system error included. A refund is
sent more than once under its number and its money is owed: what a later try, a full purse
or the operator may mend is unknown for it, and so is what contradicts our books.
"""

from typing import Final

from channels.alipay.outcome import AGAIN, ALARM, ASK, SET_UP, Row, Table, refused, table
from domain.decline import DeclineReason

_NO = refused(DeclineReason.DECLINED)
_LIMIT = refused(DeclineReason.AMOUNT_LIMIT)
_BARRED = refused(DeclineReason.NOT_PERMITTED)

# fmt: off
_QUERY: Final[tuple[Row, ...]] = (
    ("SYSTEM_ERROR", AGAIN, "Alipay is busy. Asking again.", "支付宝系统繁忙，稍后重查"),
    ("INVALID_PARAMETER", ALARM, "Alipay refuses the question: set-up fault.", "查询参数有误，请联系管理员"),
    ("TRADE_NOT_EXIST", ASK, "Alipay does not know this order (yet).", "交易不存在，正在核实"),
    ("ENTERPRISE_PAY_BIZ_ERROR", ASK, "The payer's company account has an error. Checking.", "因公付业务异常，正在核实"),
)

_CANCEL: Final[tuple[Row, ...]] = (
    ("SYSTEM_ERROR", AGAIN, "Alipay is busy. Cancelling again.", "支付宝系统繁忙，稍后重试撤销"),
    ("AQC.SYSTEM_ERROR", AGAIN, "Alipay is busy. Cancelling again.", "支付宝系统繁忙，稍后重试撤销"),
    ("INVALID_PARAMETER", ALARM, "Alipay refuses the cancel: set-up fault.", "撤销参数有误，请联系管理员"),
    ("SELLER_BALANCE_NOT_ENOUGH", AGAIN, "The shop's account lacks the money to give back.", "商户余额不足，充值后自动重试"),
    ("REASON_TRADE_BEEN_FREEZEN", AGAIN, "The trade is frozen. Trying again.", "交易已冻结，稍后重试"),
    # not by cancelling any more: closed while unpaid, refunded whole once paid
    ("TRADE_HAS_FINISHED", _BARRED, "The trade is finished.", "交易已完结"),
    ("TRADE_CANCEL_TIME_OUT", _BARRED, "Too late to cancel.", "超过撤销期限"),
    ("REASON_TRADE_REFUND_FEE_ERR", _BARRED, "A part was refunded before.", "已部分退款，不能撤销"),
    ("CANCEL_NOT_ALLOWED", _BARRED, "Alipay does not allow this cancel.", "不允许撤销"),
)

_CLOSE: Final[tuple[Row, ...]] = (
    ("SYSTEM_ERROR", AGAIN, "Alipay is busy. Closing again.", "支付宝系统繁忙，稍后重试关闭"),
    ("INVALID_PARAMETER", ALARM, "Alipay refuses the close: set-up fault.", "关闭参数有误，请联系管理员"),
    ("TRADE_NOT_EXIST", ASK, "Alipay does not know this order (yet).", "交易不存在，正在核实"),
    ("TRADE_STATUS_ERROR", ASK, "The trade's state forbids it. Checking.", "交易状态不合法，正在核实"),
    ("REASON_TRADE_STATUS_INVALID", ASK, "The trade's state forbids it. Checking.", "交易状态异常，正在核实"),
    ("REASON_ILLEGAL_STATUS", ASK, "The trade's state forbids it. Checking.", "交易状态异常，正在核实"),
)

_REFUND: Final[tuple[Row, ...]] = (
    ("SYSTEM_ERROR", AGAIN, "Alipay is busy. The refund is repeated.", "支付宝系统繁忙，稍后重试退款"),
    ("SELLER_BALANCE_NOT_ENOUGH", AGAIN, "The shop's account lacks the money. Fill it: the refund is repeated.", "商户余额不足，充值后自动重试"),
    ("REFUND_CHARGE_ERROR", AGAIN, "The fee could not be returned. The refund is repeated.", "退收费异常，稍后重试"),
    ("TRADE_NOT_EXIST", ASK, "Alipay does not know this trade. Checking.", "交易不存在，正在核实"),
    ("TRADE_STATUS_ERROR", ASK, "The trade's state forbids it. Checking.", "交易状态非法，正在核实"),
    ("REASON_TRADE_STATUS_INVALID", ASK, "The trade's state forbids it. Checking.", "交易状态异常，正在核实"),
    ("DISCORDANT_REPEAT_REQUEST", ASK, "This refund number was used with another amount. Checking.", "退款单号重复且金额不一致，正在核实"),
    ("TRADE_SETTLE_ERROR", ASK, "The trade's settlement failed. Checking.", "交易结算异常，正在核实"),
    ("REASON_TRADE_REFUND_FEE_ERR", _LIMIT, "More than is left of the payment.", "退款金额超出可退金额"),
    ("REFUND_FEE_ERROR", _LIMIT, "Alipay does not accept this amount.", "退款金额有误"),
    ("REFUND_AMT_NOT_EQUAL_TOTAL", _LIMIT, "Only the whole payment can be refunded.", "只能全额退款"),
    ("ALLOC_AMOUNT_VALIDATE_ERROR", _LIMIT, "The royalty's share does not fit this amount.", "分账金额与退款不符"),
    ("TRADE_HAS_FINISHED", _BARRED, "The trade is finished: too late to refund.", "交易已完结，不可退款"),
    ("TRADE_HAS_CLOSE", _BARRED, "The trade is closed: nothing to refund.", "交易已关闭，不可退款"),
    ("TRADE_NOT_ALLOW_REFUND", _BARRED, "Alipay does not allow a refund of this trade.", "该交易不允许退款"),
    ("NOT_ALLOW_PARTIAL_REFUND", _BARRED, "This trade is refunded whole or not at all.", "该交易不支持部分退款"),
    ("ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND", _BARRED, "A voucher of this trade was used.", "交易中的券已核销，不可退款"),
    ("REASON_TRADE_BEEN_FREEZEN", _BARRED, "The trade is frozen. Ask Alipay.", "交易已冻结，请联系支付宝"),
    ("ENTERPRISE_PAY_BIZ_ERROR", _BARRED, "The payer's company account does not allow it.", "因公付不支持退款"),
    ("CURRENCY_NOT_SUPPORT", _BARRED, "This currency is not taken.", "不支持的币种"),
    ("BUYER_NOT_EXIST", _NO, "The payer is not with Alipay any more.", "买家不存在，请线下退款"),
    ("BUYER_ERROR", _NO, "The payer's account has an error. Give the money back another way.", "买家账户异常，请线下退款"),
    ("BUYER_ENABLE_STATUS_FORBID", _NO, "The payer's account is restricted.", "买家账户受限，请线下退款"),
    ("REFUND_ACCOUNT_NOT_EXIST", _NO, "The payer's account is closed. Give the money back another way.", "退款账户不存在，请线下退款"),
    ("INVALID_PARAMETER", SET_UP, "Alipay refuses the refund: set-up fault.", "退款参数有误，请联系管理员"),
    ("CUSTOMER_VALIDATE_ERROR", SET_UP, "The account could not be verified.", "账户校验失败，请联系管理员"),
    ("USER_NOT_MATCH_ERR", SET_UP, "The trade belongs to another account.", "交易用户不匹配，请联系管理员"),
    ("OVERDRAFT_ASSIGN_ACCOUNT_INVALID", SET_UP, "The account that stands in is wrong.", "垫资账户无效，请联系管理员"),
    ("OVERDRAFT_AGREEMENT_NOT_MATCH", SET_UP, "The agreement to stand in does not fit.", "垫资协议不匹配，请联系管理员"),
    ("REFUND_ROYALTY_PAYEE_ACCOUNT_NOT_EXIST", SET_UP, "An account of the royalty does not exist.", "退分账收款账户不存在，请联系管理员"),
)

_ROYALTY: Final[tuple[Row, ...]] = (
    ("SYSTEM_ERROR", AGAIN, "Alipay is busy. The royalty is repeated.", "支付宝系统繁忙，稍后重试分账"),
    ("FREQUENCY_LIMITED", AGAIN, "Too many at once. The royalty is repeated.", "请求过于频繁，稍后重试"),
    ("TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH", AGAIN, "The account lacks the money.", "账户余额不足，充值后重试"),
    ("ROYALTY_PAYER_ACCOUNT_NO_BALANCE", AGAIN, "The paying account lacks the money.", "分账付款账户余额不足"),
    ("TRADE_SETTLE_ERROR", ASK, "The settlement failed. Checking.", "分账处理失败，正在核实"),
    ("DISCORDANT_REPEAT_REQUEST", ASK, "This number was used with other content. Checking.", "请求号重复且内容不一致，正在核实"),
    ("DUP_OUT_REQUEST_NO", ASK, "This number was used before. Checking.", "请求号重复，正在核实"),
    ("TRADE_NOT_EXIST", ASK, "Alipay does not know this trade. Checking.", "交易不存在，正在核实"),
    ("TRADE_STATUS_ERROR", ASK, "The trade's state forbids it. Checking.", "交易状态非法，正在核实"),
    ("REASON_TRADE_STATUS_INVALID", ASK, "The trade's state forbids it. Checking.", "交易状态异常，正在核实"),
    ("ILLEGAL_SETTLE_STATE", ASK, "The settlement's state forbids it. Checking.", "结算状态异常，正在核实"),
    ("ALLOC_REFUSE_BEFORE_SETTLE", AGAIN, "Not before the trade is settled.", "交易未结算，稍后分账"),
    ("ALLOC_AMOUNT_VALIDATE_ERROR", _LIMIT, "More than may be shared of this trade.", "分账金额超限"),
    ("INVALID_REPLENISH_AMOUNT", _LIMIT, "The amount to be put back is wrong.", "补差金额有误"),
    ("ALLOC_REFUSE_AFTER_REFUND", _BARRED, "The trade was refunded.", "交易已退款，不可分账"),
    ("ASYNC_ALLOC_NOT_SUPPORT_IN_PERIOD", _BARRED, "Not at this time.", "当前时段不支持异步分账"),
    ("MERCHANT_RISK_LIMIT", _BARRED, "Alipay's risk control forbids it.", "商户风险受限"),
    ("USER_ACCOUNT_HAD_FREEZEN", _BARRED, "The account is frozen.", "账户已冻结"),
    ("INVALID_PARAMETER", SET_UP, "Alipay refuses the royalty: set-up fault.", "分账参数有误，请联系管理员"),
    ("ILLEGAL_REQUEST", SET_UP, "Alipay refuses the royalty.", "非法请求，请联系管理员"),
    ("PARTNER_ERROR", SET_UP, "The application is not set up right at Alipay.", "应用配置有误，请联系管理员"),
    ("ACCESS_FORBIDDEN", SET_UP, "Royalty is not open to the shop.", "未开通分账，请联系管理员"),
    ("NOT_SUPPORT_ROYALTY", SET_UP, "This trade may not be shared.", "该交易不支持分账"),
    ("USER_LOGONID_DUP", SET_UP, "The login names two accounts.", "登录账号对应多个用户"),
    ("CUSTOMER_VALIDATE_ERROR", SET_UP, "The account could not be verified.", "账户校验失败，请联系管理员"),
    ("ROYALTY_RECEIVER_INVALID", SET_UP, "The receiver is not bound.", "分账接收方未绑定"),
    ("ROYALTY_ACCOUNT_NOT_EXIST", SET_UP, "The account does not exist.", "分账账户不存在"),
    ("ROYALTY_ACCOUNT_INVALID", SET_UP, "The account cannot be used.", "分账账户无效"),
    ("ROYALTY_ACCOUNTS_EQUAL", SET_UP, "Payer and receiver are the same account.", "分账双方账户相同"),
    ("ROYALTY_ACCOUNT_NAME_NOT_MATCH", SET_UP, "The receiver's name does not fit the account.", "分账账户名称不符"),
    ("ROYALTY_PAYER_ACCOUNT_NOT_EXIST", SET_UP, "The paying account does not exist.", "分账付款账户不存在"),
    ("ROYALTY_PAYER_ACCOUNT_NOT_CERTIFY", SET_UP, "The paying account is not verified.", "分账付款账户未认证"),
    ("ROYALTY_RECEIVER_ACCOUNT_NOT_EXIST", SET_UP, "The receiving account does not exist.", "分账收款账户不存在"),
    ("ROYALTY_RECEIVER_ACCOUNT_NOT_CERTIFY", SET_UP, "The receiving account is not verified.", "分账收款账户未认证"),
    ("ROYALTY_RECEIVER_ACCOUNT_NO_BALANCE", SET_UP, "The receiving account has no balance.", "分账收款账户无余额账户"),
    ("REPLENISH_ACCOUNT_INVALID", SET_UP, "The account that puts back is wrong.", "补差账户无效"),
    ("SETTLE_ENTITY_ID_INVALID", SET_UP, "Who is to be settled is wrong.", "结算主体有误"),
    ("SETTLE_TO_CARD_NOT_SUPPORT", SET_UP, "Settling to a card is not supported.", "不支持结算到卡"),
    ("SETTLE_SCENE_NOT_SUPPORT", SET_UP, "Such a settlement is not supported.", "不支持的结算场景"),
    ("SECONDARY_MERCHANT_ID_INVALID", SET_UP, "The sub-merchant's number is wrong.", "二级商户编号有误"),
    ("MUST_ALLOC_FROM_ROOT_ACCOUNT", SET_UP, "Only the trade's own account may pay.", "须从交易收款账户分账"),
    ("UN_SUPPORT_BIZ_TYPE", SET_UP, "Such a business is not supported.", "不支持的业务类型"),
)

_BILL: Final[tuple[Row, ...]] = (
    ("BILL_NOT_EXIST", ASK, "There is no such bill (yet).", "账单不存在或尚未生成"),
    ("NO_BILL_DATA", ASK, "Nothing happened that day.", "当日无账单数据"),
    ("INVAILID_ARGUMENTS", ALARM, "Alipay refuses the question: set-up fault.", "账单参数有误，请联系管理员"),
    ("UNKNOWN_ERROR", AGAIN, "Alipay is busy. Asking again.", "支付宝系统繁忙，稍后重试"),
)
# fmt: on

QUERY_SUB_CODES: Final[Table] = table(_QUERY)
"""By ``sub_code`` of a 40004 answer to ``query`` and ``fastpay.refund.query``."""
CANCEL_SUB_CODES: Final[Table] = table(_CANCEL)
CLOSE_SUB_CODES: Final[Table] = table(_CLOSE)
REFUND_SUB_CODES: Final[Table] = table(_REFUND)
ROYALTY_SUB_CODES: Final[Table] = table(_ROYALTY)
BILL_SUB_CODES: Final[Table] = table(_BILL, prefix="")
"""By ``sub_code`` of ``bill.downloadurl.query``, with ``isp.`` or ``isv.`` taken off."""

CANCEL_IMPOSSIBLE: Final = frozenset(
    code for code, row in CANCEL_SUB_CODES.items() if row.outcome is _BARRED
)
"""Sub codes of a cancel that no repetition can mend: it is closed or refunded instead."""

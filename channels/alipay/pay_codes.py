"""The sub codes of ``alipay.trade.pay``, and of the orders of ``create`` and ``precreate``.

Rules: see ``codes.py``. Every constant of the vendor's error models of these three methods
(``AlipayTradePayErrorResponseModel`` and its like, OpenAPI document of 2024-08-21) is here;
what speaks of an earlier trade of the same number, or of what comes after a payment, is asked
about.
"""

from typing import Final

from channels.alipay.outcome import ASK, FRESH, SET_UP, Row, Table, refused, table
from domain.decline import DeclineReason

_NO = refused(DeclineReason.DECLINED)
_FUNDS = refused(DeclineReason.INSUFFICIENT_FUNDS)
_LIMIT = refused(DeclineReason.AMOUNT_LIMIT)
_RISK = refused(DeclineReason.RISK)
_BARRED = refused(DeclineReason.NOT_PERMITTED)
_LATE = refused(DeclineReason.NOT_PAID_IN_TIME)

# fmt: off
_TRADE: Final[tuple[Row, ...]] = (
    # what the query decides
    ("SYSTEM_ERROR", ASK, "Alipay is busy. The result is being asked for.", "支付宝系统繁忙，正在查询结果"),
    ("CONTEXT_INCONSISTENT", ASK, "This number was used with other content. Checking.", "订单号重复且内容不一致，正在核实"),
    ("TRADE_HAS_SUCCESS", ASK, "This number was paid before. Checking.", "该订单已支付，正在核实"),
    ("TRADE_HAS_CLOSE", ASK, "This number was closed before. Checking.", "该订单已关闭，正在核实"),
    ("TRADE_BUYER_NOT_MATCH", ASK, "This number belongs to another payer. Checking.", "该订单属于其他买家，正在核实"),
    ("TRADE_SETTLE_ERROR", ASK, "Its settlement failed at Alipay. Checking.", "交易结算异常，正在核实"),
    # the payer
    ("BUYER_BALANCE_NOT_ENOUGH", _FUNDS, "Alipay balance too low. Pay another way.", "支付宝余额不足，请更换支付方式"),
    ("BUYER_BANKCARD_BALANCE_NOT_ENOUGH", _FUNDS, "The bank card has not enough money. Pay another way.", "银行卡余额不足，请更换支付方式"),
    ("BUYER_SELLER_EQUAL", _BARRED, "Payer and shop are the same Alipay account.", "买卖家不能是同一账户"),
    ("BUYER_ENABLE_STATUS_FORBID", _BARRED, "The payer's Alipay account is restricted.", "买家账户状态受限，请联系支付宝"),
    ("BUYER_NOT_EXIST", _NO, "Alipay does not know this payer.", "买家不存在，请更换支付方式"),
    ("PAYER_UNMATCHED", _BARRED, "Another payer is demanded for this order.", "付款人不符，请核实付款人"),
    ("BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", _LIMIT, "The payer's daily limit is used up.", "买家当日付款额度已用完"),
    ("BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR", _LIMIT, "The payer's monthly limit is used up.", "买家当月付款额度已用完"),
    ("ERROR_BUYER_CERTIFY_LEVEL_LIMIT", _BARRED, "The payer must verify the identity in Alipay first.", "买家未完成身份认证，请先认证"),
    ("USER_LOGONID_DUP", _BARRED, "The login names two accounts. Name the account itself.", "登录账号对应多个用户，请改用用户号"),
    ("INVALID_RECEIVE_ACCOUNT", SET_UP, "The receiving account is not open for this.", "收款账户未开通，请联系管理员"),
    # the amount and the shop's limits
    ("TOTAL_FEE_EXCEED", _LIMIT, "The amount is above what Alipay takes at once.", "订单金额超出限额"),
    ("BEYOND_PER_RECEIPT_SINGLE_RESTRICTION", _LIMIT, "Above the shop's limit for one payment.", "超出商户单笔收款限额"),
    ("MERCHANT_PERM_RECEIPT_SINGLE_LIMIT", _LIMIT, "Above the shop's limit for one payment at Alipay.", "超出商户单笔收款额度"),
    ("MERCHANT_PERM_RECEIPT_DAY_LIMIT", _LIMIT, "The shop's daily limit at Alipay is used up.", "商户当日收款额度已用完"),
    # the shop's set-up
    ("INVALID_PARAMETER", SET_UP, "Alipay refuses the request: set-up fault.", "请求参数有误，请联系管理员"),
    ("ACCESS_FORBIDDEN", SET_UP, "This product is not open to the shop at Alipay.", "未开通该支付产品，请联系管理员"),
    ("EXIST_FORBIDDEN_WORD", _BARRED, "The name of the goods holds a forbidden word.", "商品名称含违禁词，请修改"),
    ("PARTNER_ERROR", SET_UP, "The application is not set up right at Alipay.", "应用配置有误，请联系管理员"),
    ("SELLER_BEEN_BLOCKED", SET_UP, "The shop is blocked at Alipay.", "商户已被冻结，请联系支付宝"),
    ("SELLER_NOT_EXIST", SET_UP, "Alipay does not know this shop.", "收款商户不存在，请联系管理员"),
    ("INVALID_STORE_ID", SET_UP, "Alipay does not know this store number.", "门店编号无效，请联系管理员"),
    ("SUB_MERCHANT_CREATE_FAIL", SET_UP, "The sub-merchant could not be made.", "二级商户创建失败，请联系管理员"),
    ("SUB_MERCHANT_TYPE_INVALID", SET_UP, "The sub-merchant's type is wrong.", "二级商户类型有误，请联系管理员"),
    ("MERCHANT_STATUS_NOT_NORMAL", SET_UP, "The shop's contract with Alipay is not in force.", "商户协议状态异常，请联系管理员"),
    ("SECONDARY_MERCHANT_STATUS_ERROR", SET_UP, "The sub-merchant's state forbids payments.", "二级商户状态异常，请联系管理员"),
    ("SECONDARY_MERCHANT_ID_INVALID", SET_UP, "The sub-merchant's number is wrong.", "二级商户编号有误，请联系管理员"),
    ("SECONDARY_MERCHANT_ID_BLANK", SET_UP, "The sub-merchant's number is missing.", "缺少二级商户编号，请联系管理员"),
    ("SECONDARY_MERCHANT_NOT_MATCH", SET_UP, "The sub-merchant is not this shop's.", "二级商户与商户不匹配，请联系管理员"),
    ("SECONDARY_MERCHANT_ALIPAY_ACCOUNT_INVALID", SET_UP, "The sub-merchant's Alipay account cannot be used.", "二级商户账户异常，请联系管理员"),
    ("SECONDARY_MERCHANT_ISV_PUNISH_INDIRECT", SET_UP, "The service provider is barred from indirect payments.", "服务商受限，请联系管理员"),
    ("PLATFORM_BUSINESS_ACQUIRE_MODE_MUST_MERCHANT_ID", SET_UP, "A platform must name its sub-merchant.", "平台商户须传二级商户编号"),
    ("MERCHANT_PERM_RECEIPT_SUSPEND_LIMIT", SET_UP, "Alipay has suspended the shop's takings.", "商户收款权限已暂停，请联系支付宝"),
    ("RISK_MERCHANT_IP_NOT_EXIST", SET_UP, "Alipay wants the shop's network address.", "缺少商户网络地址，请联系管理员"),
    ("SUB_GOODS_SIZE_MAX_COUNT", SET_UP, "Too many goods in one order.", "商品明细数量超限"),
    ("NOT_SUPPORT_PAYMENT_INST", _NO, "This way of paying is not supported here.", "不支持该支付方式，请更换"),
    ("NOW_TIME_AFTER_EXPIRE_TIME_ERROR", _LATE, "The order's time is over. Start again.", "订单已超时，请重新下单"),
)

_PAY_ONLY: Final[tuple[Row, ...]] = (
    ("TRADE_STATUS_ERROR", ASK, "The trade's state forbids it. Checking.", "交易状态异常，正在核实"),
    ("PAYMENT_AUTH_CODE_INVALID", FRESH, "Code expired or used. Scan a fresh code.", "付款码已失效，请刷新后重新扫码"),
    ("PAYMENT_FAIL", _NO, "The payment failed. Try again or pay another way.", "支付失败，请重试或更换支付方式"),
    ("PULL_MOBILE_CASHIER_FAIL", _NO, "The payer's phone could not be reached. Scan again.", "唤起付款失败，请重新扫码"),
    ("PAYMENT_REQUEST_HAS_RISK", _RISK, "Alipay's risk control refused. Pay another way.", "支付有风险，请更换支付方式"),
    ("NO_PAYMENT_INSTRUMENTS_AVAILABLE", _NO, "The payer has no way of paying that may be used here.", "没有可用的支付工具，请更换支付方式"),
    ("ERROR_BALANCE_PAYMENT_DISABLE", _BARRED, "The payer has switched balance payments off.", "买家已关闭余额支付"),
    ("MOBILE_PAYMENT_SWITCH_OFF", _BARRED, "The payer has switched mobile payments off.", "买家已关闭无线支付"),
    ("USER_FACE_PAYMENT_SWITCH_OFF", _BARRED, "The payer has switched payment codes off.", "买家已关闭当面付"),
    ("BUYER_NOT_MAINLAND_CERT", _BARRED, "For payers with mainland identity papers only.", "仅限内地实名用户支付"),
    ("NOT_CERTIFIED_USER", _BARRED, "The payer must verify the identity with Alipay first.", "买家未实名，请先完成实名认证"),
    ("SMILE_PAY_MERCHANT_NOT_MATCH", SET_UP, "The face was taken for another shop.", "刷脸商户不匹配，请联系管理员"),
    ("AUTH_TOKEN_IS_NOT_EXIST", FRESH, "The face token is gone. Begin again.", "刷脸凭证失效，请重新刷脸"),
    ("UN_SUPPORT_TRADE_SCENE", _BARRED, "Alipay does not take such a payment here.", "不支持的支付场景"),
    ("CURRENCY_NOT_SUPPORT", _BARRED, "This currency is not taken.", "不支持的币种"),
    ("AMOUNT_OR_CURRENCY_ERROR", SET_UP, "Amount or currency is not right.", "金额或币种有误，请联系管理员"),
    ("BEYOND_PAY_RESTRICTION", _LIMIT, "The shop's takings are at their limit.", "商户收款额度超限"),
    ("BEYOND_PER_RECEIPT_RESTRICTION", _LIMIT, "The shop's takings are at their limit for now.", "商户收款金额超出月限额"),
    ("BEYOND_PER_RECEIPT_DAY_RESTRICTION", _LIMIT, "The shop's takings of the day are at their limit.", "商户收款金额超出日限额"),
    ("PRODUCT_AMOUNT_LIMIT_ERROR", _LIMIT, "Above what this product takes.", "超出产品限额"),
    ("REQUEST_AMOUNT_EXCEED", _LIMIT, "Above the amount that may be asked for.", "请求金额超限"),
    ("RESTRICTED_MERCHANT_INDUSTRY", SET_UP, "The shop's trade is restricted at Alipay.", "商户行业受限，请联系支付宝"),
    ("MERCHANT_AGREEMENT_NOT_EXIST", SET_UP, "The shop has no contract for this product.", "商户未签约该产品，请联系管理员"),
    ("MERCHANT_AGREEMENT_INVALID", SET_UP, "The shop's contract for this product is over.", "商户签约已失效，请联系管理员"),
    ("ROYALTY_ACCOUNT_NOT_EXIST", SET_UP, "An account of the royalty does not exist.", "分账账户不存在，请联系管理员"),
    ("CERT_EXPIRED", SET_UP, "The payer's certificate is over.", "证件已过期，请联系管理员"),
    ("CARD_USER_NOT_MATCH", _BARRED, "The card is not the payer's.", "卡与付款人不匹配"),
    ("CARD_TYPE_ERROR", _BARRED, "This kind of card is not taken.", "卡类型不支持"),
    # of products that a payment by code does not use: refused before anything is charged
    ("AGREEMENT_NOT_EXIST", SET_UP, "There is no such agreement with the payer.", "用户签约不存在，请联系管理员"),
    ("AGREEMENT_INVALID", SET_UP, "The agreement with the payer is over.", "用户签约已失效，请联系管理员"),
    ("AGREEMENT_STATUS_NOT_NORMAL", SET_UP, "The agreement with the payer is not in force.", "用户签约状态异常，请联系管理员"),
    ("AGREEMENT_ERROR", SET_UP, "The agreement with the payer is not right.", "签约信息有误，请联系管理员"),
    ("MERCHANT_UNSUPPORT_ADVANCE", SET_UP, "The shop may not pay in advance.", "商户不支持垫资"),
    ("BUYER_UNSUPPORT_ADVANCE", _BARRED, "The payer may not pay in advance.", "买家不支持垫资"),
    ("ORDER_UNSUPPORT_ADVANCE", SET_UP, "The order may not be paid in advance.", "订单不支持垫资"),
    ("CYCLE_PAY_DATE_NOT_MATCH", SET_UP, "Not the day of this recurring payment.", "未到周期扣款日期"),
    ("CYCLE_PAY_SINGLE_FEE_EXCEED", _LIMIT, "Above the limit of one recurring payment.", "周期扣款单笔金额超限"),
    ("CYCLE_PAY_TOTAL_FEE_EXCEED", _LIMIT, "Above the limit of all recurring payments.", "周期扣款总金额超限"),
    ("CYCLE_PAY_TOTAL_TIMES_EXCEED", _LIMIT, "More recurring payments than agreed.", "周期扣款次数超限"),
    ("AUTH_NO_ERROR", SET_UP, "The number of the pre-authorisation is wrong.", "预授权号有误，请联系管理员"),
    ("AUTH_AMOUNT_NOT_ENOUGH", _FUNDS, "The pre-authorisation does not hold so much.", "预授权余额不足"),
    ("AUTH_ORDER_NOT_PAID", SET_UP, "The pre-authorisation was not made.", "预授权订单未支付"),
    ("AUTH_ORDER_HAS_FINISHED", SET_UP, "The pre-authorisation is used up.", "预授权订单已完结"),
    ("AUTH_ORDER_HAS_CLOSED", SET_UP, "The pre-authorisation is closed.", "预授权订单已关闭"),
    ("PRE_AUTH_PROD_CODE_INCONSISTENT", SET_UP, "Not the product of the pre-authorisation.", "预授权产品码不一致"),
    ("ZM_AUTH_AMOUNT_EXCEED", _LIMIT, "Above what the credit agreement allows.", "超出信用授权金额"),
    ("ZM_CREDIT_AUTH_FAIL", _NO, "The credit agreement was refused.", "信用授权失败"),
    ("ZM_AUTH_RULE_LIMIT", _LIMIT, "A rule of the credit agreement forbids it.", "信用授权规则限制"),
    ("OVER_MAX_DEDUCT_COUNT", _LIMIT, "More deductions than agreed.", "扣款次数超限"),
    ("OVER_MAX_UNDER_WAY_DEDUCT_COUNT", _LIMIT, "Too many deductions under way.", "进行中的扣款过多"),
    ("OVER_DEDUCT_PERIOD", SET_UP, "Outside the agreed time of deductions.", "不在扣款有效期内"),
    ("OVER_MERCHANT_DAILY_DEDUCT_AMOUNT", _LIMIT, "The shop's daily deductions are at their limit.", "商户当日扣款金额超限"),
)

_ORDER_ONLY: Final[tuple[Row, ...]] = (
    ("BEYOND_PAY_RESTRICTION", _LIMIT, "The shop's takings are at their limit.", "商户收款额度超限"),
    ("BEYOND_PER_RECEIPT_RESTRICTION", _LIMIT, "The shop's takings are at their limit for now.", "商户收款金额超出月限额"),
    ("BEYOND_PER_RECEIPT_DAY_RESTRICTION", _LIMIT, "The shop's takings of the day are at their limit.", "商户收款金额超出日限额"),
    ("APPLY_PC_MERCHANT_CODE_ERROR", SET_UP, "Alipay could not make the code.", "二维码申请失败，请联系管理员"),
    ("DEFAULT_SETTLE_RULE_NOT_EXIST", SET_UP, "The sub-merchant has no rule of settlement.", "未配置结算规则，请联系管理员"),
    ("ILLEGAL_ARGUMENT", SET_UP, "Alipay refuses the request: an argument is wrong.", "参数有误，请联系管理员"),
    ("CUSTOMER_VALIDATE_ERROR", SET_UP, "The account could not be verified.", "账户校验失败，请联系管理员"),
    ("SECONDARY_MERCHANT_CARD_ALIAS_NO_INVALID", SET_UP, "The sub-merchant's settlement card is wrong.", "二级商户结算卡有误，请联系管理员"),
    ("ERROR_SELLER_CERTIFY_LEVEL_LIMIT", SET_UP, "The shop must verify its identity at Alipay.", "商户未完成认证，请联系管理员"),
    ("STORE_INFO_INVALID", SET_UP, "What is said of the store is wrong.", "门店信息有误，请联系管理员"),
    ("OPEN_ID_NOT_TINY_APP", SET_UP, "The payer's id is not of this application.", "用户标识与应用不符，请联系管理员"),
    ("BIZ_PRODUCT_NOT_ALLOWED", SET_UP, "This product may not be used here.", "产品不可用，请联系管理员"),
    ("UNBOUND_APPLICATION", SET_UP, "The application is not bound to the shop.", "应用未绑定商户，请联系管理员"),
    ("PRODUCT_NOT_SUPPORT_IN_TINY_APP", SET_UP, "This product is not for mini programs.", "小程序不支持该产品，请联系管理员"),
)
# fmt: on

PAY_SUB_CODES: Final[Table] = table((*_TRADE, *_PAY_ONLY))
"""By ``sub_code`` of a 40004 answer to ``alipay.trade.pay``."""
ORDER_SUB_CODES: Final[Table] = table((*_TRADE, *_ORDER_ONLY))
"""By ``sub_code`` of a 40004 answer to ``create`` or ``precreate``."""

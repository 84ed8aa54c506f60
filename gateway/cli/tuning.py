"""What an installation of one's own is made for; the defaults are the demo's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """See the module. Names that start with a channel's are settings of its account."""

    store_url: str = "sqlite:///posgate.db"
    till_wait_s: float = 45
    log_level: str = "info"
    tls: bool = True
    user_paying_after_s: float = 8
    recovery_interval_s: float = 0.5
    alipay_timeout_s: str = "5"
    alipay_query_after_s: str = "2,2,2,3,3,3"
    alipay_refund_retry_s: str = "2,5,15,60,300"
    alipay_calls_per_s: str = "0"
    alipay_notify_url: str = ""
    card_timeout_s: str = "4"
    unionpay_qr_timeout_s: str = "5"
    unionpay_qr_query_after_s: str = "1,2,4,8,16,32"
    unionpay_qr_refund_retry_s: str = "1,2,4,8,16,32,300"
    wechat_timeout_s: str = "5"
    wechat_query_after_s: str = "2,2,3,3,5"
    wechat_undo_retry_s: str = "2,4,8"
    wechat_undo_not_before_s: float = 5
    wechat_prompt_s: float = 30
    wechat_notify_url: str = ""

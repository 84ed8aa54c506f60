"""The sub codes of who a payer is (``oauth.token``) and of a face (``smilepay.initialize``).

Rules: see ``codes.py``. Every constant of the vendor's error models of these two methods (OpenAPI
document of 2024-08-21) is here. Neither moves money: what a new code, or a new face, may mend is
a no, and whatever no table knows is unknown.
"""

from typing import Final

from channels.alipay.outcome import AGAIN, FRESH, SET_UP, Row, Table, refused, table
from domain.decline import DeclineReason

_NO = refused(DeclineReason.DECLINED)

# fmt: off
_PAYER: Final[tuple[Row, ...]] = (
    ("isv.code-invalid", FRESH, "Used or too old. Open the page again.", "授权已失效，请重新打开页面"),
    ("isv.grant-type-invalid", SET_UP, "Alipay refuses the question: set-up fault.", "授权方式有误，请联系管理员"),
    ("isv.refresh-token-invalid", SET_UP, "Alipay refuses the question: set-up fault.", "刷新令牌无效，请联系管理员"),
    ("isv.refresh-token-time-out", SET_UP, "Alipay refuses the question: set-up fault.", "刷新令牌过期，请联系管理员"),
    ("isv.refreshed-token-invalid", SET_UP, "Alipay refuses the question: set-up fault.", "刷新令牌失效，请联系管理员"),
    ("isv.unmatched-app-id", SET_UP, "The authorisation is another application's.", "授权与应用不符，请联系管理员"),
    ("isp.unknow-error", AGAIN, "Alipay is busy. Open the page again.", "支付宝系统繁忙，请重新打开页面"),
)

_FACE: Final[tuple[Row, ...]] = (
    ("SYSTEM_ERROR", AGAIN, "Alipay is busy. Begin again.", "支付宝系统繁忙，请重新刷脸"),
    ("INVALID_PARAMETER", SET_UP, "Alipay refuses what the device said: set-up fault.", "刷脸参数有误，请联系管理员"),
    ("BIZ_ERROR", _NO, "The face could not be begun. Pay another way.", "刷脸失败，请更换支付方式"),
    ("MACHINE_SERVICE_SUSPEND", SET_UP, "The device's service is suspended at Alipay.", "刷脸设备已停用，请联系管理员"),
    ("BIZ_ID_REPEAT", _NO, "It was begun before. Begin again.", "刷脸请求重复，请重新刷脸"),
)
# fmt: on

PAYER_SUB_CODES: Final[Table] = table(_PAYER, prefix="")
"""By ``sub_code`` of ``alipay.system.oauth.token``, whatever its ``code``."""
FACE_SUB_CODES: Final[Table] = table(_FACE)
"""By ``sub_code`` of a 40004 answer to ``smilepay.initialize``."""

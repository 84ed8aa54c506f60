"""WeChat's codes about a payer before one pays: whose code, whose page, leave for a face.

Rules: nothing here moves money, and none of these codes ends a payment: each is told as it
came, and what no table knows is counted. Sources as of ``codes.py``; the numbers are those of
公众平台's 全局返回码 that its page about ``oauth2/access_token`` may say.
"""

from typing import Final

from channels.wechat.codes import BUSY_V2, SET_UP_V2

OPENID_V2: Final = frozenset(
    {*BUSY_V2, *SET_UP_V2, "AUTH_CODE_INVALID", "AUTHCODEEXPIRE", "AUTH_CODE_ERROR"}
)
"""By ``err_code`` of ``authcodetoopenid``."""

FACE_V2: Final = frozenset({*BUSY_V2, *SET_UP_V2, "INVALID_REQUEST"})
"""By ``err_code`` of ``get_wxpayface_authinfo``."""

OAUTH: Final = frozenset(
    {
        "-1",  # busy
        "40001",  # the secret is wrong
        "40013",  # the application's id is wrong
        "40029",  # the code is none
        "40125",  # the secret is wrong
        "40163",  # the code was used
        "40226",  # the payer is blocked
        "41002",  # no application's id
        "41004",  # no secret
        "41008",  # no code
        "42003",  # the code is too old
        "45011",  # asked too often
        "50002",  # the payer may not
    }
)
"""By ``errcode`` of the exchange of a page's code."""

"""WeChat Pay's platform certificates: asked for, opened, verified, kept fresh. Pure.

Rules (reference ``channels.md`` B2): the list is encrypted with the APIv3 key, so that only
WeChat Pay and we can have made it, and it is signed under one of the certificates that it
holds or that we hold already. A list of which one does not open or does not fit is refused as
a whole. What has expired, or is not valid yet, is left out. Certificates of the national
algorithms must be asked for: without ``algorithm_type`` the list has RSA's alone (the
vendor's page 获取国家商用密码证书和密钥).
"""

import math
from collections.abc import Mapping
from typing import Final

from channels.port import HttpRequest, HttpResponse
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.texts import v3_time_ms
from channels.wechat.v3 import (
    CERTIFICATES,
    Distrusted,
    Fields,
    Stamped,
    json_object,
    request_of,
    text_of,
)
from signing.wechat import (
    SM_SCHEME,
    PlatformKey,
    Stamp,
    WechatCipherError,
    WechatKeyError,
    WechatSignatureError,
    certificate_key,
    normal_serial,
    open_resource,
    verify_message,
)

_MOST_CERTIFICATES: Final = 32
_NATIONAL: Final = "algorithm_type=SM2"


def build_certificates(account: WechatAccount, keys: PlatformKeys, stamped: Stamped) -> HttpRequest:
    """The list of those that are valid now, of the algorithms that the account signs with."""
    query = _NATIONAL if account.key.scheme == SM_SCHEME else ""
    return request_of(CERTIFICATES, {}, account, keys, stamped, query=query)


def read_certificates(
    response: HttpResponse, account: WechatAccount, keys: PlatformKeys, now_ms: int
) -> Mapping[str, PlatformKey]:
    """The keys of the certificates that are valid now, by serial; who lives longest first.

    Raises:
        Distrusted: it is not such a list, or not WeChat Pay's.
    """
    if response.status != 200:
        raise Distrusted("no list of certificates", f"HTTP {response.status}")
    listed = json_object(response.body).get("data")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_CERTIFICATES:
        raise Distrusted("no list of certificates")
    opened: dict[str, PlatformKey] = {}
    valid: list[tuple[float, str]] = []
    for entry in listed:
        if not isinstance(entry, dict):
            raise Distrusted("no list of certificates")
        serial, key = _opened(entry, account)
        opened[serial] = key
        ends_ms = _ends_ms(entry, now_ms)
        if ends_ms:
            valid.append((ends_ms, serial))
    try:
        stamp = Stamp.of(response.headers)
        verify_message(stamp, response.body, {**keys.known, **opened}, now_ms)
    except WechatSignatureError as fault:
        raise Distrusted(str(fault)) from None
    if not valid:
        raise Distrusted("no certificate is valid now")
    valid.sort(reverse=True)
    return {serial: opened[serial] for _, serial in valid}


def _opened(entry: Fields, account: WechatAccount) -> tuple[str, PlatformKey]:
    sealed = entry.get("encrypt_certificate")
    try:
        pem = open_resource(sealed if isinstance(sealed, dict) else {}, account.apiv3_key)
        serial, key = certificate_key(pem, account.key.scheme)
    except (WechatCipherError, WechatKeyError) as fault:
        raise Distrusted(str(fault), misconfigured=True) from None
    if normal_serial(text_of(entry, "serial_no")) != serial:
        raise Distrusted("a certificate under another's serial")
    return serial, key


def _ends_ms(entry: Fields, now_ms: int) -> float:
    """When it ends, by the times beside it (one that is missing bounds nothing); 0: not valid."""
    begins_ms = v3_time_ms(text_of(entry, "effective_time"))
    ends_ms = v3_time_ms(text_of(entry, "expire_time")) or math.inf
    return ends_ms if begins_ms <= now_ms < ends_ms else 0

"""Paying by face at the simulated Alipay: a device begins, a token pays once.

Rules (reference ``channels.md`` A3): ``smilepay.initialize`` takes the device SDK's
``zimmetainfo`` and answers a ``zimId`` for it. What the camera would do is left out:
:func:`ftoken_of` says which token comes of a ``zimId``. A token is ``fp`` and 33 characters,
good once and for three minutes; ``ftoken.query`` looks at it without paying.
"""

import hashlib
from typing import Final

import orjson

from sandbox.alipay_books import BooksFull
from sandbox.alipay_calls import Biz, Node, Refusal, success, text

FACE_PAYER: Final = "2088102100000007"
"""Whose face it always is."""
_LIFE_MS: Final = 180_000
_META: Final = frozenset(("apdidToken", "appName", "appVersion", "bioMetaInfo"))


def ftoken_of(zim_id: str) -> str:
    """The token that the device's SDK hands out after the camera saw a face."""
    return f"fp{hashlib.sha256(zim_id.encode()).hexdigest()[:33]}"


class Faces:
    """Tokens by what they are, until when, and whether they paid; bounded."""

    def __init__(self, max_faces: int) -> None:
        self._max = max_faces
        self._until_ms: dict[str, int] = {}
        self._used_by: dict[str, str] = {}

    def initialize(self, biz: Biz, now_ms: int) -> Node:
        """``zoloz.authentication.customer.smilepay.initialize``."""
        try:
            meta = orjson.loads(text(biz, "zimmetainfo"))
        except orjson.JSONDecodeError:
            meta = None
        if not isinstance(meta, dict) or not meta.keys() >= _META:
            raise Refusal("INVALID_PARAMETER", "zimmetainfo 不正确")
        if len(self._until_ms) >= self._max:
            raise BooksFull
        serial = f"{len(self._until_ms)}{now_ms}{meta['apdidToken']}"
        zim_id = hashlib.sha256(serial.encode()).hexdigest()[:32]
        self._until_ms[ftoken_of(zim_id)] = now_ms + _LIFE_MS
        result = {"zimId": zim_id, "type": "zimInit", "zimInitClientData": "{}"}
        return {**success(), "result": orjson.dumps(result).decode()}

    def query(self, biz: Biz, now_ms: int) -> Node:
        """``zoloz.authentication.customer.ftoken.query``."""
        token = text(biz, "ftoken")
        why = self._refuses(token, "", now_ms)
        if why:
            raise Refusal(why, "ftoken 不可用")
        return {**success(), "uid": FACE_PAYER}

    def use(self, token: str, out_trade_no: str, now_ms: int) -> bool:
        """Whether this order may be paid with the token, now and again."""
        if self._refuses(token, out_trade_no, now_ms):
            return False
        self._used_by[token] = out_trade_no
        return True

    def _refuses(self, token: str, out_trade_no: str, now_ms: int) -> str:
        if token not in self._until_ms:
            return "FTOKEN_INVALID"
        if self._used_by.get(token, out_trade_no) != out_trade_no:
            return "TOKEN_CONSUMED"
        return "TOKEN_EXPIRED" if now_ms > self._until_ms[token] else ""

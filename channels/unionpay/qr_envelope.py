"""The envelope of every ACP call: a signed form out, a verified answer in. Pure.

Rules (reference ``channels.md`` C1):

* An answer is a form *without* URL encoding, where ``&`` inside braces is part of a
  value; a notification is an ordinary form. A name comes once in either.
* An answer is believed only after its signature verified (``signing/unionpay.py``), and
  it must name our merchant, this order and this time: the signature alone says only that
  UnionPay said it once, to somebody.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from channels.port import HttpRequest, HttpResponse
from channels.unionpay.qr_codes import MISCONFIGURED
from signing.unionpay import VERSION, AcpSignatureError, Signing

BACK_PATH: Final = "/gateway/api/backTransReq.do"
QUERY_PATH: Final = "/gateway/api/queryTrans.do"
APP_PATH: Final = "/gateway/api/newAppTransReq.do"
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")
_MARKS: Final = re.compile(r"[&{}\[\]]")
_MAX_PARAMETERS: Final = 128

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AcpAccount:
    """A merchant at UnionPay's ACP; ``access`` is what an acquirer adds to every request."""

    base_url: str
    file_url: str
    mer_id: str
    signing: Signing
    timeout_s: float
    back_url: str = ""
    front_url: str = ""
    terminal_id: str = ""
    term_info: str = ""
    channel_type: str = "08"
    access: Fields
    app_up_identifier: str = ""
    authorise_url: str = ""


class Distrusted(Exception):
    """The answer cannot be believed; ``code`` is what it claims, for the log."""

    def __init__(self, why: str, code: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.code = code

    @property
    def misconfigured(self) -> bool:
        """Whether it claims that our request was refused as a whole."""
        return self.code in MISCONFIGURED


def request_of(url: str, params: Fields, account: AcpAccount) -> HttpRequest:
    """A call, signed."""
    complete = {
        "version": VERSION,
        "encoding": "UTF-8",
        **account.access,
        "merId": account.mer_id,
        **{name: value for name, value in params.items() if value},
    }
    form = urlencode(account.signing.signed(complete))
    return HttpRequest(
        method="POST",
        url=url,
        headers=_HEADERS,
        body=form.encode("ascii"),
        timeout_s=account.timeout_s,
    )


def verified(response: HttpResponse, account: AcpAccount, asked: Fields, now_ms: int) -> Fields:
    """The fields of a believable answer that repeats every field of ``asked``.

    Raises:
        Distrusted: it cannot be believed, or answers something else.
    """
    if response.status != 200:
        raise Distrusted("no answer of UnionPay's gateway", f"HTTP {response.status}")
    fields = answer_fields(response.body)
    check(fields, account, now_ms)
    for name, value in asked.items():
        if fields.get(name) != value:
            raise Distrusted(f"the answer's {name} is not ours")
    return fields


def check(fields: Fields, account: AcpAccount, now_ms: int) -> None:
    """Raise :class:`Distrusted` unless UnionPay signed it, for our merchant."""
    try:
        account.signing.verify(fields, now_ms)
    except AcpSignatureError as fault:
        raise Distrusted(str(fault), _claimed_code(fields)) from None
    if fields.get("merId") != account.mer_id:
        raise Distrusted("the answer is for another merchant")


def answer_fields(body: bytes) -> dict[str, str]:
    """A body as ACP answers it, not URL-encoded; raises :class:`Distrusted`."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Distrusted("the answer is not UTF-8") from None
    pairs = [pair.partition("=") for pair in _pairs(text)]
    return _named([(name, value) for name, equals, value in pairs if equals], len(pairs))


def form_fields(body: bytes) -> dict[str, str]:
    """A URL-encoded form, as a notification is; raises :class:`Distrusted`."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:  # UnicodeDecodeError is one
        raise Distrusted("not a form") from None
    return _named(pairs, len(pairs))


def _pairs(text: str) -> list[str]:
    """``text`` cut at each ``&`` that is in no braces."""
    if "{" not in text and "[" not in text:
        return text.split("&")
    pairs, depth, start = [], 0, 0
    for mark in _MARKS.finditer(text):
        match mark[0]:
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth = max(0, depth - 1)
            case _ if depth == 0:
                pairs.append(text[start : mark.start()])
                start = mark.end()
    return [*pairs, text[start:]]


def _named(pairs: list[tuple[str, str]], count: int) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) != count or "" in fields:
        raise Distrusted("the answer is malformed")
    if count > _MAX_PARAMETERS:
        raise Distrusted("the answer has too many parameters")
    return fields


def _claimed_code(fields: Fields) -> str:
    """The code that an answer without a good signature claims: for alarms, never believed."""
    code = fields.get("respCode", "")
    return code if len(code) == 2 and code.isascii() and code.isalnum() else ""


def message_of(fields: Fields) -> str:
    """UnionPay's words; digits long enough to be a payment code are taken out."""
    words = fields.get("origRespMsg") or fields.get("respMsg", "")
    return _LONG_NUMBER.sub("…", words)[:200]

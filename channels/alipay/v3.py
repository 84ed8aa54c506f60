"""Alipay's REST protocol (version 3) as another dress of the same calls and answers. Pure.

Rules (reference ``channels.md`` A2):

* A method's name is its path; all are POST but the bill's. What version 2 says in its form
  (``notify_url``, token, certificate) is said in body or headers.
* An answer is believed after its signature verified over the raw bytes. Its status is not
  signed, so it proves nothing: a body that names a code is a refusal whatever the status
  says, and a 5xx is no answer.
* Answers are turned into the members that version 2 answers with, so that one table and one
  reader serve both: ``code`` 10000 for a success, 40004 with the code as ``sub_code`` for the
  vendor's own codes. Codes of the gateway itself are none of a table: unknown.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

import orjson

from channels.alipay.account import AlipayAccount
from channels.alipay.codes import BUSINESS_FAILED, SUCCESS
from channels.alipay.distrust import Distrusted
from channels.port import HttpRequest, HttpResponse
from signing.alipay import AlipaySignatureError
from signing.alipay_aes import AesError, decrypt, encrypt
from signing.alipay_v3 import V3Request, authorization, verify_answer

_BY_GET: Final = frozenset({"alipay.data.dataservice.bill.downloadurl.query"})
_CODE_OF_V2: Final = re.compile(r"[0-9]{5}")
_VENDOR_CODE: Final = re.compile(r"(ACQ\.|AQC\.)?[A-Z][A-Z0-9_]*")


def request_v3(
    method: str,
    content: Mapping[str, object],
    account: AlipayAccount,
    now_ms: int,
    nonce: str,
    notify_url: str,
) -> HttpRequest:
    """A call of ``method``, signed; ``nonce`` is fresh with every request."""
    verb, uri, body = _written(method, content, notify_url)
    headers = {"alipay-request-id": nonce}
    if body:
        headers["content-type"] = "application/json"
    if account.aes_key and body:
        body = encrypt(account.aes_key, body).encode("ascii")
        headers |= {"content-type": "text/plain", "alipay-encrypt-type": "AES"}
    if account.root_cert_sn:
        headers["alipay-root-cert-sn"] = account.root_cert_sn
    if account.app_auth_token:
        headers["alipay-app-auth-token"] = account.app_auth_token
    signed = V3Request(
        method=verb,
        uri=uri,
        body=body,
        app_id=account.app_id,
        nonce=nonce,
        timestamp_ms=now_ms,
        app_cert_sn=account.app_cert_sn,
        app_auth_token=account.app_auth_token,
    )
    headers["authorization"] = authorization(signed, account.private_key)
    place = urlsplit(account.gateway_url)
    return HttpRequest(
        method=verb,
        url=f"{place.scheme}://{place.netloc}{uri}",
        headers=headers,
        body=body,
        timeout_s=account.timeout_s,
    )


def _written(method: str, content: Mapping[str, object], notify_url: str) -> tuple[str, str, bytes]:
    """Verb, path and body, not yet encrypted; a question by GET has it all in its path."""
    uri = f"/v3/{method.replace('.', '/')}"
    if method in _BY_GET:
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in content.items())
        return "GET", f"{uri}?{query}", b""
    said = {**content, "notify_url": notify_url} if notify_url else content
    return "POST", uri, orjson.dumps(said)


def fields_v3(response: HttpResponse, account: AlipayAccount) -> dict[str, object]:
    """The verified members of an answer, as version 2 would write them.

    Raises:
        Distrusted: no answer, not signed by Alipay, or not an object.
    """
    if response.status >= 500 or response.status < 200:
        raise Distrusted("no answer of Alipay's gateway", f"HTTP {response.status}")
    try:
        verify_answer(response.headers, response.body, account.alipay_keys)
        body = response.body
        if account.aes_key and not body.lstrip().startswith(b"{"):
            body = decrypt(account.aes_key, body.decode("ascii", "replace").strip())
        fields = orjson.loads(body)
    except (AlipaySignatureError, AesError) as fault:
        code = f"HTTP {response.status}"
        raise Distrusted(str(fault), code, misconfigured=response.status in (401, 403)) from None
    except orjson.JSONDecodeError:
        raise Distrusted("the answer is not JSON") from None
    if not isinstance(fields, dict):
        raise Distrusted("the answer is not an object")
    return _as_v2(fields, response.status)


def _as_v2(fields: dict[str, object], status: int) -> dict[str, object]:
    code = fields.get("code")
    if code is None:
        if status != 200:
            raise Distrusted("a refusal without a code", f"HTTP {status}")
        return {**fields, "code": SUCCESS}
    if not isinstance(code, str) or _CODE_OF_V2.fullmatch(code):
        return fields
    kind = BUSINESS_FAILED if _VENDOR_CODE.fullmatch(code) else ""
    return {"code": kind, "sub_code": code, "sub_msg": fields.get("message", "")}

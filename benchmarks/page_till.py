"""The payer's page over HTTPS: asked for again and again by wallets that are logged in.

Rules: each caller has the cookie of a session of its own; every answer is the whole form,
with a token that no other answer had.
"""

from typing import Final

from benchmarks.payer import USER_AGENT, whole_answer

_TOKEN: Final = b'name="form" value="'


class PageTill:
    """See :class:`benchmarks.tills.Till`."""

    def __init__(self, host: str, path: str, cookie: str) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n"
            f"Accept-Language: zh-CN\r\nCookie: {cookie}\r\n\r\n"
        ).encode()
        self._tokens: set[bytes] = set()

    def build(self) -> bytes:
        """The same page; what comes back is new each time."""
        return self._request

    def cut(self, data: bytes) -> int:
        """Head, then as many bytes as ``Content-Length`` says."""
        return whole_answer(data)

    def judge(self, request: bytes, answer: bytes) -> str:
        """The form, ready to be pressed, with a new token."""
        status = answer[9:12].decode()
        if status != "200" or b'data-state="ready"' not in answer:
            return f"status {status}"
        if not answer.rstrip().endswith(b"</html>"):
            return "not whole"
        _, _, rest = answer.partition(_TOKEN)
        token = rest.partition(b'"')[0]
        if not token or token in self._tokens:
            return "no token, or an old one"
        self._tokens.add(token)
        return ""

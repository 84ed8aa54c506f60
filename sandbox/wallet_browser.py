"""An app's in-app browser for a desktop one: whose page is open, its cookies, what is rewritten.

Rules:

* A phone opens pages of this machine, and of the configured sites; anything else it was shown is
  a code for the app itself.
* The merchant's page is served under the app's own host: its absolute addresses become
  relative, its cookies stay in the phone, its policy lets the app's script in (a real app needs
  no leave of the page's).
* The way to the channel's OAuth is walked by the phone itself: the browser only sees that
  the page comes back.
* Bounded: phones, cookies of a phone, and bodies that are rewritten. No socket in this file.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from sandbox.wallet_apps import OWN_PREFIX, WalletApp

MAX_PHONES: Final = 256
MAX_COOKIES: Final = 32
MAX_COOKIE_CHARACTERS: Final = 4096
MAX_REWRITTEN_BYTES: Final = 1_000_000
REWRITTEN: Final = frozenset(("text/html", "application/json"))
_PASSED_ON: Final = (
    "accept", "accept-language", "content-type", "last-event-id", "cache-control",
    "if-none-match", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user",
)  # fmt: skip
_PASSED_BACK: Final = (
    "cache-control", "content-disposition", "content-language", "content-type", "etag",
    "referrer-policy", "retry-after", "vary", "x-content-type-options",
)  # fmt: skip
_POLICY: Final = "content-security-policy"


@dataclass(slots=True)
class Phone:
    """One payer's phone: ``site`` is the origin of the page that is open."""

    payer: str
    site: str = ""
    _cookies: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def keep(self, lines: Iterable[str]) -> None:
        """Take what a page's ``Set-Cookie`` headers say; what is too much is forgotten."""
        for line in lines:
            try:
                parsed = SimpleCookie(line[:MAX_COOKIE_CHARACTERS])
            except CookieError:
                continue
            for name, morsel in parsed.items():
                key = (morsel["path"] or "/", name)
                self._cookies.pop(key, None)
                if morsel["max-age"] != "0" and morsel.value:
                    self._cookies[key] = morsel.value
        while len(self._cookies) > MAX_COOKIES:
            self._cookies.pop(next(iter(self._cookies)))

    def cookies_for(self, path: str) -> str:
        """The ``Cookie`` header of a request, ``""`` for none."""
        return "; ".join(
            f"{name}={value}"
            for (prefix, name), value in self._cookies.items()
            if path == prefix or path.startswith(prefix.rstrip("/") + "/")
        )


class Phones:
    """Every phone by its token; the one that was away longest is forgotten beyond the bound."""

    def __init__(self) -> None:
        self._phones: OrderedDict[str, Phone] = OrderedDict()

    def find(self, token: str) -> Phone | None:
        """The phone that shows this token."""
        phone = self._phones.get(token)
        if phone is not None:
            self._phones.move_to_end(token)
        return phone

    def add(self, token: str) -> Phone:
        """A new phone, whose payer nobody else is."""
        phone = self._phones[token] = Phone(payer=f"payer-{token[:12]}")
        if len(self._phones) > MAX_PHONES:
            self._phones.popitem(last=False)
        return phone


def site_of(url: str, sites: Iterable[str]) -> str:
    """The origin of a merchant's page, ``""`` if the phone does not open it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or parts.username is not None or not host:
        return ""
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    return origin if _is_this_machine(host) or origin in sites else ""


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def inside(url: str, site: str) -> str | None:
    """An address of the site as the app's host serves it; ``None`` if it is elsewhere."""
    if url.startswith("/") and not url.startswith("//"):
        return url
    if site and (url == site or url.startswith((f"{site}/", f"{site}?"))):
        rest = url.removeprefix(site)
        return rest if rest.startswith("/") else f"/{rest}"
    return None


def authorise_query(url: str, app: WalletApp) -> dict[str, str] | None:
    """The query of an address where the app's OAuth begins; ``None`` for any other."""
    parts = urlsplit(url)
    if parts.path != app.authorise_path:
        return None
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def outgoing(
    headers: Mapping[str, str], phone: Phone, app: WalletApp, path: str, own_site: str
) -> dict[str, str]:
    """The headers of the app's request for a page of the merchant's."""
    sent = {name: headers[name] for name in _PASSED_ON if name in headers}
    sent["user-agent"] = app.user_agent
    sent["accept-encoding"] = "identity"
    for name in ("origin", "referer"):
        value = headers.get(name, "")
        if value.startswith(own_site):
            sent[name] = phone.site + value.removeprefix(own_site)
    cookies = phone.cookies_for(path)
    if cookies:
        sent["cookie"] = cookies
    return sent


def coming_back(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of the page for the desktop browser; ``Location`` is another's affair."""
    given = {name: headers[name] for name in _PASSED_BACK if name in headers}
    if _POLICY in headers:
        given[_POLICY] = _with_the_bridge(headers[_POLICY])
    return given


def _with_the_bridge(policy: str) -> str:
    """A page's policy with the app's own script and calls allowed."""
    wanted = {"script-src", "connect-src"}
    directives = []
    for directive in policy.split(";"):
        words = directive.split()
        if not words:
            continue
        if words[0] in wanted:
            wanted.discard(words[0])
            kept = [word for word in words[1:] if word != "'none'"]
            words = [words[0], *kept, *(["'self'"] if "'self'" not in kept else [])]
        directives.append(" ".join(words))
    return "; ".join([*directives, *(f"{name} 'self'" for name in sorted(wanted))])


def rewritten(body: bytes, content_type: str, phone: Phone, app: WalletApp) -> bytes:
    """A page or an answer of the merchant's with its addresses inside the app."""
    text = body.decode("utf-8", "surrogateescape")
    for slash in ("/", "\\/"):  # some write JSON's slashes escaped
        text = text.replace(phone.site.replace("/", slash) + slash, slash)
    text = _authorise_inside(text, app)
    if content_type == "text/html":
        text = _with_script(text, app)
    return text.encode("utf-8", "surrogateescape")


def _authorise_inside(text: str, app: WalletApp) -> str:
    """Addresses where the app's OAuth begins, whatever their host, become the app's own."""
    own = f"{OWN_PREFIX}{app.key}/authorise?"
    needle, at = f"{app.authorise_path}?", 0
    while (found := text.find(needle, at)) >= 0:
        start = max(text.rfind("https://", at, found), text.rfind("http://", at, found))
        host = text[start:found].partition("://")[2] if start >= 0 else ""
        if start < 0 or not host or any(mark in host for mark in "/\"'<> "):
            at = found + len(needle)
            continue
        text = text[:start] + own + text[found + len(needle) :]
        at = start + len(own)
    return text


def _with_script(page: str, app: WalletApp) -> str:
    script = f'<script src="{OWN_PREFIX}{app.key}/bridge.js"></script>'
    found = page.lower().find("<head>")
    if found < 0:
        return script + page
    at = found + len("<head>")
    return page[:at] + script + page[at:]

"""The wallet's own screens: which app, what is scanned, and UnionPay's cashier. Pure.

Rules: texts are English or Chinese by ``Accept-Language`` (Chinese unless English is
preferred); whatever was shown to the phone is escaped; what happens on a screen is
``wallet_files/bridge.js``, the same that an app puts into a merchant's page.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

from sandbox.wallet_apps import APPS, OWN_PREFIX, WalletApp

_FILES: Final = Path(__file__).with_name("wallet_files")
_EN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lang": "en",
        "choose": "Which app scans it?",
        "intro": "Simulated wallets of the sandbox. No money moves.",
        "scan": "Scan a code",
        "says": "What the code says",
        "open": "Open",
        "hint": "Paste the address or text of a QR code, for example https://…/q/…",
        "away": "The page does not answer.",
        "nobody": "No page is open in this app. Scan a code first.",
        "home": "To the app's first screen",
        "return": "Back to the shop",
    }
)
_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lang": "zh-CN",
        "choose": "用哪个应用扫码？",
        "intro": "沙箱中的模拟钱包，不会产生真实资金。",
        "scan": "扫一扫",
        "says": "二维码的内容",
        "open": "打开",
        "hint": "粘贴二维码中的网址或文字，例如 https://…/q/…",
        "away": "页面没有响应。",
        "nobody": "此应用中没有打开的页面，请先扫码。",
        "home": "返回应用首页",
        "return": "返回商家",
    }
)


def texts_for(accept_language: str) -> Mapping[str, str]:
    """The language that is named first; Chinese if neither is."""
    for part in accept_language.lower().split(","):
        if part.strip().startswith("zh"):
            return _ZH
        if part.strip().startswith("en"):
            return _EN
    return _ZH


def name_of(app: WalletApp, texts: Mapping[str, str]) -> str:
    """What the app calls itself."""
    return app.name[0 if texts is _EN else 1]


def bridge_script(app: WalletApp) -> str:
    """``bridge.js`` for one app."""
    source = (_FILES / "bridge.js").read_text(encoding="utf-8")
    return source.replace("__APP__", app.key).replace("__USER_AGENT__", app.user_agent)


def choose_page(code: str, port: int, texts: Mapping[str, str]) -> str:
    """Which of the apps scans ``code`` (or none yet)."""
    query = f"?{urlencode({'code': code})}" if code else ""
    links = "".join(
        f'<li><a class="{app.key}" href="http://{app.host}:{port}/{escape(query)}">'
        f"{name_of(app, texts)}</a></li>"
        for app in APPS.values()
    )
    shown = f"<p><code>{escape(code)}</code></p>" if code else ""
    return _page(
        texts["choose"],
        f"<h1>{texts['choose']}</h1>{shown}<ul>{links}</ul><p>{texts['intro']}</p>",
        texts,
    )


def scan_page(app: WalletApp, texts: Mapping[str, str]) -> str:
    """The app's first screen."""
    return _page(
        name_of(app, texts),
        f"<h1>{name_of(app, texts)}</h1>"
        f'<form method="get" action="/"><label for="code">{texts["says"]}</label>'
        f'<input id="code" name="code" autocomplete="off" required maxlength="4096">'
        f'<button class="{app.key}">{texts["scan"]}</button></form>'
        f"<p>{texts['hint']}</p><p>{texts['intro']}</p>",
        texts,
    )


def cashier_page(
    app: WalletApp,
    texts: Mapping[str, str],
    *,
    code: str = "",
    order: str = "",
    back: str = "/",
    front: bool = False,
) -> str:
    """The app's own screen to pay what was scanned (``code``) or is waiting (``order``).

    ``back`` is where the payer goes without having paid; with ``front`` a payer who has
    paid is sent there with what the app tells the merchant.
    """
    shown = f'data-wallet-code="{escape(code)}"' if code else f'data-wallet-order="{escape(order)}"'
    extra = f'{shown} data-wallet-back="{escape(back)}"' + (" data-wallet-front" if front else "")
    link = f'<p><a href="{escape(back)}">{texts["home" if back == "/" else "return"]}</a></p>'
    return _page(
        name_of(app, texts),
        f"<h1>{name_of(app, texts)}</h1>{link}",
        texts,
        head=f'<script src="{OWN_PREFIX}{quote(app.key)}/bridge.js"></script>',
        body=extra,
    )


def fault_page(app: WalletApp, texts: Mapping[str, str], what: str) -> str:
    """``away`` or ``nobody``."""
    return _page(
        name_of(app, texts),
        f'<h1>{name_of(app, texts)}</h1><p>{texts[what]}</p><p><a href="/">{texts["home"]}</a></p>',
        texts,
    )


def _page(
    title: str, content: str, texts: Mapping[str, str], *, head: str = "", body: str = ""
) -> str:
    style = (_FILES / "wallet.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="{texts["lang"]}"><head>{head}<meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{title}</title><style>{style}</style></head>'
        f"<body {body}><main>{content}</main></body></html>"
    )

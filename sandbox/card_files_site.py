"""Where an acquirer and a merchant fetch the simulated card host's files of a clearing day.

``GET /card-files/<yyyymmdd>`` lists their names, a line each; with ``/<name>`` behind it comes
the file. A day on which nothing happened has none: 404. (A real acquirer is sent its files over
a line of its own; the merchant's come by 76/01 as well, from ``unionpay_qr_files.py``.)
"""

import re
from datetime import date, datetime
from typing import Final

from sandbox.card_files import card_files
from sandbox.card_state import CardState
from sandbox.connection import HttpAnswer
from sandbox.effects import Effect
from sandbox.http_wire import HttpRequest

PREFIX: Final = "/card-files/"
_PATH: Final = re.compile(r"/card-files/([0-9]{8})(?:/([A-Za-z0-9_.]{1,80}))?", re.ASCII)
_TEXT: Final = b"text/plain;charset=utf-8"
_BYTES: Final = b"application/octet-stream"


def handle(request: HttpRequest, state: CardState) -> HttpAnswer:
    """Answer one request under :data:`PREFIX`."""
    found = _PATH.fullmatch(request.path)
    if request.method != "GET" or found is None:
        return HttpAnswer(Effect(b"not found"), 404, _TEXT)
    day, name = _day(found[1]), found[2]
    files = card_files(state, day) if day is not None else {}
    if not files or (name and name not in files):
        return HttpAnswer(Effect(b"there is no such file"), 404, _TEXT)
    if name:
        return HttpAnswer(Effect(files[name]), 200, _BYTES)
    return HttpAnswer(Effect("".join(f"{one}\n" for one in files).encode()), 200, _TEXT)


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007  a date has no zone
    except ValueError:
        return None

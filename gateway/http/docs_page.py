"""The API's page: the OpenAPI document as one plain HTML page, no script, no outside asset."""

import html
from typing import Any

import orjson

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f4}"
    "pre{padding:1rem;overflow:auto}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    ".verb{font-weight:bold;text-transform:uppercase}"
)


def docs_page(document: dict[str, Any]) -> str:
    """``document`` (OpenAPI) as HTML."""
    info = document["info"]
    parts = [
        f"<h1>{_e(info['title'])} API {_e(info['version'])}</h1>",
        f"<h2>Signing</h2><p>{_e(info['description'])}</p>",
        '<p>Machine-readable: <a href="/v1/openapi.json">/v1/openapi.json</a></p>',
        "<h2>Calls</h2>",
    ]
    for path, calls in document["paths"].items():
        for verb, call in calls.items():
            parts.append(_call(path, verb, call))
    parts.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
        parts.append(f'<h3 id="{_e(name)}">{_e(name)}</h3><pre>{_e(text)}</pre>')
    head = f'<meta charset="utf-8"><title>{_e(info["title"])} API</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _call(path: str, verb: str, call: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{_e(status)}</td><td>{_e(answer['description'])}</td></tr>"
        for status, answer in call["responses"].items()
    )
    body = ""
    if "requestBody" in call:
        name = call["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/")[-1]
        body = f'<p>Body: <a href="#{_e(name)}">{_e(name)}</a></p>'
    return (
        f'<h3><span class="verb">{_e(verb)}</span> <code>{_e(path)}</code></h3>'
        f"<p>{_e(call['summary'])}</p>{body}"
        f"<table><tr><th>Status</th><th>Answer</th></tr>{rows}</table>"
    )


def _e(text: str) -> str:
    return html.escape(str(text))

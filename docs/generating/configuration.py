"""Every key of the configuration and every setting of an account, from the models themselves."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from channels.port import Setting
from channels.registry import plugins
from docs.generating.writing import attribute_docs, code_text, plain_text, table_text
from gateway.config import Config


def configuration_keys(root: Path) -> str:
    """Every key, section by section, with type, default and bounds."""
    files = (
        "config.py",
        "config_events.py",
        "config_limits.py",
        "config_pages.py",
        "config_reconciliation.py",
        "config_sandbox.py",
    )
    source = "\n".join((root / "gateway" / name).read_text(encoding="utf-8") for name in files)
    return "\n".join(_section(source, name, kind) for name, kind in _sections("", Config))


def _sections(prefix: str, model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    """Every section in the file's order, by its dotted name."""
    found: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        kind = _model_of(field)
        if kind is not None:
            found.append((prefix + name, kind))
            found += _sections(f"{prefix}{name}.", kind)
    return found


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _section(source: str, name: str, model: type[BaseModel]) -> str:
    texts = attribute_docs(source, model.__name__)
    rows = []
    for key, field in model.model_fields.items():
        if _model_of(field) is not None and key not in texts:
            continue
        rows.append([code_text(key), _type(field), _default(field), texts[key]])
    head = f"### `{name}`\n\n{plain_text(model.__doc__)}\n\n"
    return head + (table_text(["Key", "Value", "Default", "Meaning"], rows) if rows else "")


def _type(field: FieldInfo) -> str:
    if _model_of(field) is not None:
        return "section"
    kinds = [kind for kind in _kinds(field.annotation) if kind is not type(None)]
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    text = " or ".join(names.get(kind, code_text(str(kind))) for kind in kinds)
    limits = dict(_limits(field.metadata))
    if get_origin(field.annotation) is list:
        return f"list of {names[_bare(kinds[0])]}s"
    if "pattern" in limits:
        return f"text, {code_text(limits['pattern'])}"
    if "min_length" in limits:
        return f"text, {limits['min_length']} characters"
    low = limits.get("ge") or (f"over {limits['gt']}" if "gt" in limits else "")
    return f"{text}, {low} to {limits['le']}" if "le" in limits else text


def _bare(kind: Any) -> Any:
    """The type that ``Annotated`` dresses."""
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, the words of a literal, or the type itself."""
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return get_args(annotation) or (annotation,)


def _limits(metadata: Sequence[object]) -> Iterable[tuple[str, str]]:
    for limit in metadata:
        for name in ("ge", "gt", "le", "min_length", "pattern"):
            value = getattr(limit, name, None)
            if value is not None:
                yield name, str(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    if isinstance(field.default, bool):
        return code_text(str(field.default).lower())
    return "none" if field.default is None else code_text(str(field.default))


def account_settings() -> str:
    """Every setting of every channel's accounts."""
    parts = []
    for name, plugin in sorted(plugins().items()):
        rows = [_setting(setting) for setting in plugin.settings]
        table = table_text(["Setting", "Default", "Meaning"], rows)
        parts.append(f"### `{name}`\n\n{table}")
    return "\n".join(parts)


def _setting(setting: Setting) -> Sequence[str]:
    default = "**needed**" if setting.default is None else code_text(setting.default) or "empty"
    meaning_ = setting.help + (" (secret: `--secret`)" if setting.secret else "")
    return [code_text(setting.name), default, re.sub(r"\s+", " ", meaning_)]

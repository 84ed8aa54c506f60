"""The library rules of the architecture, each as a function from source text to faults.

A fault is ``line: words``. import-linter holds the packages; these hold what it cannot
see. Each rule is shown to fail on a small bad sample in ``test_rules_can_fail.py``.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("domain", "signing", "pos_protocol", "channels", "reconciliation", "gateway", "sandbox")
MAX_FUNCTION_LINES = 70
MAX_MODULE_LINES = 400
BANNED_NAMES = frozenset(("utils", "util", "common", "helpers", "helper", "manager", "misc"))
DRIVERS = frozenset(("tortoise", "asyncpg", "sqlite3", "aiosqlite", "psycopg"))
Rule = Callable[[str, str], Iterator[str]]


def product_files() -> list[str]:
    """Every Python file of the product, relative to the checkout."""
    return sorted(
        str(file.relative_to(ROOT))
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if "__pycache__" not in file.parts
    )


def room_of(path: str) -> str:
    """``gateway`` for ``gateway/http/server.py``."""
    return path.partition("/")[0]


_SAYS_SO = re.compile(r"\bPure\b|[Rr]ules: pure\b|\bis pure\.")
_PURE_CHANNEL_FILES = re.compile(r"codes|\w*wire|bill(_(?!fetch)\w+)?|file_\w+")
"""Wires, tables of codes, and the readers of bills and settlement files."""


def is_pure(path: str, source: str) -> bool:
    """Where nothing is awaited, read from a clock or drawn by chance.

    These are rooms, files by their names, and whatever says of itself that it is pure.
    """
    if room_of(path) in ("domain", "signing", "pos_protocol"):
        return True
    name = path.rpartition("/")[2].removesuffix(".py")
    if room_of(path) == "channels" and _PURE_CHANNEL_FILES.fullmatch(name):
        return True
    return _SAYS_SO.search(ast.get_docstring(ast.parse(source)) or "") is not None


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported dotted name, wherever in the file, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("__import__", "import_module"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def _called(node: ast.Call) -> str:
    """The last name of what is called."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of attributes, ``""`` for anything else."""
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def libraries(path: str, source: str) -> Iterator[str]:
    """Who may import a driver, aiohttp, redis and duckdb."""
    room = room_of(path)
    for line, name in imports(ast.parse(source)):
        top = name.partition(".")[0]
        if top in DRIVERS and not path.startswith("gateway/store/"):
            yield f"{line}: {top} outside gateway/store"
        if top == "aiohttp" and room != "sandbox" and not _may_import_aiohttp(path, name):
            yield f"{line}: {name} belongs to the HTTP clients or to gateway/http (web)"
        if top == "redis" and room != "gateway":
            yield f"{line}: redis outside gateway"
        if top == "duckdb" and path != "reconciliation/engine.py":
            yield f"{line}: duckdb outside reconciliation/engine.py"


HTTP_CLIENTS = ("channels/http.py", "channels/guarded_http.py")
"""Towards channels, and towards merchants."""


def _may_import_aiohttp(path: str, name: str) -> bool:
    is_web = name == "aiohttp.web" or name.startswith("aiohttp.web.")
    if path in HTTP_CLIENTS:
        return not is_web
    return is_web and path.startswith("gateway/http/")


def _tail(dotted: str) -> str:
    """The last two names: ``datetime.now`` of ``datetime.datetime.now``."""
    return ".".join(dotted.split(".")[-2:])


FORBIDDEN_IN_PURE = frozenset(
    ("time", "random", "secrets", "uuid", "socket", "ssl", "asyncio", "threading", "subprocess",
     "requests", "urllib.request", "http.client", "tempfile", "shutil")
)  # fmt: skip
FORBIDDEN_CALLS = frozenset(
    ("os.urandom", "os.environ", "os.getenv", "datetime.now", "datetime.utcnow", "datetime.today",
     "date.today")
)  # fmt: skip


def purity(path: str, source: str) -> Iterator[str]:
    """No async, clock, randomness, environment or network in the pure rooms."""
    if not is_pure(path, source):
        return
    tree = ast.parse(source)
    for line, name in imports(tree):
        for banned in FORBIDDEN_IN_PURE:
            if name == banned or name.startswith(f"{banned}."):
                yield f"{line}: {banned} is not for a pure file"
        if name in FORBIDDEN_CALLS:
            yield f"{line}: {name} is an argument here"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{node.lineno}: async in a pure file"
        elif isinstance(node, ast.Attribute) and _tail(_dotted(node)) in FORBIDDEN_CALLS:
            yield f"{node.lineno}: {_dotted(node)} is an argument here"
        elif isinstance(node, ast.Call) and _dotted(node.func) in ("open", "input", "print"):
            yield f"{node.lineno}: {_dotted(node.func)} in a pure file"


def names(path: str, _source: str) -> Iterator[str]:
    """A function lives with its noun."""
    parts = path.removesuffix(".py").split("/")
    for part in parts:
        if BANNED_NAMES.intersection(part.lower().split("_")):
            yield f"1: {part!r} says nothing"


def sizes(path: str, source: str) -> Iterator[str]:
    """Functions within 70 lines, modules within 400; migrations are the library's."""
    if "/migrations/" in path:
        return
    if source.count("\n") > MAX_MODULE_LINES:
        yield f"1: {source.count(chr(10))} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines"


def _is_money(path: str) -> bool:
    """Where every number that is not a duration may be money."""
    if path in ("channels/settings.py",):  # seconds of a provisioned account
        return False
    return room_of(path) in ("domain", "signing", "pos_protocol", "channels") or path in (
        "gateway/payments.py", "gateway/settlement.py", "gateway/recovery.py",
        "gateway/http/bodies.py", "gateway/http/answers.py", "gateway/pos/translate.py",
        "gateway/pos/sales.py", "sandbox/alipay_methods.py", "sandbox/alipay_books.py",
        "sandbox/card_books.py", "sandbox/unionpay_host.py", "sandbox/card_acts.py",
        "sandbox/card_orders.py", "sandbox/card_returns.py",
    )  # fmt: skip


def money(path: str, source: str) -> Iterator[str]:
    """No ``float``, ``Decimal``, ``round`` or true division of an amount."""
    if not _is_money(path):
        return
    tree = ast.parse(source)
    for line, name in imports(tree):
        if name.startswith(("decimal", "fractions")):
            yield f"{line}: {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func) in ("float", "Decimal", "round"):
            yield f"{node.lineno}: {_dotted(node.func)}("
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult):
            yield from _inexact(node)


def _inexact(node: ast.BinOp) -> Iterator[str]:
    """An amount that is divided truly, or multiplied by a float."""
    said = {_dotted(side) for side in (node.left, node.right)}
    amount = any(name.endswith(("amount", "fen", "_minor")) for name in said)
    if amount and isinstance(node.op, ast.Div):
        yield f"{node.lineno}: an amount divided with /"
    sides = (node.left, node.right)
    if amount and any(isinstance(s, ast.Constant) and isinstance(s.value, float) for s in sides):
        yield f"{node.lineno}: an amount times a float"


FROZEN = frozenset(("MappingProxyType", "frozenset", "tuple", "namedtuple"))
MUTABLE_CALLS = frozenset(
    ("dict", "list", "set", "defaultdict", "OrderedDict", "deque", "Counter", "bytearray", "Event",
     "Lock", "Queue", "count", "ContextVar", "WeakValueDictionary", "WeakSet")
)  # fmt: skip
READ_ONLY_TYPES = frozenset(("Mapping", "Sequence", "Set", "AbstractSet", "Collection", "Final"))


def globals_(path: str, source: str) -> Iterator[str]:
    """No module-level mutable state.

    A dict, list or set at module level must be wrapped (``MappingProxyType``,
    ``frozenset``, ``tuple``), or annotated read-only (``Final``, ``Mapping``,
    ``Sequence``), or be a constant that its own module only reads; nothing assigns a
    global from inside a function.
    """
    tree = ast.parse(source)
    if "/migrations/" not in path:
        for statement in tree.body:
            yield from _mutable_constant(statement, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{node.lineno}: global {', '.join(node.names)}"


def _mutable_constant(node: ast.stmt, tree: ast.Module) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        targets, value, annotation = node.targets, node.value, ""
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets, value, annotation = [node.target], node.value, ast.unparse(node.annotation)
    else:
        return
    shared = [one.id for one in targets if isinstance(one, ast.Name)]
    if not _is_mutable(value) or "__all__" in shared:
        return
    changed = [name for name in shared if _is_changed(name, tree)]
    if changed:
        yield f"{node.lineno}: {changed[0]} is changed after it was made"
    elif isinstance(value, ast.Call):
        yield f"{node.lineno}: {', '.join(shared)} is mutable"
    elif not READ_ONLY_TYPES.intersection(_words(annotation)) and not all(
        name.startswith("_") and name.isupper() for name in shared
    ):
        yield f"{node.lineno}: {', '.join(shared)} is neither wrapped nor read-only by its type"


def _words(annotation: str) -> set[str]:
    return set(annotation.replace("[", " ").replace("]", " ").replace(",", " ").split())


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return _called(value) in MUTABLE_CALLS
    return isinstance(
        value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp
    )


CHANGING = frozenset(
    ("append", "add", "update", "pop", "popitem", "clear", "setdefault", "extend", "remove",
     "discard", "insert", "sort", "reverse", "__setitem__")
)  # fmt: skip


def _is_changed(name: str, tree: ast.Module) -> bool:
    """Whether anything in the module changes ``name`` in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in CHANGING and _dotted(node.func.value) == name:
                return True
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if _dotted(node.value) == name:
                return True
        elif isinstance(node, ast.AugAssign) and _dotted(node.target) == name:
            return True
    return False


def excuses(_path: str, source: str) -> Iterator[str]:
    """Every ``noqa`` and ``type: ignore`` names its rule."""
    for number, line in enumerate(source.splitlines(), 1):
        comment = line.partition("#")[2]
        if "noqa" in comment and "noqa:" not in comment:
            yield f"{number}: a noqa for everything"
        if "type: ignore" in comment and "type: ignore[" not in comment:
            yield f"{number}: a type: ignore for everything"


RULES: dict[str, Rule] = {
    "libraries": libraries,
    "purity": purity,
    "names": names,
    "sizes": sizes,
    "money": money,
    "globals": globals_,
    "excuses": excuses,
}

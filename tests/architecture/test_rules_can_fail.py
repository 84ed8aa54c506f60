"""Each rule finds what it is for in a small bad sample, and leaves the good one alone."""

import pytest

from tests.architecture.rules import RULES

LONG = "def f():\n" + "    x = 1\n" * 70
BAD = [
    ("libraries", "gateway/payments.py", "import asyncpg"),
    ("libraries", "gateway/payments.py", "from sqlite3 import connect"),
    ("libraries", "channels/alipay/adapter.py", "import tortoise.models"),
    ("libraries", "reconciliation/engine.py", "def f():\n    import aiosqlite"),
    ("libraries", "gateway/cli/demo.py", "import importlib\nimportlib.import_module('asyncpg')"),
    ("libraries", "channels/alipay/adapter.py", "import aiohttp"),
    ("libraries", "channels/http.py", "from aiohttp import web"),
    ("libraries", "channels/guarded_http.py", "from aiohttp import web"),
    ("libraries", "channels/http_link.py", "import aiohttp"),
    ("libraries", "gateway/delivery.py", "from aiohttp import ClientSession"),
    ("libraries", "gateway/http/server.py", "from aiohttp import ClientSession"),
    ("libraries", "gateway/http/server.py", "import aiohttp"),
    ("libraries", "gateway/bootstrap.py", "import aiohttp.web"),
    ("libraries", "channels/http.py", "from redis.asyncio import Redis"),
    ("libraries", "gateway/store/reads.py", "import duckdb"),
    ("purity", "domain/clock.py", "import time"),
    ("purity", "domain/ids.py", "from os import urandom"),
    ("purity", "domain/ids.py", "import os\nos.urandom(3)"),
    ("purity", "domain/ids.py", "import secrets"),
    ("purity", "signing/rsa.py", "import random"),
    ("purity", "signing/rsa.py", "from uuid import uuid4"),
    ("purity", "pos_protocol/codec.py", "async def f(): ..."),
    ("purity", "channels/alipay/wire.py", "from datetime import datetime\ndatetime.now()"),
    ("purity", "channels/unionpay/card_wire.py", "import datetime\ndatetime.datetime.utcnow()"),
    ("purity", "domain/money.py", "import os\nos.environ['A']"),
    ("purity", "domain/money.py", "open('x')"),
    ("purity", "channels/alipay/bill_detail.py", "import time"),
    ("purity", "channels/unionpay/file_reader.py", "import random"),
    (
        "purity",
        "reconciliation/match.py",
        '"""One key at a time. Pure; as it says."""\nimport time',
    ),
    ("purity", "gateway/http/bodies.py", '"""Bodies.\n\nRules: pure. Named."""\nimport time'),
    ("names", "gateway/utils.py", ""),
    ("names", "channels/http_helpers.py", ""),
    ("names", "common/money.py", ""),
    ("names", "gateway/payment_manager.py", ""),
    ("sizes", "gateway/a.py", LONG),
    ("sizes", "gateway/a.py", "class A:\n    async " + LONG.replace("\n", "\n    ")),
    ("sizes", "gateway/a.py", "\n" * 401),
    ("money", "domain/money.py", "float('1')"),
    ("money", "channels/alipay/wire.py", "from decimal import Decimal"),
    ("money", "gateway/http/bodies.py", "round(1.5)"),
    ("money", "pos_protocol/codec.py", "amount_fen / 100"),
    ("money", "sandbox/alipay_methods.py", "order.amount_fen / 100"),
    ("money", "domain/money.py", "amount_fen * 1.0"),
    ("globals", "gateway/a.py", "CACHE = {}"),
    ("globals", "gateway/a.py", "seen: set[int] = set()"),
    ("globals", "gateway/a.py", "from typing import Final\nSEEN: Final = set()"),
    ("globals", "gateway/a.py", "_TABLE = {}\ndef f():\n    _TABLE['a'] = 1"),
    ("globals", "gateway/a.py", "X: Final = []\nX.append(1)"),
    ("globals", "gateway/a.py", "X: Final = {1: 2}\ndel X[1]"),
    ("globals", "gateway/a.py", "x = 0\ndef f():\n    global x\n    x = 1"),
    ("globals", "gateway/a.py", "import asyncio\nLOCK = asyncio.Lock()"),
    ("globals", "gateway/a.py", "WORDS = [w for w in 'ab']"),
    ("excuses", "gateway/a.py", "x = 1  # noqa"),
    ("excuses", "gateway/a.py", "x = 1  # type: ignore"),
]
GOOD = [
    ("libraries", "gateway/store/postgres.py", "import asyncpg"),
    ("libraries", "channels/http.py", "import aiohttp\nfrom aiohttp import ClientSession"),
    ("libraries", "channels/guarded_http.py", "from aiohttp.abc import AbstractResolver"),
    ("libraries", "gateway/http/server.py", "from aiohttp import web\nimport aiohttp.web"),
    ("libraries", "gateway/http/nonces.py", "from redis.asyncio import Redis"),
    ("libraries", "sandbox/server.py", "import aiohttp"),
    ("purity", "gateway/sources.py", "import time, os\nasync def f(): os.urandom(3)"),
    ("purity", "domain/clock.py", "from datetime import datetime\ndatetime.fromtimestamp(0)"),
    ("purity", "channels/alipay/bill_fetch.py", "import asyncio"),
    ("purity", "reconciliation/engine.py", '"""The pure rules decide the rest."""\nimport time'),
    ("names", "gateway/http/answers.py", ""),
    ("sizes", "gateway/a.py", "def f():\n" + "    x = 1\n" * 69),
    ("money", "gateway/cli/demo.py", "float('1')"),
    ("money", "domain/money.py", "amount_fen // 100 * 1"),
    ("globals", "gateway/a.py", "from types import MappingProxyType\nX = MappingProxyType({})"),
    ("globals", "gateway/a.py", "X: Final = {1: 2}\nY = (1,)\nZ = frozenset([1])"),
    ("globals", "gateway/a.py", "X: Mapping[str, int] = {'a': 1}\n__all__ = ['X']"),
    ("globals", "gateway/a.py", "def f():\n    x = {}\n    x['a'] = 1"),
    ("excuses", "gateway/a.py", "x = 1  # noqa: E501 - a reason"),
]


@pytest.mark.parametrize(("rule", "path", "source"), BAD)
def test_a_bad_sample_is_found(rule: str, path: str, source: str) -> None:
    assert list(RULES[rule](path, source))


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_a_good_sample_is_left_alone(rule: str, path: str, source: str) -> None:
    assert list(RULES[rule](path, source)) == []


def test_every_rule_has_a_bad_sample() -> None:
    assert {rule for rule, _, _ in BAD} == RULES.keys()

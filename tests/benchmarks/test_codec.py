"""The codec's metric runs; what it measures is not judged here."""

import pytest

from benchmarks import codec
from benchmarks.postgres import PostgresServer
from benchmarks.windows import Plan


async def test_every_figure_of_the_contract_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny run: both codecs read and write every message, and the server pass answers."""
    for name, value in (("_ROUNDS", 1), ("_ROUND_S", 0.005), ("_WARM", 1)):
        monkeypatch.setattr(codec, name, value)
    notes: list[str] = []
    figures = await codec.codec(PostgresServer(), Plan(), notes)
    assert notes == []
    assert figures["errors"] == 0
    for name in (
        "decode_per_s",
        "encode_per_s",
        "server_pass_per_s",
        "decode_ratio_to_pyiso8583",
        "encode_ratio_to_pyiso8583",
    ):
        assert figures[name] > 0, name

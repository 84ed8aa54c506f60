"""The card dialect's known answers (``tests/vectors/pos_signing.json``, sources named there)."""

import json
from pathlib import Path

import pytest

from signing.pos import (
    MAC_ALGORITHMS,
    CipherKey,
    encrypt_pin_block,
    format0_pin_block,
    verify_pin_block,
)

FILE = Path(__file__).resolve().parent.parent / "vectors" / "pos_signing.json"
VECTORS: list[dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))


def of_kind(kind: str) -> list[object]:
    found = [pytest.param(entry, id=entry["id"]) for entry in VECTORS if entry["kind"] == kind]
    assert found, f"no vectors of kind {kind}"
    return list(found)


def key_of(vector: dict[str, str]) -> CipherKey:
    sm4 = vector.get("cipher") == "sm4" or vector.get("algorithm") == "cup-sm4"
    return CipherKey(bytes.fromhex(vector["key"]), "sm4" if sm4 else "des")


@pytest.mark.parametrize("vector", of_kind("mac"))
def test_mac(vector: dict[str, str]) -> None:
    """Every MAC of the vectors is what its source says."""
    mac = MAC_ALGORITHMS[vector["algorithm"]]
    data = bytes.fromhex(vector["data"])
    assert mac(key_of(vector), data) == vector["output"].encode()
    assert mac(key_of(vector), memoryview(data)) == vector["output"].encode()


@pytest.mark.parametrize("vector", of_kind("kcv"))
def test_kcv(vector: dict[str, str]) -> None:
    """Every key check value is what its source says, and is all that repr shows."""
    key = key_of(vector)
    assert key.kcv().hex().upper() == vector["output"]
    assert vector["output"] in repr(key)
    assert vector["key"][:8] not in repr(key).upper()


@pytest.mark.parametrize("vector", of_kind("unwrap"))
def test_unwrap(vector: dict[str, str]) -> None:
    """A working key decrypts under its master key, and encrypts back."""
    master = key_of(vector)
    cipher, clear = bytes.fromhex(vector["data"]), bytes.fromhex(vector["output"])
    assert master.decrypt(cipher) == clear
    assert master.encrypt(clear) == cipher


@pytest.mark.parametrize("vector", of_kind("pin"))
def test_pin_block(vector: dict[str, str]) -> None:
    """Format 0 blocks, clear and encrypted, are what their source says."""
    pin, pan = vector["pin"], vector["pan"]
    assert format0_pin_block(pin, pan).hex().upper() == vector["clear"]
    if "output" in vector:
        block = bytes.fromhex(vector["output"])
        assert encrypt_pin_block(pin, pan, key_of(vector)) == block
        assert verify_pin_block(block, pin, pan, key_of(vector))

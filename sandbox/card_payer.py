"""The payer of the simulated card host: the card that was read and the PIN that was typed.

Rule: a card that is no scenario is good if it is Luhn-valid, 16–19 digits starting 99,
and its PIN block, if any, is well formed; anything else is 14. One that starts 9988 is
Visa's, every other UnionPay's.
"""

from typing import Final

from pos_protocol.codec import Message
from sandbox.card_link import ZoneKeys
from sandbox.scenarios import CARD_BY_PAN, Scenario
from signing.pos import PinBlockError, translate_pin_block, verify_pin_block


def pan_of(message: Message) -> str:
    """The card number from F2 or track 2; empty when there is none or they differ."""
    pan, track_pan = message.text(2), message.text(35).partition("=")[0]
    if pan and track_pan and pan != track_pan:
        return ""
    return pan or track_pan


_FOREIGN: Final = "9988"


def organisation_of(pan: str) -> str:
    """63.1 of the answer: whose card it is."""
    return "VIS" if pan.startswith(_FOREIGN) else "CUP"


def judge(message: Message, pan: str, keys: ZoneKeys) -> tuple[Scenario, str]:
    """The scenario that the card plays and the F39 it leads to."""
    scenario, card = CARD_BY_PAN.get(pan, (Scenario.APPROVED, None))
    if card is None and not _is_sandbox_pan(pan):
        return scenario, "14"
    code = _check_pin(message, pan, card.issuer_pin if card else "", keys)
    if code == "00" and scenario is Scenario.WRONG_PIN:
        # Its payer never knows the right PIN; without a PIN it stays a wrong one.
        code = "55" if not message.data(52) else code
    return scenario, code


def _check_pin(message: Message, pan: str, issuer_pin: str, keys: ZoneKeys) -> str:
    """00, 55 for a wrong PIN, 99 for a block that is none; no block is no question."""
    block = message.data(52)
    if not block:
        return "00"
    if message.text(53)[:1] != "2":
        return "99"
    try:
        if issuer_pin:
            return "00" if verify_pin_block(block, issuer_pin, pan, keys.pin) else "55"
        # Whatever the PIN is, the block must be one: translating it proves its form.
        translate_pin_block(block, pan, source=keys.pin, target=keys.pin)
    except PinBlockError:
        return "99"
    return "00"


_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""Luhn: a digit doubled, the digits of the result added."""


def _is_sandbox_pan(pan: str) -> bool:
    if not (16 <= len(pan) <= 19 and pan.startswith("99") and pan.isdecimal()):
        return False
    # As ASCII codes, each 48 above its digit: summing bytes needs no loop in Python.
    total = sum(pan[-1::-2].encode()) + sum(pan[-2::-2].translate(_DOUBLED).encode())
    return (total - 48 * len(pan)) % 10 == 0

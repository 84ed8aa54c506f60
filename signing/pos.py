"""The card dialect's cryptography, under one name.

``cipher_key.py`` the keys · ``pos_mac.py`` F64 · ``pin_block.py`` F52 ·
``working_keys.py`` F62 of a sign-in · ``track_data.py`` F35 and F36 under the track key.
Callers import from here.
"""

from signing.cipher_key import CipherKey
from signing.pin_block import (
    PinBlockError,
    encrypt_pin_block,
    format0_pin_block,
    operator_pin,
    translate_pin_block,
    verify_pin_block,
)
from signing.pos_mac import (
    MAC_ALGORITHMS,
    MAC_KEY_BYTES,
    RAW_MAC_ALGORITHMS,
    MacFunction,
    mac_cup_ecb,
    mac_cup_sm4,
    mac_matches,
    mac_x99,
    mac_x919,
)
from signing.track_data import decrypt_track, encrypt_track
from signing.working_keys import (
    KeyCheckError,
    KeyScheme,
    WorkingKeys,
    combine_components,
    unwrap_working_keys,
    wrap_working_keys,
)

__all__ = [
    "MAC_ALGORITHMS",
    "MAC_KEY_BYTES",
    "RAW_MAC_ALGORITHMS",
    "CipherKey",
    "KeyCheckError",
    "KeyScheme",
    "MacFunction",
    "PinBlockError",
    "WorkingKeys",
    "combine_components",
    "decrypt_track",
    "encrypt_pin_block",
    "encrypt_track",
    "format0_pin_block",
    "mac_cup_ecb",
    "mac_cup_sm4",
    "mac_matches",
    "mac_x99",
    "mac_x919",
    "operator_pin",
    "translate_pin_block",
    "unwrap_working_keys",
    "verify_pin_block",
    "wrap_working_keys",
]

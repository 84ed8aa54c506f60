"""What a shop has beside its payments: printed codes and operators, as values.

Limits are ``domain.limits.Limit``. Rules: as in ``records.py``; a PIN rests hashed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """A printed code; ``code_id`` is what its address ends with (``domain/qr_code.py``).

    ``name`` is what the payer reads; ``store_id`` and ``terminal_id`` are what payments by
    it carry (empty: none). ``amount_fen`` 0 leaves the amount to the payer. ``notify_url`` is
    where the merchant's software is told of them (empty: nowhere).
    """

    code_id: str
    merchant_no: str
    store_id: str
    terminal_id: str
    name: str
    amount_fen: int
    created_at_ms: int
    disabled: bool = False
    notify_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who may let through what is above the small-amount limit; ``repr`` shows no hash.

    ``tries`` counts the wrong PINs since the last right one or the last lock.
    """

    merchant_no: str
    operator_id: str
    name: str
    pin_hash: str
    created_at_ms: int
    tries: int = 0
    locked_until_ms: int = 0
    disabled: bool = False

    def __repr__(self) -> str:
        return f"Operator({self.merchant_no!r}, {self.operator_id!r})"

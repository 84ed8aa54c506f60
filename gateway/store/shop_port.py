"""The store's part for a shop's printed codes, limits and operators.

Rules: as ``ProvisioningStore`` in ``port.py``: ``add_*`` raise ``domain.errors.Conflict``
when the thing exists and ``NotFound`` when its merchant does not; what changes a thing
raises ``NotFound`` when there is none.
"""

from collections.abc import Sequence
from typing import Protocol

from domain.limits import Limit
from gateway.store.provisioning_records import Merchant
from gateway.store.shop_records import Operator, QrCode


class QrCodeStore(Protocol):
    """Printed codes; never cached, so that a disabled one stops at once."""

    async def add_qr_code(self, code: QrCode) -> None: ...
    async def qr_code(self, code_id: str) -> tuple[Merchant, QrCode] | None:
        """A code with its merchant, disabled ones too (the flags say so)."""
        ...

    async def qr_codes(self, merchant_no: str, after: str, limit: int) -> Sequence[QrCode]:
        """Codes by number; an empty ``merchant_no`` does not filter."""
        ...

    async def disable_qr_code(self, code_id: str) -> None: ...
    async def tell_qr_code(self, code_id: str, notify_url: str) -> None:
        """Where payments by a code are told of, from the next press on; empty: nowhere."""
        ...


class LimitStore(Protocol):
    """Limits, and what days have taken of them."""

    async def set_limit(self, limit: Limit, at_ms: int) -> None:
        """Add or replace the limit of a merchant or a store."""
        ...

    async def remove_limit(self, merchant_no: str, store_id: str) -> None: ...
    async def limits(self) -> Sequence[Limit]:
        """Every limit, by merchant and store."""
        ...

    async def spent(self, merchant_no: str, store_id: str, day: str) -> int:
        """What a day has taken or still may take, in fen, as far as it was claimed."""
        ...

    async def free_unpaid(self, merchant_no: str, store_id: str, day: str) -> None:
        """Count no more what the day's payments did not take after all."""
        ...

    async def forget_days(self, merchant_no: str, before: str) -> None:
        """Let go of what days before ``before`` took, of the merchant and its stores."""
        ...


class OperatorStore(Protocol):
    """Operators and their PINs, hashed; every try is counted before it is looked at."""

    async def add_operator(self, operator: Operator) -> None: ...
    async def operators(self, merchant_no: str) -> Sequence[Operator]:
        """Operators by merchant and id; an empty ``merchant_no`` does not filter."""
        ...

    async def operator(self, merchant_no: str, operator_id: str) -> Operator | None: ...
    async def disable_operator(self, merchant_no: str, operator_id: str) -> None: ...
    async def set_operator_pin(self, merchant_no: str, operator_id: str, pin_hash: str) -> None:
        """Replace a PIN; whoever was locked is free again."""
        ...

    async def take_try(
        self, merchant_no: str, operator_id: str, *, now_ms: int, tries: int, lock_until_ms: int
    ) -> bool:
        """Count one try; the last of ``tries`` locks until ``lock_until_ms``.

        ``False`` when the operator is locked, disabled or not there: nothing is counted.
        """
        ...

    async def pin_was_right(self, merchant_no: str, operator_id: str, pin_hash: str) -> None:
        """Forget the tries and the lock, if the PIN is still this one."""
        ...


class ShopStore(QrCodeStore, LimitStore, OperatorStore, Protocol):
    """All three."""

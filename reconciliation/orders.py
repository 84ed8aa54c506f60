"""From the store's columns to the entries of a match. Pure, whole columns at a time.

Rules: a payment is *done* once it is captured and stands, *undone* when all of it went back
without a refund (a cancel, a reversal), *never* when it ended without money or only holds
some, *open* in every other state. A refund is done when it was paid out. The amount of a
payment is what was captured, of one that never was what was asked for. The day is the
channel's business day of the channel's own time, or of ours where it told none.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute

from domain.payment import Status
from domain.refund import RefundStatus
from reconciliation.days import BusinessDay
from reconciliation.entries import OurState
from reconciliation.rows import OURS_SCHEMA

pc: Final[Any] = pyarrow.compute
"""Its stubs tell scalars from arrays of one type only; columns are checked by their schema."""
_BEIJING_MS: Final = 8 * 3_600_000
_DAY_MS: Final = 86_400_000

_FIELDS: "Final[list[pa.Field[Any]]]" = [
    pa.field("kind", pa.string()),
    pa.field("order_no", pa.string()),
    pa.field("refund_no", pa.string()),
    pa.field("status", pa.string()),
    pa.field("amount_fen", pa.int64()),
    pa.field("captured_fen", pa.int64()),
    pa.field("currency", pa.string()),
    pa.field("subject", pa.string()),
    pa.field("merchant_no", pa.string()),
    pa.field("store_id", pa.string()),
    pa.field("terminal_id", pa.string()),
    pa.field("method", pa.string()),
    pa.field("made_at_ms", pa.int64()),
    pa.field("channel_at_ms", pa.int64()),
    pa.field("cashier", pa.string()),
]
STORED_SCHEMA: Final = pa.schema(_FIELDS)
"""What a source delivers: ``captured_fen`` 0 and ``channel_at_ms`` 0 where there is none."""

_STATES: Final[Mapping[str, OurState]] = MappingProxyType(
    {
        f"payment:{Status.SUCCEEDED.value}": OurState.DONE,
        f"payment:{Status.REVERSED.value}": OurState.UNDONE,
        f"payment:{Status.FAILED.value}": OurState.NEVER,
        f"payment:{Status.CLOSED.value}": OurState.NEVER,
        f"payment:{Status.AUTHORIZED.value}": OurState.NEVER,
        f"refund:{RefundStatus.SUCCEEDED.value}": OurState.DONE,
        f"refund:{RefundStatus.FAILED.value}": OurState.NEVER,
    }
)
_STATE_NAMES: Final = pa.array([*_STATES], pa.string())
_STATE_VALUES: Final = pa.array(
    [*(state.value for state in _STATES.values()), OurState.OPEN.value], pa.string()
)


def entries_of(stored: pa.RecordBatch, kind: BusinessDay) -> pa.RecordBatch:
    """Rows of ``STORED_SCHEMA`` as rows of ``OURS_SCHEMA``."""
    column: Mapping[str, Any] = dict(zip(stored.schema.names, stored.columns, strict=True))
    told = pc.greater(column["channel_at_ms"], 0)
    at_ms = pc.if_else(told, column["channel_at_ms"], column["made_at_ms"])
    shift_ms = _BEIJING_MS - kind.begins_h * 3_600_000
    days = pc.divide(pc.add(at_ms, shift_ms), _DAY_MS)
    captured = column["captured_fen"]
    made = {
        "state": _states(column),
        "amount_fen": pc.if_else(pc.greater(captured, 0), captured, column["amount_fen"]),
        "day": pc.cast(pc.cast(days, pa.int32()), pa.date32()),
        "at_ms": at_ms,
    }
    arrays = [made[name] if name in made else column[name] for name in OURS_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=OURS_SCHEMA)


def _states(column: Mapping[str, Any]) -> Any:
    names = pc.binary_join_element_wise(column["kind"], column["status"], ":")
    found = pc.index_in(names, value_set=_STATE_NAMES)
    return _STATE_VALUES.take(pc.fill_null(found, len(_STATES)))

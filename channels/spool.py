"""A file that is fetched: at its path whole, or not at all.

Rules: it is written beside its path and takes its name at the end, so that nobody ever
finds half of it; its size is bounded; the disk is never waited for on the event loop.
A place that cannot be written is :class:`NotSent`: what cannot be kept is not asked for.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from channels.port import AnswerLost, NotSent

_PIECE_BYTES: Final = 1024 * 1024


class Spool:
    """One file that comes in; used as ``with Spool(…) as spool``."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._left = max_bytes
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Spool":
        try:
            self._file = self._part.open("wb")
        except OSError as fault:
            raise NotSent(f"the file cannot be written: {type(fault).__name__}") from fault
        return self

    async def take(self, announced: int | None, chunks: AsyncIterator[bytes]) -> None:
        """The whole body; raises :class:`AnswerLost` once it is longer than the bound."""
        assert self._file is not None
        self._spend(announced or 0, peek=True)
        piece = bytearray()
        async for chunk in chunks:
            self._spend(len(chunk))
            piece += chunk
            if len(piece) >= _PIECE_BYTES:
                await asyncio.to_thread(self._file.write, bytes(piece))
                piece.clear()
        await asyncio.to_thread(self._finish, bytes(piece))

    def _spend(self, count: int, *, peek: bool = False) -> None:
        if count > self._left:
            raise AnswerLost("the file is too large")
        self._left -= 0 if peek else count

    def _finish(self, rest: bytes) -> None:
        assert self._file is not None
        self._file.write(rest)
        self._file.close()
        self._part.replace(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._part.unlink(missing_ok=True)

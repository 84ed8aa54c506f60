"""A worker does not outlive the process that keeps it."""

import asyncio
import sys

from tests.support.gateway import Place


async def test_a_worker_whose_keeper_is_gone_drains_and_leaves(place: Place) -> None:
    """A killed keeper can tell nobody: the end of its pipe does."""
    ready = place.folder / "ready.json"
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli.main", "serve", "--kept"),
        *("-c", str(place.installation.config_file), "--ready-file", str(ready)),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while not ready.exists():
                assert worker.returncode is None
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            assert worker.returncode is None
            assert worker.stdin is not None
            worker.stdin.close()
            assert await worker.wait() == 0
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()

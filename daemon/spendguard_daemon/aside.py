"""Work on large documents, done aside so that the loop goes on serving others.

Owns one thread, on purpose: it bounds the memory that reading may take, and leaves the loop its turns at the
interpreter. Invariant: what runs here is pure, so nobody needs a lock.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

LARGE_BYTES = 256 * 1024
"""From here on reading may take longer than the loop should stand still."""

Result = TypeVar("Result")

_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")


async def aside(work: Callable[[], Result], size_bytes: int) -> Result:
    """Return what `work`, a pure reading of so many bytes, returns; raise what it raises.

    One whose caller was cancelled runs to its end, for nobody.
    """
    if size_bytes < LARGE_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_reader, work)

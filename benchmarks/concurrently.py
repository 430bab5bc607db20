"""Enqueuing with 32 at once, as the benchmarks of the asynchronous peers do it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

AT_ONCE = 32


async def each(send: Callable[[Any], Awaitable[Any]], payloads: Iterable[Any]) -> None:
    """Await `send` for all of them."""
    waiting = iter(payloads)

    async def line() -> None:
        for payload in waiting:
            await send(payload)

    await asyncio.gather(*(line() for _ in range(AT_ONCE)))

"""The shop's jobs: `poolq run`, or `poolq dev` while you write code."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import poolq


@dataclass
class Order:
    item: str
    price: Decimal
    to: str


@poolq.job(queue="mails", attempts=5, retry_after=poolq.Backoff("10s", most="1h"))
async def confirm(order: Order) -> None:
    """Send a mail about an order. All coroutines of a worker's jobs share one event loop."""
    await send(order.to, f"Thank you for ordering {order.item} for {order.price}.")


@poolq.job(every="0 3 * * *")
async def report() -> None:
    await send("boss@example.com", "The report of last night")


async def send(to: str, text: str) -> None:
    await asyncio.sleep(0)  # here would be a client for mail
    print(f"mail to {to}: {text}")

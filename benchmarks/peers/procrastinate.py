"""procrastinate: two processes that run 10 jobs at once, and delete those that are done; filled by
`batch_defer`."""

from procrastinate import App, PsycopgConnector, RetryStrategy

from benchmarks import tally
from benchmarks.work import URL

BATCH = 1000
app = App(connector=PsycopgConnector(conninfo=URL))


@app.task(name="noop")
async def noop(payload: dict[str, object]) -> None:
    tally.count()


@app.task(name="late")
async def late(sent: int) -> None:
    tally.late(sent)


@app.task(name="flaky", retry=RetryStrategy(max_attempts=2, wait=1))
async def flaky(number: int) -> None:
    tally.flaky(number)
    tally.count()


async def prepare() -> None:
    await app.open_async()
    if not await app.check_connection_async():
        await app.schema_manager.apply_schema_async()


async def send(payload: dict[str, object]) -> None:
    await noop.defer_async(payload=payload)


async def fill(payloads: list[dict[str, object]]) -> None:
    for start in range(0, len(payloads), BATCH):
        some = payloads[start : start + BATCH]
        await noop.batch_defer_async(*({"payload": one} for one in some))


async def probe(sent: int) -> None:
    await late.defer_async(sent=sent)


async def again(number: int) -> None:
    await flaky.defer_async(number=number)

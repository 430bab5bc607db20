"""oban-py: two processes, enqueued by `enqueue_many`."""

from oban import Oban, worker
from oban.schema import install
from psycopg_pool import AsyncConnectionPool

from benchmarks import tally
from benchmarks.work import URL

BATCH = 1000
client: Oban


@worker()
class Noop:
    async def process(self, _):
        tally.count()


@worker()
class Late:
    async def process(self, job):
        tally.late(job.args["sent"])


@worker(max_attempts=3)
class Flaky:
    async def process(self, job):
        tally.flaky(job.args["number"])
        tally.count()

    def backoff(self, _):
        return 1


async def prepare() -> None:
    global client
    pool = AsyncConnectionPool(URL, open=False)
    await pool.open()
    async with pool.connection() as line:
        found = await (await line.execute("SELECT to_regclass('oban_jobs')")).fetchone()
    if found == (None,):
        await install(pool)
    client = Oban(pool=pool, queues={})


async def send(payload: dict[str, object]) -> None:
    await client.enqueue(Noop.new(payload))


async def fill(payloads: list[dict[str, object]]) -> None:
    for start in range(0, len(payloads), BATCH):
        await client.enqueue_many(Noop.new(one) for one in payloads[start : start + BATCH])


async def probe(sent: int) -> None:
    await client.enqueue(Late.new({"sent": sent}))


async def again(number: int) -> None:
    await client.enqueue(Flaky.new({"number": number}))

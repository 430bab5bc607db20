"""`make screenshot`: draws the pictures of the dashboard, from a pool that runs the demo's jobs and
some with problems.

It waits until the pool shows everything that the pictures need, however long that takes on this
machine.
"""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from msgspec.structs import replace

import poolq
from docs.screenshot.picture import picture
from poolq import config
from poolq.cli.pools.top import stored_failures
from poolq.config import Config
from poolq.dashboard.screen_state import ScreenState
from poolq.dashboard.sources import AttachedSource
from poolq.demo import run, work
from poolq.demo.jobs import CallWebhook, index_file
from poolq.errors import PoolNotFound
from poolq.monitor.alerts import alerts
from poolq.monitor.snapshot import Snapshot
from poolq.system.runtime_folder import RUNTIME_VARIABLE

HERE = Path(__file__).parent
IMAGES = HERE.parent / "images"
SIZES = ("60x15", "100x30", "200x50")
POOL = "shop"
TROUBLE = {"stuck", "leaks", "holds back"}
TIMEOUT, INTERVAL = 120.0, 0.25  # seconds: the longest wait, and between two snapshots
RATES_AFTER = 5  # intervals between two snapshots: rates take two
MIN_THROUGHPUT = 30  # seconds of throughput that must be visible
MIN_WAIT = 15.0  # seconds that mails must still wait: each picture takes a second
MAILS, SHOPS = 90, 40
FILES = (4, 9, 14, 9, 4, 2)  # dispatched per INTERVAL, each for a second
SETTINGS = f"""\
name = "{POOL}"
app = ["shop", "poolq.demo.jobs"]
procs = 6
"""


class Shop(socketserver.StreamRequestHandler):
    """Sends its stock immediately; the last shop never answers."""

    def handle(self) -> None:
        if int(self.rfile.readline()) < SHOPS:
            self.wfile.write(b"12 chairs, 3 tables\n")
        else:
            self.rfile.read()


class Shops(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


def main() -> int:
    """Draw all pictures. Returns 1 if the pool does not show all that they need, else 0."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="poolq-")))
        enter_project(folder)
        shops = stack.enter_context(Shops(("127.0.0.1", 0), Shop))
        threading.Thread(target=shops.serve_forever, daemon=True).start()
        stack.callback(shops.shutdown)
        sources = work.find_work().sources
        dispatch(sources, shops.server_address[1])
        stack.enter_context(pool())
        dispatching = keep_dispatching(sources)
        if not wait(dispatching):
            return 1
        settings = config.load()
        for size in SIZES:
            draw(size, dispatching, settings)
    return 0


def draw(size: str, dispatching: Iterator[None], settings: Config) -> None:
    """Draw one picture."""
    file = IMAGES / f"dashboard-{size}.svg"
    columns, lines = map(int, size.split("x"))
    with closing(AttachedSource(POOL, os.environ)) as source:
        source.snapshot()
        for _ in range(RATES_AFTER):
            next(dispatching)
            sleep(INTERVAL)
        found = source.snapshot()
    assert found is not None, "the pool has ended"
    stored = stored_failures(found, settings)
    found = replace(found, failures=stored.merged(found.failures))
    file.write_text(picture(found, (columns, lines), ScreenState(failures=stored)), "utf-8")
    say(f"written: {file.relative_to(HERE.parents[1])}")


POOLQ = (sys.executable, "-m", "poolq")


def enter_project(folder: Path) -> None:
    """Enter a new project, whose pool no other command finds."""
    run.enter_project(folder, SETTINGS)
    engine = f"sqlite:///{folder / 'shop.db'}"  # this script is of another project
    os.environ.update(
        {RUNTIME_VARIABLE: str(folder), "PYTHONPATH": str(HERE), "POOLQ_ENGINE": engine}
    )
    sys.path.insert(0, str(HERE))


@contextmanager
def pool() -> Iterator[None]:
    """Run a pool; kill it in the end, because one of its jobs never ends."""
    with Path("out").open("wb") as out:
        process = subprocess.Popen([*POOLQ, "run", "--log-file=shop.log"], stdout=out, stderr=out)
        try:
            yield
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def dispatch(sources: list[str], port: int) -> None:
    """Dispatch the first jobs."""
    from shop import SendMail, import_catalog, sync_stock

    import_catalog.dispatch(files=sources)
    for shop in range(1, SHOPS + 1):
        sync_stock.dispatch(port=port, shop=shop)
    mails = [
        {"to": f"reader{number}@example.com", "subject": "Your order"} for number in range(MAILS)
    ]
    poolq.dispatch_many(SendMail, mails)


def keep_dispatching(sources: list[str]) -> Iterator[None]:
    """Dispatch more jobs with each step: files, and webhooks with unreliable servers."""
    answers, files = (*work.RECOVERING_ANSWERS[:3], *work.FAILING_ANSWERS[:1]), cycle(sources)
    for number in count():
        many = FILES[number // 4 % len(FILES)]
        some = [{"path": path} for path in islice(files, many)]
        poolq.dispatch_many(index_file, some)
        if number % 8 == 0:
            CallWebhook.dispatch(
                {
                    "url": f"https://shop{number}.example/hook",
                    "answers": list(answers[number // 8 % len(answers)]),
                }
            )
        yield


def wait(dispatching: Iterator[None]) -> bool:
    """Wait until the pool shows everything; False if it does not in time."""
    deadline, missing = monotonic() + TIMEOUT, ["a pool"]
    for _ in dispatching:
        if monotonic() > deadline:
            break
        sleep(INTERVAL)
        with suppress(PoolNotFound), closing(AttachedSource(POOL, os.environ)) as source:
            found = source.snapshot()
            missing = lacks(found) if found is not None else ["a pool"]
        if not missing:
            return True
    say(f"after {TIMEOUT:g} s the pool still lacks {', '.join(missing)}")
    return False


def lacks(found: Snapshot) -> list[str]:
    """What the pool does not show yet."""
    seen, rates = {one.verdict for one in alerts(found)}, found.throughput
    mails = [one.next_slot or 0 for one in found.limits if one.waiting]
    wanted = {
        **{f"a word of {verdict}": verdict in seen for verdict in TROUBLE},
        "mails that wait": min(mails, default=0) > MIN_WAIT,
        "failures": rates.failed.total > 0 and len(found.failures) > 0,
        "retries": rates.retried.total > 0,
        "throughput": len(rates.done.spark) > MIN_THROUGHPUT and rates.done.now > 0,
    }
    return [what for what, there in wanted.items() if not there]


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())

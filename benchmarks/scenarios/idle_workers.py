"""64 workers that have nothing to do: their CPU, and the connections that wait for jobs."""

from __future__ import annotations

from time import monotonic, sleep

from benchmarks import cost
from benchmarks.bench import Bench, Crew
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.goals import Goal
from benchmarks.places import OnMariaDB, OnRedis, Place
from benchmarks.report import Outcome
from benchmarks.watching import until_idle

WORKERS = 64
WINDOW = 8.0
SHARE, WAITING = 2, 1
HEADER = (
    "", "CPU, % of a core", "server's CPU", "connections that wait", "connections in all",
)  # fmt: skip
TEXT = f"""One pool of {WORKERS} idle workers, for {WINDOW:g} s: the CPU of all its processes,
and the CPU that the server uses for it, both from the middle round. On Redis, a connection that
waits is a blocked one. On MariaDB no connection blocks: the keeper sends a statement, over one
connection, with which the server checks for jobs every 50 ms."""


def connections(place: Place) -> tuple[str | float, str | float]:
    """How many of the pool's wait, and how many there are; nothing on SQLite, which has none."""
    if isinstance(place, OnRedis):
        with place.server.client() as client:
            found = [one for one in client.client_list() if "client|list" not in one["cmd"]]
        return float(sum("b" in one["flags"] for one in found)), float(len(found))
    if isinstance(place, OnMariaDB):
        with place.server.connect() as line, line.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user='root'")
            row = cursor.fetchone()
        return "", float(row[0] - 1 if row else 0)
    return "", ""


def used(crew: Crew, place: Place, seconds: float) -> tuple[float, float]:
    """The pool's share of a core and the server's, in percent."""
    ours = [one.pid for one in cost.tree(crew.roots)]
    before, began = cost.exact([*ours, *place.pids]), monotonic()
    sleep(seconds)
    after, took = cost.exact(before), monotonic() - began
    spent = {pid: 100 * (after[pid] - before[pid]) / 1e9 / took for pid in after}
    servers = sum(share for pid, share in spent.items() if pid in place.pids)
    return sum(spent.values()) - servers, servers


def turn(bench: Bench, engine: str) -> tuple[float, float, str | float, str | float]:
    place = bench.place(engine)
    place.clean()
    one = POOLQ[engine]
    bench.produce(one, "fill", 1)  # makes the tables
    with bench.crew(bench.poolq(engine, f"--procs={WORKERS}")) as crew:
        until_idle(crew, WORKERS)
        sleep(1.0)  # what a pool does at its start
        window = max(2.0, WINDOW * min(1, bench.scale))
        return *used(crew, place, window), *connections(place)


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for engine, name in NAMES.items():
        turns = sorted(turn(bench, engine) for _ in range(bench.rounds))
        share, servers, waiting, every = turns[len(turns) // 2]
        served = servers if bench.place(engine).pids else ""
        rows.append([name, share, served, waiting, every])
        work = f"{WORKERS} idle workers on {name}, CPU"
        goals.append(Goal(f"idle-workers-{engine}", work, SHARE, share, "% of a core", most=True))
        if not isinstance(waiting, str):
            work = f"{WORKERS} idle workers on {name}, broker connections that wait"
            goals.append(Goal("idle-workers-waiting", work, WAITING, waiting, "", most=True))
    return [Outcome(f"{WORKERS} idle workers", HEADER, rows, goals, None, TEXT)]

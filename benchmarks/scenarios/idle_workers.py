"""64 workers that have nothing to do: their CPU, and the connections that wait for jobs."""

from __future__ import annotations

from math import nan
from time import monotonic, sleep

from benchmarks import cost
from benchmarks.bench import Bench, CannotRun, Crew
from benchmarks.catalog import NAMES, POOLQ, PROCRASTINATE, Contender
from benchmarks.goals import Goal
from benchmarks.places import OnMariaDB, OnPostgreSQL, OnRedis, Place
from benchmarks.report import Outcome
from benchmarks.watching import until_idle

WORKERS = 64
WINDOW = 8.0
SHARE, WAITING = 2, 1
PATIENCE = 300.0  # seconds until so many processes have started
HEADER = (
    "", "CPU, % of a core", "server's CPU", "connections that wait", "connections in all",
)  # fmt: skip
#: Those that wait, and all clients' but this one. The server does not say who listens. A peer's
#: connection sends nothing after LISTEN. poolq's also looks, once a second, which queues have jobs.
BACKENDS = """SELECT count(*) FILTER (WHERE query ~* '^(listen|with recursive s )'), count(*)
    FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
TEXT = f"""One pool of {WORKERS} idle workers, for {WINDOW:g} s: the CPU of all its processes,
and the CPU that the server uses for it, both from the middle round. On Redis, a connection that
waits is a blocked one; on PostgreSQL, one that listens. On MariaDB no connection blocks: the keeper
sends a statement, over one connection, with which the server checks for jobs every 50 ms.
{PROCRASTINATE.name} has {WORKERS} processes."""


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
    if isinstance(place, OnPostgreSQL):
        rows = place.one(BACKENDS)
        return float(rows[0]), float(rows[1])
    return "", ""


def used(crew: Crew, place: Place, seconds: float) -> tuple[float, float]:
    """The pool's share of a core and the server's, in percent."""
    serving = set(cost.pids(place.pids))
    before, began = cost.exact([*cost.pids(crew.roots), *serving]), monotonic()
    sleep(seconds)
    after, took = cost.exact(before), monotonic() - began
    spent = {pid: 100 * (after[pid] - before[pid]) / 1e9 / took for pid in after}
    servers = sum(share for pid, share in spent.items() if pid in serving)
    return sum(spent.values()) - servers, servers


Turn = tuple[float, float, str | float, str | float]


def turn(bench: Bench, engine: str) -> Turn:
    place = bench.place(engine)
    place.clean()
    one = POOLQ[engine]
    bench.produce(one, "fill", 1)  # makes the tables
    with bench.crew(bench.poolq(engine, f"--procs={WORKERS}")) as crew:
        until_idle(crew, WORKERS)
        return _used(bench, crew, place)


def peer(bench: Bench, one: Contender) -> Turn:
    """The same of a peer's processes on PostgreSQL, of which each waits for a notification."""
    place = bench.place(one.engine)
    place.clean()
    bench.produce(one, "fill", 1)  # makes the tables
    with bench.crew(one._replace(workers=one.workers[:1] * WORKERS)) as crew:
        end = monotonic() + PATIENCE
        while float(connections(place)[0]) < WORKERS:
            crew.alive()
            if monotonic() > end:
                raise CannotRun(f"{connections(place)[0]} of {WORKERS} workers were there in time")
            sleep(0.2)
        return _used(bench, crew, place)


def _used(bench: Bench, crew: Crew, place: Place) -> Turn:
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
        if engine == "postgresql":
            share, work = share + servers, f"{work} with the server's"
        goals.append(Goal(f"idle-workers-{engine}", work, SHARE, share, "% of a core", most=True))
        if not isinstance(waiting, str):
            work = f"{WORKERS} idle workers on {name}, broker connections that wait"
            key = f"idle-workers-waiting-{engine}"  # if none is found to wait, it was not measured
            goals.append(Goal(key, work, WAITING, waiting or nan, "", most=True))
        if engine == "postgresql":
            goals.append(_against(bench, share, rows))
    return [Outcome(f"{WORKERS} idle workers", HEADER, rows, goals, None, TEXT)]


def _against(bench: Bench, own: float, rows: list[list[str | float]]) -> Goal:
    """Add the peer's row. `own`: poolq's CPU and the server's, which must be less than its."""
    one, theirs = PROCRASTINATE, nan
    found = bench.interleave([one], lambda one: peer(bench, one))[one.name]
    if found:
        middle = sorted(found)[len(found) // 2]
        rows.append([f"{one.name}, PostgreSQL", *middle])
        theirs = middle[0] + middle[1]
    work = f"the same against {WORKERS} idle workers of {one.name}"
    return Goal("idle-workers-procrastinate", work, theirs, own, "% of a core", most=True)

"""Every admission of a rate limit, as the engine itself wrote it down, and what that says.

An engine keeps one record of a limit: its open window's start, and how many starts it has had.
Whatever admits starts writes that record, and here all writes are kept: on Redis by `MONITOR`,
which shows what a script writes; on the engines with tables by a trigger, which copies it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.places import OnMariaDB, OnPostgreSQL, OnRedis, OnSQLite, Place
from tests.support.server import binary, bound_to_us
from tests.support.wait import until

SET = re.compile(rb'lua\] "SET" "[^"]*:win:[^"]*" "(\d+) (\d+) ')
COPY = "INSERT INTO bench_windows (start, used) VALUES (NEW.start, NEW.used);"
TABLE = "CREATE TABLE bench_windows (id INTEGER PRIMARY KEY %s, start BIGINT, used BIGINT)"
READ = "SELECT start, used FROM bench_windows ORDER BY id"
MARK = "benchmarks:all-is-written"


class Write(NamedTuple):
    """The window afterwards. `start`: microseconds since the epoch; `used`: starts in it."""

    start: int
    used: int


class Verdict(NamedTuple):
    """`over`: starts above the limit, or in a window that opened before the last one's end;
    `share`: of the starts that were allowed from the opening of the first window to that of the
    last one."""

    admitted: int
    windows: int
    most: int
    over: int
    share: float


def judge(writes: Sequence[Write], limit: int, span: int) -> Verdict:
    """What the limit of so many starts in `span` microseconds was in truth (pure).

    Each write must add starts to its window: raises ValueError if one does not."""
    windows: dict[int, int] = {}
    for start, used in writes:
        if used <= windows.get(start, 0):
            raise ValueError(f"start {used} of a window follows start {windows.get(start, 0)}")
        windows[start] = used
    opened = sorted(windows)
    over = sum(max(0, used - limit) for used in windows.values())
    over += sum(windows[late] for early, late in pairwise(opened) if late < early + span)
    allowed = limit * (opened[-1] - opened[0]) / span if len(opened) > 1 else 0
    share = sum(windows[start] for start in opened[:-1]) / allowed if allowed else 1.0
    return Verdict(sum(windows.values()), len(windows), max(windows.values()), over, share)


@contextmanager
def recorded(place: Place, folder: Path) -> Iterator[Callable[[], list[Write]]]:
    """Keep the writes from now on; the tables are there. What is yielded reads all of them."""
    if isinstance(place, OnRedis):
        with _monitored(place, folder / "monitor") as read:
            yield read
    elif isinstance(place, OnMariaDB):
        with closing(place.server.connect()) as line, line.cursor() as cursor:
            cursor.execute(TABLE % "AUTO_INCREMENT")
            cursor.execute(
                "CREATE TRIGGER bench AFTER UPDATE ON poolq_windows FOR EACH ROW"
                f" IF NEW.used <> OLD.used OR NEW.start <> OLD.start THEN {COPY} END IF"
            )
        yield lambda: _on_mariadb(place)
    elif isinstance(place, OnPostgreSQL):
        with closing(place.server.connect()) as line:
            line.execute(TABLE % "GENERATED ALWAYS AS IDENTITY")
            line.execute(f"CREATE FUNCTION bench() RETURNS trigger LANGUAGE plpgsql AS"
                         f" 'BEGIN {COPY} RETURN NULL; END'")  # fmt: skip
            line.execute(
                "CREATE TRIGGER bench AFTER UPDATE ON poolq_windows FOR EACH ROW WHEN"
                " (NEW.used <> OLD.used OR NEW.start <> OLD.start) EXECUTE FUNCTION bench()"
            )
        yield lambda: _on_postgresql(place)
    else:
        assert isinstance(place, OnSQLite)
        with closing(place.connect()) as line:
            line.execute(TABLE % "")
            line.execute(
                f"CREATE TRIGGER bench AFTER UPDATE OF used ON poolq_windows BEGIN {COPY} END"
            )
        yield lambda: _on_sqlite(place)


def _on_mariadb(place: OnMariaDB) -> list[Write]:
    with closing(place.server.connect()) as line, line.cursor() as cursor:
        cursor.execute(READ)
        return [Write(*row) for row in cursor.fetchall()]


def _on_postgresql(place: OnPostgreSQL) -> list[Write]:
    with closing(place.server.connect()) as line:
        return [Write(*row) for row in line.execute(READ)]


def _on_sqlite(place: OnSQLite) -> list[Write]:
    with closing(place.connect()) as line:
        return [Write(*row) for row in line.execute(READ)]


@contextmanager
def _monitored(place: OnRedis, path: Path) -> Iterator[Callable[[], list[Write]]]:
    command = bound_to_us([binary("redis-cli"), "-p", str(place.server.port), "MONITOR"])

    def read() -> list[Write]:
        with place.server.client() as client:
            client.echo(MARK)
        until(lambda: MARK.encode() in path.read_bytes()[-10_000:], 10, "the monitor's end")
        return [Write(int(one[1]), int(one[2])) for one in SET.finditer(path.read_bytes())]

    with path.open("wb") as out:
        monitor = subprocess.Popen(command, stdout=out)
    try:
        until(lambda: path.read_bytes().startswith(b"OK"), 10, "the monitor")
        yield read
    finally:
        monitor.kill()
        monitor.wait()

"""A store in which much waits in each place, and every act of pools, producers and people on it.

It shows what grows with what waits: the same acts on a small and on a large store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from msgspec import structs

from poolq.engines.base import ASK, Engine, Push, Settlement
from poolq.engines.schedule_store import NewSchedule, Tick
from poolq.engines.spans import GATE_SPAN
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Outcome, Park, ReleaseUntil
from poolq.jobs.unique import UniqueKey
from tests.contract.helpers import HOUR, Worker, gate, new_id

CHUNK = 500
#: So many jobs with unique keys are in the middle of the ready ones.
UNIQUE = 200
#: Where there is a window, a state or a claim for each job, it is made for each PART-th one.
PART = 10
BUSY = Rule("busy", 1, HOUR)

_serial = count(1)


def pushes(queue: str, names: Sequence[str], at: int = 0, expires: int = 0) -> list[Push]:
    return [Push(new_id(), queue, name.encode(), 0, at, expires) for name in names]


def end_all(worker: Worker, queue: str, size: int, outcome: Callable[[int], Outcome]) -> None:
    """Push jobs to a queue, claim them, and end each in this way."""
    for start in range(0, size, CHUNK):
        numbers = range(start, min(size, start + CHUNK))
        worker.engine.push(pushes(queue, [str(number) for number in numbers]))
        ends = zip(worker.claim(len(numbers), [queue]), numbers, strict=True)
        worker.step(*(Settlement(claim, outcome(number)) for claim, number in ends))


class Store(NamedTuple):
    """What was stored: in how many lines, ids of ready and of parked jobs, and those in the middle
    of each place."""

    engine: Engine
    lines: int
    ready: list[str]
    parked: list[str]
    middles: dict[str, str]


def _unique(queue: str, keys: Sequence[str], replaces: bool) -> list[Push]:
    asked = [UniqueKey(key, "end", 0, replaces) for key in keys]
    pairs = zip(pushes(queue, keys), asked, strict=True)
    return [structs.replace(push, unique=unique) for push, unique in pairs]


def fill(engine: Engine, size: int, lines: int = 0) -> Store:
    """Store `size` jobs in each place: ready, delayed (all for the same moment), parked in a line
    each (if `lines` is 0, else so many); and a part of that in the others, as this takes long."""
    lines = lines or size
    now = engine.now()
    ready: list[str] = []
    for half in range(2):
        for start in range(0, size // 2, CHUNK):
            some = pushes("ready", [str(n) for n in range(min(CHUNK, size // 2 - start))])
            engine.push(some)
            ready += [one.id for one in some]
        if half == 0:
            engine.push(_unique("ready", [f"u{n}" for n in range(UNIQUE)], False))
    middles = {"ready": ready[len(ready) // 2]}
    for start in range(0, size, CHUNK):
        names = [str(number) for number in range(start, min(size, start + CHUNK))]
        later = pushes("delayed", names, at=now + HOUR)
        engine.push(later)
        if start <= size // 2 < start + CHUNK:
            middles["delayed"] = later[0].id
    for start in range(0, lines, CHUNK):
        names = [str(number) for number in range(start, min(lines, start + CHUNK))]
        each = [
            structs.replace(one, gate=gate(f"k{one.body.decode()}"))
            for one in pushes("lines", names)
        ]
        engine.push(each)
        if start <= lines // 2 < start + CHUNK:
            middles["lines"] = each[0].id
    names = [str(number) for number in range(size // PART)]
    engine.push(pushes("due", names, at=now + HOUR // 4))
    line = [structs.replace(one, gate=gate("line")) for one in pushes("line", names)]
    engine.push(line)
    middles["line"] = line[len(line) // 2].id
    filler = Worker(engine, "filler")
    end_all(filler, "windows", lines // PART, lambda n: _refused(engine, Rule(f"w{n}", 1, HOUR)))
    end_all(
        filler, "released", size // PART, lambda _: ReleaseUntil(now + HOUR // 2, State(), BUSY)
    )
    end_all(filler, "failed", size // PART, lambda _: Bury(State()))
    parked = [one.id for some in (each, line) for one in some[-9:]]
    return Store(engine, lines, ready, parked, middles)


def _refused(engine: Engine, rule: Rule) -> Park:
    assert engine.admit([rule]).wait == 0
    return Park((rule,), 0)


Act = Callable[[Store], object]


def page(status: str, queue: str | None, pages: int = 1, limit: str | None = None) -> Act:
    """Read the first pages of a listing."""

    def read(store: Store) -> None:
        cursor = None
        for _ in range(pages):
            found = store.engine.page(
                status, queue, limit=limit, cursor=cursor, max_count=30, brief=True
            )
            cursor = found.cursor

    return read


def middle_page(store: Store) -> None:
    """The page behind the middle of each place, by a cursor as a listing has there."""
    for status, section, queue, line in (
        ("ready", "queue", "ready", ""),
        ("delayed", "queue", "delayed", ""),
        ("parked", "line", "line", f"{GATE_SPAN}:line"),
        ("parked", "line", "lines", f"{GATE_SPAN}:k{store.lines // 2 // CHUNK * CHUNK}"),
    ):
        id_ = store.middles[queue]
        found = store.engine.find(id_)
        assert found is not None
        cursor = f"{section} {found.at} {id_} {queue}\n{line}"
        assert store.engine.page(status, queue, cursor=cursor, brief=True).jobs


def replace(many: int) -> Act:
    def push(store: Store) -> None:
        keys = [f"u{n}" for n in range(many)]
        assert len(set(store.engine.push(_unique("ready", keys, True)))) == many

    return push


def work(queue: str, want: int = 100) -> Act:
    """Claim and settle a batch of a queue ("": of all queues)."""

    def claim(store: Store) -> None:
        hand = Worker(store.engine, f"{queue}-{want}-{next(_serial)}")
        claims = hand.claim(want, [queue] if queue else None)
        ends = [ACK, GIVE_BACK]
        hand.step(*(Settlement(one, ends[n % 2]) for n, one in enumerate(claims)))
        store.engine.recover(hand.name, None)

    return claim


def admissions(store: Store) -> None:
    """Starts under gates and windows for which jobs wait, and under others."""
    engine = store.engine
    hand = Worker(engine, f"asks-{next(_serial)}")
    asked = [gate("line")], [Rule("w5", 1, HOUR)], [Rule("free", 9, HOUR)], [gate("free")]
    for queue in ("lines", "fresh"):
        engine.push(pushes("fresh", list("abcdef")))
        for claim, rules in zip(hand.claim(4, [queue]), asked, strict=False):
            engine.admit(rules, (hand.name, claim))
            hand.step(Settlement(claim, Park(tuple(rules), 0)))
    engine.accept(hand.name)
    for want in (1, ASK):
        for claim in hand.claim(want, ["fresh"]):
            engine.admit(asked[1], (hand.name, claim))
    engine.recover(hand.name, None)


def cancels(store: Store) -> None:
    hand = Worker(store.engine, f"cancelled-{next(_serial)}", "n2")
    (claim,) = hand.claim(1, ["ready"])
    assert store.engine.request_cancel([claim.id], 0) == [claim.id]
    store.engine.cancel_requests("n2")
    store.engine.reap("n2", store.engine.beat("n2", b"{}")["n2"])
    store.engine.remove_node("n3")


def schedules(store: Store) -> None:
    place = store.engine.schedules
    place.declare("n1", 1, [NewSchedule("tick", "a1", b"spec", 1)])
    one = pushes("due", ["tick"])
    place.look(9)
    place.tick([Tick("tick", "a1", 1, 2, "allow", 1, one)])
    place.tick([Tick("tick", "a1", 2, 3, "allow", 2, _unique("ready", ["u5"], True))])
    place.pause("tick")
    place.declare("n1", 1, [])
    place.all()


def acts(turn: int = 0) -> Iterator[tuple[str, Act]]:
    """All acts, by name. They can be repeated in five turns (0 to 4)."""

    def some(store: Store, skipped: int) -> list[str]:
        at = len(store.ready) // 2 + 20 + 40 * (2 * turn + skipped)
        return store.ready[at : at + 40]

    yield "dispatch", lambda s: s.engine.push(pushes("ready", ["a"]))
    yield "dispatch 1000", lambda s: s.engine.push(pushes("ready", ["a"] * 1000))
    yield "dispatch expiring", lambda s: s.engine.push(pushes("ready", ["a"] * 9, expires=HOUR))
    yield "dispatch behind due ones", lambda s: s.engine.push(pushes("due", ["a"]))
    yield "dispatch unique", lambda s: s.engine.push(_unique("ready", ["x", "y"], False))
    yield "dispatch one unique", lambda s: s.engine.push(_unique("ready", ["z"], False))
    yield (
        "dispatch parked",
        lambda s: s.engine.push(
            [
                structs.replace(one, gate=gate(f"k{n}"))
                for n, one in enumerate(pushes("lines", ["a"] * 100))
            ]
        ),
    )
    yield "dispatch skipped", lambda s: s.engine.push(_unique("ready", ["u1"], False))
    yield "replace 1", replace(1)
    yield "replace many", replace(UNIQUE)
    yield "work: ready", work("ready")
    yield "work: ready 1", work("ready", 1)
    yield "work: due", work("due")
    yield "work: lines", work("lines")
    yield "work: one line", work("line")
    yield "work: windows", work("windows")
    yield "work: released", work("released")
    yield "work: all", work("")
    yield "admissions", admissions
    yield "look: all", lambda s: s.engine.wait(None, 0)
    yield "look: named", lambda s: s.engine.wait(["ready", "due", "lines", "released"], 0)
    yield "wake", lambda s: s.engine.wake(None)
    yield "beat", lambda s: s.engine.beat("n1", b"{}")
    yield "sweep", lambda s: s.engine.sweep(HOUR)
    yield "nodes", lambda s: (s.engine.nodes(), s.engine.registered())
    yield "counts", lambda s: (s.engine.counts(), s.engine.totals(), s.engine.limits())
    yield "find", lambda s: [s.engine.find(id_) for id_ in s.middles.values()]
    yield (
        "first pages",
        lambda s: [
            s.engine.page(one) for one in ("ready", "delayed", "parked", "running", "failed")
        ],
    )
    yield "pages in the middle", middle_page
    yield "page of a limit", page("parked", None, 1, "k7")
    yield "page of a limit that has released jobs", page("delayed", None, 1, "busy")
    yield "page of a limit without any", page("delayed", None, 1, "x")
    yield "pages of failed ones", page("failed", "failed", 3)
    yield "ids", lambda s: s.engine.ids(s.middles["ready"])
    yield "hold", lambda s: s.engine.hold("w3", HOUR)
    yield "work: held", work("windows")
    yield "lift", lambda s: s.engine.lift("w3")
    yield "set a limit", lambda s: s.engine.set_limit("w3", HOUR, 2)
    yield "reset a limit", lambda s: s.engine.reset_limit("w3", HOUR, True)
    yield "pause", lambda s: (s.engine.pause("ready"), s.engine.resume("ready"))
    yield "cancel", lambda s: s.engine.cancel(some(s, 0))
    yield "cancel parked ones", lambda s: s.engine.cancel(s.parked[turn::9])
    yield "move", lambda s: s.engine.move(some(s, 1), "fresh")
    yield "move back", lambda s: s.engine.move(some(s, 1), "ready")
    yield "cancel running ones", cancels
    yield "schedules", schedules
    yield "retry", lambda s: s.engine.retry([job.id for job in s.engine.failed(max_count=9)])
    yield "forget", lambda s: s.engine.forget([job.id for job in s.engine.failed(max_count=9)])

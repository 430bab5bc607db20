"""Redis, SQLite and MariaDB run the same random operations, each beside the model of the contract.

By default the seeds are fixed and it takes some 30 seconds. To run longer, with random seeds:
`pytest --model-seconds=600 tests/contract/test_model.py`; to repeat one of those seeds:
`--model-seed=N`. A failure prints its operations and the model's state. They are not minimized,
which would take minutes.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from poolq.engines.base import (
    Claim,
    DeathEnd,
    DeathReport,
    EndedSlots,
    Engine,
    Push,
    Settlement,
    Step,
    StoredJob,
)
from poolq.engines.mysql import reconnecting
from poolq.engines.postgresql import wire
from poolq.engines.schedule_store import NewSchedule, Tick
from poolq.engines.search import STATUSES
from poolq.engines.sql import servers as server_engines
from poolq.engines.sql.queues import turns
from poolq.errors import EngineError, Fenced
from poolq.jobs.limits import Gate, Rule, gates_of
from poolq.jobs.message import State
from poolq.jobs.outcomes import (
    ACK,
    DISCARD,
    DONE,
    EXPIRE,
    GIVE_BACK,
    Bury,
    Failing,
    HoldKey,
    Outcome,
    Park,
    Release,
    ReleaseUntil,
)
from poolq.jobs.unique import UniqueKey, Until
from tests.contract.helpers import HOUR, MS, SECOND, line, new_id, open_engine, registration
from tests.contract.model import Model
from tests.support.clock import Clock
from tests.support.postgresql import PostgreSQL
from tests.support.servers import MariaDB, Redis

MINUTE = 60 * SECOND
NODES = {"w1": "n1", "w2": "n1", "w3": "n2"}
QUEUES = ("a", "b", "c")
ASKED: Sequence[Sequence[str] | None] = (
    ("a",),
    ("a", "b"),
    ("b", "a"),
    ("c", "a", "b"),
    None,
    None,
)

WIDE, ANN, BOB = Rule("wide", 2, MINUTE), Rule("ann", 1, 10 * MINUTE), Rule("bob", 2, 10 * MINUTE)
MAIL = [Rule("mail", limit, MINUTE) for limit in (1, 2, 3)]
#: A sliding window, and starts that count as several.
SLIDE, SLIDE_TWO = (Rule("slide", 3, MINUTE, cost, sliding=True) for cost in (1, 2))
BIG = Rule("mail", 3, MINUTE, 2)
#: Gates of one job and of two at once.
ALONE, PAIR = Gate("alone", 1), Gate("pair", 2)
RULES = [
    (ALONE,), (PAIR,), (ALONE._replace(limit=2),), (PAIR, ANN), (WIDE, ALONE), (ALONE, PAIR),
    (WIDE, ANN), (WIDE, BOB), (WIDE,), (ANN,), *((rule,) for rule in MAIL), (SLIDE,), (SLIDE_TWO,),
    (BIG,), (SLIDE, ANN),
]  # fmt: skip
#: Kinds of jobs: their limits, and what becomes of those that one of these refuses.
KINDS = [
    ((WIDE, ANN), "park"),
    ((WIDE, BOB), "park"),
    ((WIDE,), "release"),
    ((MAIL[0],), "release"),
    ((MAIL[1],), "park"),
    ((MAIL[2],), "park"),
    ((ANN,), "jitter"),
    ((), "ack"),
    ((WIDE,), "park"),
    ((SLIDE,), "park"),
    ((SLIDE_TWO,), "park"),
    ((BIG,), "park"),
    ((SLIDE_TWO,), "release"),
    ((SLIDE, ANN), "park"),
    ((ALONE,), "park"),
    ((PAIR,), "park"),
    ((MAIL[1], PAIR), "park"),
    ((ALONE, WIDE), "release"),
    ((), "hold"),
]
#: Gates that their class names, so that the dispatch parks, and the jobs' kinds.
DISPATCHED = [(ALONE, 14), (ALONE._replace(limit=2), 14), (PAIR, 15)]
#: How long after they are due jobs of some kinds expire.
EXPIRES = {0: 5 * MINUTE, 4: 90 * SECOND, 7: 30 * SECOND}
DELAYS = (0, 0, 0, -5 * SECOND, 30 * SECOND, 90 * SECOND)
MOVES = (SECOND, 30 * SECOND, MINUTE, MINUTE + SECOND, 10 * MINUTE, HOUR)
JUMPS = (2 * SECOND, 30 * SECOND, HOUR)
OUTCOMES = (
    "ack", "ack", "retry", "retry later", "give back", "fail", "bury", "snooze", "discard",
    "release", "release", "jitter", "park", "park", "park anyway", "hold",
)  # fmt: skip
#: Each act takes so long.
TICK = MS
#: To end all that an example has begun takes as long as 30 steps of it, so few are long.
EXAMPLES, STEPS = 10, 60
#: Seeds that have failed in random runs. In each, the clock goes back while jobs wait for a limit.
FIXED_SEEDS = (300259007, 712982541, 102760520)


_worlds = count(1)


class World:
    """One engine, its model, and its half of the operations: what they refer to by number is what
    this engine has there."""

    def __init__(self, name: str, engine: Engine, other: Engine, clock: Clock) -> None:
        self.name = name
        self.engine = engine
        self.other = other
        self.clock = clock
        self.model = Model(clock.now)
        self.known: dict[str, list[Claim]] = {}  # the claims that each worker knows of
        self.lost: dict[
            str, tuple[Any, ...]
        ] = {}  # by worker, the step whose reply it has not received
        self.old: list[tuple[str, Claim]] = []
        self.ended: list[EndedSlots] = []  # slots of jobs whose settlements are not sent yet
        self.beats: dict[str, int] = {}
        self.number = next(_worlds)
        self.lives = dict.fromkeys(NODES, 1)

    def called(self, seat: str) -> str:
        """The current worker of that number: names of dead workers are not reused."""
        return f"{seat}.{self.number}.{self.lives[seat]}"

    # producers and workers

    def push(
        self, ids: Sequence[str], kinds: Sequence[int], queue: str, delay: int, ago: int
    ) -> None:
        at = self.clock.now + delay - ago if ago else 0
        pairs = zip(ids, kinds, strict=True)
        pushes = [
            Push(one, queue, b"%d" % kind, delay, at, EXPIRES.get(kind, 0)) for one, kind in pairs
        ]
        self.model.push(pushes, self.other.push(pushes))

    def push_parked(
        self, ids: Sequence[str], dispatched: tuple[Rule, int], queue: str, expires: int
    ) -> None:
        rule, kind = dispatched
        pushes = [Push(one, queue, b"%d" % kind, expires=expires, gate=rule) for one in ids]
        self.model.push(pushes, self.other.push(pushes))

    def push_unique(
        self, ids: Sequence[str], kind: int, queue: str, key: str, right: tuple[Until, bool]
    ) -> None:
        self.learn()
        pushes = [
            Push(one, queue, b"%d" % kind, unique=UniqueKey(key, right[0], 0, right[1]))
            for one in ids
        ]
        self.model.push(pushes, self.other.push(pushes))

    def tick(self, id: str, kind: int, queue: str, key: str, until: tuple[Until, bool]) -> None:
        """A schedule is due whose job is unique. The tick is repeated, as by another keeper."""
        self.learn()
        now, store = self.clock.now, self.other.schedules
        unique = UniqueKey(key, until[0], 0, until[1])
        push = Push(id, queue, b"%d" % kind, 0, now, unique=unique)
        assert store.put(NewSchedule("s", "abcd", b"spec", now)) == "added"
        tick = Tick("s", "abcd", now, now + HOUR, last=now, pushes=[push], left_out=kind)
        (end,) = store.tick([tick])
        assert store.tick([tick]) == ["lost"]
        found = store.get("s")
        assert found is not None
        assert (found.ticks, found.skipped) == (end == "stored", kind + (end == "skipped"))
        assert store.remove("s") == "removed"
        self.model.tick(push, end)

    def learn(self) -> None:
        """Look up who has the keys of which the model is not sure."""
        keys, jobs = self.model.keys, self.model.jobs
        for key in sorted(keys.unsure):
            mine = [one.id for one in jobs.values() if one.right and one.right.key == key]
            found = self.engine.find(mine[0]) if mine else None
            keys.learn(key, found.holder if found else "", jobs)

    def join(self, seat: str) -> str:
        """Register a worker there if there is none. Returns its name."""
        node, worker = NODES[seat], self.called(seat)
        if worker not in self.model.workers:
            self.beats[node] = self.engine.beat(node, b"{}")[node]
            self.engine.register(registration(worker, node))
            self.model.register(worker, node)
            self.known[worker] = []
        return worker

    def step(
        self,
        seat: str,
        ends: Sequence[tuple[int, str, int]],
        want: int,
        queues: Sequence[str] | None,
        fate: str,
    ) -> None:
        """`fate`: "sent twice", or "reply lost", after which the request is repeated later."""
        worker = self.join(seat)
        if worker in self.lost:
            request, settlements, want, queues = self.lost.pop(worker)
        else:
            request = max(0, self.model.replies[worker].request) + 1
            settlements = self.settlements(worker, ends)
        step = self._step(worker, request, settlements, want, queues)
        if fate == "sent twice":
            self._step(worker, request, settlements, want, queues)
        if fate == "reply lost":
            self.lost[worker] = request, settlements, want, queues
            return
        self.known[worker] += step.claims
        while self.model.misses:  # heads are moving to other lines, which must end
            request += 1
            self.known[worker] += self._step(worker, request, [], 1, queues).claims

    def _step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Step:
        step = self.engine.step(worker, request, settlements, want, queues)
        self.model.step(worker, request, settlements, want, queues, step)
        return step

    def settlements(self, worker: str, ends: Sequence[tuple[int, str, int]]) -> list[Settlement]:
        """Outcomes for some of its claims, in claim order."""
        held, chosen, self.ended = self.known[worker], {}, []
        for number, what, rules in ends:
            if held:
                chosen.setdefault(number % len(held), (what, RULES[rules % len(RULES)]))
        made = []
        for at in sorted(chosen):
            claim = held[at]
            outcome = self.outcome(worker, claim, *chosen[at])
            made.append(Settlement(claim, outcome))
            if isinstance(outcome, Failing):
                continue
            self.old.append((worker, claim))
        ended = {one.claim.id for one in made if not isinstance(one.outcome, Failing)}
        self.known[worker] = [claim for claim in held if claim.id not in ended]
        # With equal due times, they would be sorted by id.
        return sorted(made, key=lambda one: one.claim.id)

    def outcome(  # one case for each outcome
        self, worker: str, claim: Claim, what: str, rules: tuple[Rule, ...]
    ) -> Outcome:
        job = self.model.jobs.get(claim.id)
        state = job.state if job else claim.state
        tried = state._replace(attempt=state.attempt + 1)
        if what == "run":
            rules, what = KINDS[int(claim.body)]
            what = "ack" if claim.admitted else what
            what = "expire" if 0 < claim.expires_at <= self.model.now else what
        match what:
            case "retry":
                return Release(0, tried)
            case "retry later":
                return Release(45 * SECOND, tried)
            case "snooze":
                return Release(45 * SECOND, state, "snoozed")
            case "give back" | "discard" | "expire":
                return {"give back": GIVE_BACK, "discard": DISCARD, "expire": EXPIRE}[what]
            case "fail":
                return Failing(tried._replace(failing=1))
            case "bury":
                return Bury(tried, EXPIRES.get(int(claim.body), 0))
            case "hold" | "park anyway":
                return self.waiting(what, rules)
            case "release" | "jitter" | "park":
                return self.limited(worker, claim, what, rules, tried)
        return DONE if claim.gated else ACK

    @staticmethod
    def waiting(what: str, rules: tuple[Rule, ...]) -> Outcome:
        if what == "park anyway":
            return Park(rules, 0)
        windows = [rule for rule in rules if not isinstance(rule, Gate)]
        park = Park(rules, rules.index(windows[-1])) if windows else None
        return HoldKey(windows[-1].key if windows else "wide", 45 * SECOND, park)

    def limited(
        self, worker: str, claim: Claim, what: str, rules: tuple[Rule, ...], tried: State
    ) -> Outcome:
        if claim.gated:  # it has been given its slots, and asks for no others
            return DONE
        admission = self.admit(rules, worker, claim)
        if not admission.wait:
            if not gates_of(rules):
                return ACK
            self.ended.append(EndedSlots(claim, rules))
            return DONE
        if admission.not_yet:
            return GIVE_BACK
        if admission.held and isinstance(rules[admission.rule], Gate):
            return HoldKey(rules[admission.rule].key, 0)
        if what == "park" or admission.held or isinstance(rules[admission.rule], Gate):
            return Park(rules, admission.rule)
        later = 7 * SECOND if what == "jitter" else 0
        return ReleaseUntil(admission.until + later, tried, rules[admission.rule])

    def admit(self, rules: tuple[Rule, ...], worker: str, claim: Claim) -> Any:
        held = any(
            (one.id, one.request, one.index) == (claim.id, claim.request, claim.index)
            and not self.model.jobs[one.id].cancelled
            for one in self.model.held(worker)
        )
        ended = self.ended if gates_of(rules) else []
        admission = self.engine.admit(rules, (worker, claim), ended)
        self.model.leave(worker, ended)
        if held:
            self.model.admit_claim(rules, claim.id, admission)
            if not admission.wait:  # as if the answer were lost
                assert self.engine.admit(rules, (worker, claim)) == admission
        else:
            assert admission.stale, f"{admission} for a claim that is not held"
        return admission

    def start(self, rules: tuple[Rule, ...]) -> None:
        """Ask for a start, but for no claim. A gate needs one."""
        if gates_of(rules):
            return
        admission, expected = self.engine.admit(rules), self.model.admit(rules)
        assert admission == expected, f"{admission} and not {expected}"

    def limit(self, what: str, number: int) -> None:
        """Set or reset the limit of a rule, as people do."""
        key, _, window, *_ = (WIDE, ANN, MAIL[0], SLIDE)[number % 4]
        if what == "set":
            self.other.set_limit(key, window, 1 + number % 5)
            self.model.set_limit(key, window, 1 + number % 5)
        else:
            starts = what == "empty"
            self.model.reset_limit(key, window, starts, self.other.reset_limit(key, window, starts))

    def settle_again(self, number: int, outcome: Outcome) -> None:
        """Settle claims that were settled long ago, or belong to another worker now."""
        if not self.old:
            return
        worker, claim = self.old[number % len(self.old)]
        if worker not in self.model.workers:
            with suppress(Fenced):
                self.engine.step(worker, 1, [Settlement(claim, ACK)], 0, None)
                raise AssertionError(f"{worker} should have been fenced")
        elif worker not in self.lost:
            request = max(0, self.model.replies[worker].request) + 1
            self._step(worker, request, [Settlement(claim, outcome)], 0, None)

    def skip(self, seat: str) -> None:
        """The store has lost a step: the worker is fenced, and its claims are left for recovery."""
        worker = self.join(seat)
        last = self.model.replies[worker].request
        for request in (last - 1, last + 2):
            if last > 1:
                with suppress(EngineError):
                    self.engine.step(worker, request, [], 1, None)
                    raise AssertionError(f"request {request} after {last} should be refused")

    # keepers

    def recover(self, seat: str, finished: int, settled: int, how: str) -> None:
        worker = self.called(seat)
        held = self.model.held(worker)
        death: DeathReport | None = None
        if how != "unknown":
            request = held[-1 - finished % 2 % len(held)].request if held else 1
            end = how.partition(" ")[0]
            started = finished if end in get_args(DeathEnd) else -1
            death = DeathReport(
                request=request,
                finished=finished,
                started=max(started, settled) if started >= 0 else -1,
                entry=line(),
                end=end if started >= 0 else "crash",  # type: ignore[arg-type]  # one of DeathEnd
                delay=20 * SECOND if how == "timeout later" else 0,
                settled=min(settled, finished),
            )
        self._forget(seat)
        self.model.recover(worker, death, self.engine.recover(worker, death))

    def reap(self, node: str) -> None:
        if node in self.beats:
            beat = self.beats.pop(node)
            assert self.engine.reap(node, beat + 1) is None
            for seat, its in NODES.items():
                if its == node:
                    self._forget(seat)
            self.model.reap(node, self.engine.reap(node, beat))

    def _forget(self, seat: str) -> None:
        worker = self.called(seat)
        self.lives[seat] += 1
        self.lost.pop(worker, None)
        self.old += [(worker, claim) for claim in self.known.pop(worker, [])]

    # administration

    def people(self, what: str, queue: str, number: int) -> None:
        model, engine = self.model, self.other
        self.learn()
        ids = sorted(model.jobs)
        chosen = ids[number % len(ids)] if ids else "none"
        failed = [job.id for job in model.failed()]
        match what:
            case "pause":
                engine.pause(queue)
                model.paused.add(queue)
            case "resume":
                engine.resume(queue)
                model.paused.discard(queue)
            case "purge":
                model.purge(queue, engine.purge(queue))
            case "cancel":
                some = [chosen, "none", *ids[number % 7 :: 7]]
                model.cancel(some, engine.cancel(some))
            case "request":
                some = [chosen, "none", *ids[number % 5 :: 5]]
                model.request_cancel(some, engine.request_cancel(some, number * SECOND))
            case "move":
                some = [*ids[number % 4 :: 4], chosen, "none"]
                model.move(some, queue, engine.move(some, queue))
            case "retry":
                some = [*failed[: 1 + number % 3], "none"]
                kind = number % len(KINDS)
                bodies = dict.fromkeys(some[1:], b"%d" % kind)
                expires = {one: EXPIRES.get(kind, 0) for one in bodies}
                model.retry(some, engine.retry(some, bodies, expires), bodies, expires)
            case "forget":
                some = [*failed[: 1 + number % 3], chosen]
                model.forget(some, engine.forget(some))
        model.check_find(chosen, engine.find(chosen))

    def hold(self, key: str, seconds: int) -> None:
        self.model.hold(key, seconds * SECOND, self.other.hold(key, seconds * SECOND))

    def lift(self, key: str) -> None:
        self.model.lift(key, self.other.lift(key))

    def look(self, number: int = 0) -> None:
        model, engine = self.model, self.engine
        model.check_counts(engine.counts())
        model.check_totals(engine.totals())
        model.check_limits(engine.limits())
        for node in sorted(set(NODES.values())):
            model.check_requests(node, engine.cancel_requests(node))
        model.check_failed(engine.failed())
        size = 1000 if model.epoch else 1 + number  # pages may differ after the clock has gone back
        for status in STATUSES[:-1]:
            model.check_page(status, self.listed(status, size))
        for id_ in sorted(model.jobs)[number::10]:
            model.check_find(id_, engine.find(id_))

    def listed(self, status: str, size: int) -> list[StoredJob]:
        found, cursor = [], None
        while True:
            page = self.engine.page(status, cursor=cursor, max_count=size)
            found += page.jobs
            cursor = page.cursor
            if cursor is None:
                return found

    # the end

    def drain(self) -> None:
        """One worker gets everything out again, in the right order."""
        self._die()
        for queue in QUEUES:
            self.engine.resume(queue)
            self.model.paused.discard(queue)
        for key, window in list(self.model.overrides):
            answer = self.engine.reset_limit(key, window, False)
            self.model.reset_limit(key, window, False, answer)
        failed = [job.id for job in self.model.failed()]
        self.model.forget(failed, self.engine.forget(failed))

    def work(self) -> None:
        worker = self.join("w1")
        for _ in range(2 + len(self.model.jobs)):
            ends = [(n, "ack", 0) for n in range(len(self.known[worker]))]
            self.step("w1", ends, 5, None, "")

    def leave(self) -> None:
        assert self.model.jobs == {}, f"never came out: {self.model.jobs}"
        self.look()
        self._die()
        for node in set(NODES.values()):
            self.engine.remove_node(node)
        self.sweep()

    def sweep(self) -> None:
        """Have what is over forgotten, but no queue, however far the examples have moved the clock:
        engines remember which ones exist."""
        while self.engine.sweep(self.clock.now):
            pass

    def _die(self) -> None:
        for seat in NODES:
            worker = self.called(seat)
            self._forget(seat)
            self.model.recover(worker, None, self.engine.recover(worker, None))


class Namespace:
    """Where the worlds live: three stores that are emptied after each example, and must then
    contain only what outlives all jobs."""

    #: Redis' keys, and the tables that may have rows, when every job is gone: what is known of
    #: queues and limits stays until it is swept.
    KEPT = (
        "version",
        "known",
        "idle",
        "active",
        "later",
        "counters",
        "wake",
        "windows",
        "win",
        "starts",
        "clock",
        "holds",
    )

    def __init__(
        self,
        clock: Clock,
        redis: Redis,
        mariadb: MariaDB,
        postgresql: PostgreSQL,
        file: Path,
        name: str,
        only: str,
    ) -> None:
        self.clock = clock
        self.name = name
        self._redis, self._mariadb, self._postgresql = redis, mariadb, postgresql
        self._file = file
        urls = {
            "redis": redis.url,
            "sqlite": f"sqlite:///{file}",
            "mariadb": mariadb.plain_url,
            "postgresql": postgresql.url,
        }
        self.engines: dict[str, tuple[Engine, Engine]] = {}
        for kind in only.split(",") if only else urls:
            url = urls[kind]
            pair = open_engine(url, name, migrate=True), open_engine(url, name)
            for engine in pair:
                clock.govern(engine)
            self.engines[kind] = pair

    def worlds(self) -> list[World]:
        return [World(name, *pair, self.clock) for name, pair in self.engines.items()]

    def empty(self) -> dict[str, set[str]]:
        """Empty all stores. Returns what was left over in each."""
        ways = {
            "redis": self._empty_redis,
            "sqlite": self._empty_sqlite,
            "mariadb": self._empty_mariadb,
            "postgresql": self._empty_postgresql,
        }
        left = {name: ways[name]() for name in self.engines}
        return {name: some for name, some in left.items() if some}

    def _empty_redis(self) -> set[str]:
        with self._redis.client() as client:
            keys = {key.decode() for key in client.scan_iter(f"{{{self.name}}}:*", count=1000)}
            clock = f"{{{self.name}}}:clock"
            if gone := keys - {clock}:
                client.delete(*gone)
        return {key for key in keys if key.split(":")[1] not in self.KEPT}

    def _empty_sqlite(self) -> set[str]:
        with closing(sqlite3.connect(self._file, timeout=5)) as raw, raw:
            names = raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return self._empty_tables([name for (name,) in names], raw.execute)

    def _empty_mariadb(self) -> set[str]:
        with self._mariadb.connect() as raw, raw.cursor() as cursor:
            cursor.execute("SHOW TABLES LIKE %s", (f"{self.name}%",))
            names = [name for (name,) in cursor.fetchall()]

            def run(sql: str) -> Any:
                cursor.execute(sql)
                return cursor

            return self._empty_tables(names, run)

    def _empty_postgresql(self) -> set[str]:
        with self._postgresql.connect() as raw:
            listed = "SELECT tablename FROM pg_tables WHERE starts_with(tablename, %s)"
            names = [name for (name,) in raw.execute(listed, (self.name,)).fetchall()]
            return self._empty_tables(names, raw.execute)

    def _empty_tables(self, names: Sequence[str], run: Callable[[str], Any]) -> set[str]:
        """Keep the rows of queues: the engines remember which ones exist."""
        left = set()
        for name in names:
            table = name.removeprefix(f"{self.name}_")
            if (
                table not in ("queues", "schema")
                and run(f"SELECT COUNT(*) FROM {name}").fetchone()[0]
            ):
                run(f"DELETE FROM {name}")
                left.add(table)
            elif table == "queues":
                run(f"UPDATE {name} SET paused = 0")
        return left - set(self.KEPT)

    def close(self) -> None:
        for pair in self.engines.values():
            for engine in pair:
                engine.close()


workers = st.sampled_from(sorted(NODES))
queues = st.sampled_from(QUEUES)
asked = st.sampled_from(ASKED)
numbers = st.integers(0, 9)
keys = st.sampled_from(("wide", "ann", "mail"))
kinds = st.lists(st.sampled_from((*range(len(KINDS)), 0, 0, 8, 8)), min_size=1, max_size=5)
crowds = st.permutations((0, 0, 8, 8, 8, 8))
ends = st.lists(st.tuples(numbers, st.sampled_from(OUTCOMES), numbers), max_size=4)
fates = st.sampled_from(("", "sent twice", "reply lost"))
DEATHS = (
    "unknown",
    "between",
    "crash",
    "timeout",
    "timeout later",
    "cancelled",
    "returned",
)
deaths = st.sampled_from(DEATHS)
ACTS_OF_PEOPLE = (
    "request", "pause", "resume", "resume", "purge", "cancel", "move", "move", "retry", "forget",
)  # fmt: skip
choices = st.sampled_from(ACTS_OF_PEOPLE)
rare = st.sampled_from(("settle again", "start", "skip", "reap"))
limit_acts = st.sampled_from(("set", "set", "reset", "empty"))


#: Unique jobs: kinds that do not expire, few keys, so that they meet, and how long they have them.
unique_kinds = st.sampled_from((1, 2, 6, 8))
keys = st.sampled_from(("k", "l"))
rights = st.sampled_from((("end", False), ("end", False), ("start", False), ("start", True)))


#: For how long jobs that their dispatch parks may wait.
lifetimes = st.sampled_from((0, 0, 90 * SECOND))


def act(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *args)


#: Lockstep's methods with their arguments, by how often they are to come.
ACTS = [
    *[act("push", kinds, queues, st.sampled_from(DELAYS), st.sampled_from((0, 0, 0, 1, HOUR)))] * 2,
    *[act("dispatch", st.one_of(kinds, crowds, crowds))] * 3,
    *[act("push_unique", st.integers(1, 3), unique_kinds, queues, keys, rights)] * 3,
    act("tick", unique_kinds, queues, keys, rights),
    *[act("push_parked", st.integers(1, 3), st.sampled_from(DISPATCHED), queues, lifetimes)] * 2,
    *[act("work", workers, st.sampled_from((1, 2, 5)), asked)] * 3,
    *[act("work_on", workers, st.sampled_from((None, ("a", "b"))), st.integers(1, 3))] * 3,
    act("work_later", workers, st.sampled_from((MINUTE, 10 * MINUTE))),
    *[act("step", workers, ends, st.sampled_from((0, 1, 1, 2, 5)), asked, fates)] * 3,
    act("recover", workers, st.integers(0, 3), st.integers(0, 2), deaths, st.sampled_from((0, 3))),
    act("people", choices, queues, st.integers(0, 99)),
    act("hold", keys, st.sampled_from((0, 20, 50, 100))),
    act("rarely", rare, workers, numbers),
    act("limit", limit_acts, numbers),
    act("later", st.sampled_from(MOVES)),
    act("jump_back", st.sampled_from(JUMPS)),
    act("look", numbers),
]


class Lockstep(RuleBasedStateMachine):
    """All engines do the same operations, and each must do what its model allows."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__()
        self.namespace = namespace
        self.clock = namespace.clock
        self.clock.forward(24 * HOUR)
        self.worlds = namespace.worlds()
        self.good = True

    def all(self, act: Callable[[World], None]) -> None:
        self.move(TICK)
        for world in self.worlds:
            try:
                act(world)
            except BaseException as error:
                self.good = False
                error.add_note(f"on {world.name}, of which the model knows:\n{world.model}")
                raise

    def move(self, micros: int) -> None:
        self.clock.forward(micros)
        for world in self.worlds:
            world.model.set_time(self.clock.now)

    @rule(act=st.sampled_from(ACTS).flatmap(lambda one: one))
    def act(self, act: tuple[Any, ...]) -> None:
        """A single rule: of several, hypothesis leaves out many, and then nothing happens."""
        getattr(self, act[0])(*act[1:])

    def push(self, kinds: Sequence[int], queue: str, delay: int, ago: int) -> None:
        ids = [new_id() for _ in kinds]
        self.all(lambda world: world.push(ids, kinds, queue, delay, ago))

    def push_unique(self, count: int, kind: int, queue: str, key: str, right: Any) -> None:
        ids = [new_id() for _ in range(count)]
        self.all(lambda world: world.push_unique(ids, kind, queue, key, right))

    def tick(self, kind: int, queue: str, key: str, right: Any) -> None:
        id = new_id()
        self.all(lambda world: world.tick(id, kind, queue, key, right))

    def push_parked(self, count: int, dispatched: Any, queue: str, expires: int) -> None:
        ids = [new_id() for _ in range(count)]
        self.all(lambda world: world.push_parked(ids, dispatched, queue, expires))

    def dispatch(self, kinds: Sequence[int]) -> None:
        self.push(kinds, "a", 0, 0)

    def work(self, worker: str, want: int, queues: Any) -> None:
        """Do as pools do: run the claimed jobs that their limits admit, and claim more."""
        ends = [(n, "run", 0) for n in range(9)]
        self.all(lambda world: world.step(worker, ends, want, queues, ""))

    def work_on(self, worker: str, queues: Any, windows: int) -> None:
        """Move through whole windows until no job is left that may start."""
        for _ in range(windows):
            for _ in range(3):
                self.work(worker, 3, queues)
            self.move(MINUTE)

    def work_later(self, worker: str, micros: int) -> None:
        self.move(micros)
        self.work(worker, 2, None)

    def step(self, worker: str, ends: Any, want: int, queues: Any, fate: str) -> None:
        self.all(lambda world: world.step(worker, ends, want, queues, fate))

    def recover(self, worker: str, finished: int, settled: int, how: str, claims: int) -> None:
        if claims:
            self.step(worker, [], claims, None, "")
        self.all(lambda world: world.recover(worker, finished, settled, how))

    def people(self, what: str, queue: str, number: int) -> None:
        self.all(lambda world: world.people(what, queue, number))

    def hold(self, key: str, seconds: int) -> None:
        self.all(lambda world: world.hold(key, seconds) if seconds else world.lift(key))

    def rarely(self, what: str, worker: str, number: int) -> None:
        match what:
            case "settle again":
                end = ACK if number % 2 else GIVE_BACK
                self.all(lambda world: world.settle_again(number, end))
            case "start":
                self.all(lambda world: world.start(RULES[number % len(RULES)]))
            case "skip":
                self.all(lambda world: world.skip(worker))
            case "reap":
                self.all(lambda world: world.reap(NODES[worker]))

    def limit(self, what: str, number: int) -> None:
        self.all(lambda world: world.limit(what, number))

    def later(self, micros: int) -> None:
        self.move(micros)

    def jump_back(self, micros: int) -> None:
        self.move(-micros)

    def look(self, number: int) -> None:
        self.all(lambda world: world.look(number))

    def teardown(self) -> None:
        try:
            if self.good:
                self._end()
        finally:
            left = self.namespace.empty()
        assert not (self.good and left), f"left over: {left}"

    def _end(self) -> None:
        self.all(World.look)
        self.all(World.drain)
        for _ in range(40):
            if not any(world.model.jobs for world in self.worlds):
                break
            self.move(HOUR)
            self.all(World.work)
        self.move(HOUR)  # for lines that were left without jobs
        self.all(World.work)
        self.all(World.leave)
        # A gate is kept for a minute after its last use, which may come again after a jump back.
        self.move(2 * MINUTE)
        self.all(World.sweep)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each fixed seed as a test of its own, unless other seeds are asked for."""
    if "fixed" in metafunc.fixturenames:
        option = metafunc.config.getoption
        others = option("model_seconds") or option("model_seed")
        metafunc.parametrize("fixed", [0] if others else FIXED_SEEDS)


@pytest.mark.timeout(3600)
def test_all_engines_do_as_the_model_does(
    fixed: int,
    redis_server: Redis,
    mariadb_server: MariaDB,
    postgresql_server: PostgreSQL,
    tmp_path: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    # A busy step may skip some queries for a tenth of a second; that must not depend on time here.
    monkeypatch.setattr(turns, "LOOK_INTERVAL", 0)
    monkeypatch.setattr(turns, "LOOK_COST_FACTOR", 0)
    monkeypatch.setattr(server_engines, "CURSOR_LIFETIME", 0)
    monkeypatch.setattr(reconnecting, "SOCKET_TIMEOUT", 60)  # nor on how busy the machine is
    monkeypatch.setattr(wire, "SOCKET_TIMEOUT", 60)
    only = pytestconfig.getoption("model_engines")
    clock = Clock(monkeypatch)
    servers = redis_server, mariadb_server, postgresql_server
    place = Namespace(clock, *servers, tmp_path / "poolq.db", namespace, only)
    options = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    seconds, number = (pytestconfig.getoption(f"model_{name}") for name in ("seconds", "seed"))
    with closing(place):
        if fixed:
            run_state_machine_as_test(seeded(place, fixed), settings=options)
        end = time.monotonic() + seconds
        while number or time.monotonic() < end:
            chosen = number or random.SystemRandom().randrange(1, 10**9)
            print(f"seed {chosen}")
            run_state_machine_as_test(seeded(place, chosen), settings=options)
            number = 0


def seeded(place: Namespace, number: int) -> Callable[[], Lockstep]:
    return seed(number)(lambda: Lockstep(place))

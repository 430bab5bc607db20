"""The contract of `poolq.engines.base` as a model: which answers an engine may give.

The model gets each operation together with the engine's answer. It either follows the answer or
raises `AssertionError`. Where the contract leaves a choice, the model checks that the answer is one
of the allowed ones, and continues from there. It knows only the time that its driver tells it.

The contract leaves open which queue comes next if none is named first, which of several lines comes
first, and what a step leaves in a queue after a grant, after claiming jobs that come before parked
ones, or to a line whose gate it has freed itself. Around a clock that goes back, it also leaves
open the order between jobs from both sides of the jump (`Job.epoch`), what had become due unnoticed
(`Wait`), and for up to a window whether a line notices that its own was closed (`Model.old_slots`):
after the jump, and again if nobody looks before the clock has caught up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from poolq.engines.base import (
    CancelRequest,
    Claim,
    DeathReport,
    EndedSlots,
    LimitUse,
    Push,
    QueueCounts,
    Recovered,
    Settlement,
    Step,
    StoredJob,
)
from poolq.engines.schedule_store import TickEnd
from poolq.engines.spans import GATE_SPAN, HOLD_SPAN, span_of
from poolq.jobs.limits import (
    GATE_WAIT,
    Admission,
    Gate,
    HeldKey,
    Rule,
    Window,
    gates_of,
    windows_of,
)
from poolq.jobs.message import MAX_HISTORY, State
from poolq.jobs.outcomes import (
    Ack,
    Bury,
    Discard,
    Expire,
    Failing,
    GiveBack,
    HoldKey,
    Park,
    Release,
    ReleaseUntil,
)
from poolq.jobs.unique import UniqueKey
from tests.contract.helpers import SECOND
from tests.contract.model_keys import Keys

Identity = tuple[str, int]

#: How many consecutive steps may give no slot although one is free, while heads change lines.
MAX_MISSES = 4
#: How many steps in a row may leave queues whose lines they have not tried.
MAX_CUT_SHORT = 2
#: Stands for a history line that the engine has written itself.
UNKNOWN_LINE = b"?"


class Wait(NamedTuple):
    """A job may be due from `earliest` on, and must be from `latest` on, the time that the engine
    reports. `rule`: the limit that released it."""

    earliest: int
    latest: int
    rule: Rule | None = None

    def is_void(self, now: int) -> bool:
        """Return whether it was set before the clock went back, as no limit releases a job for so
        long. (Jitter may double a window.) Whoever examines all jobs of the queue must see that;
        if nobody does so until the clock has caught up, the job waits until then."""
        return self.rule is not None and self.latest > now + 2 * self.rule.window


class Sliding(NamedTuple):
    """The starts in a sliding window: when, and as how many starts each one counts."""

    starts: tuple[tuple[int, int], ...]

    def at(self, now: int, length: int) -> Sliding:
        """Those that count now. Starts in the future were made before a jump back."""
        return Sliding(tuple(one for one in self.starts if one[0] <= now < one[0] + length))

    def shown(self) -> Window:
        return Window(self.starts[0][0], sum(cost for _, cost in self.starts))


class Slot(NamedTuple):
    """The slots of a granted job: the last start and the first end of its windows. `sure`: the
    clock has not gone back behind that start, nor from behind that end, at which an engine may
    have forgotten them."""

    start: int
    end: int
    sure: bool = True


@dataclass(slots=True)
class Job:
    """`lines`: the lines in which it may be. `expires_at`: 0 for never, and while it has failed.
    `expires`: of a failed job, how long after a retry."""

    id: str
    queue: str
    body: bytes
    due: int
    epoch: int
    state: State = State()
    place: Literal["queue", "parked", "claimed", "failed"] = "queue"
    wait: Wait | None = None
    rules: tuple[Rule, ...] = ()
    lines: set[Identity] = field(default_factory=set)
    slot: Slot | None = None
    claim: Claim | None = None
    worker: str = ""
    at: int = 0  # when it was claimed or failed
    gates: frozenset[str] = frozenset()  # of which its claim has slots
    started: bool = False  # whether windows have counted the start of its claim
    cancelled: bool = False  # while it is claimed
    right: UniqueKey | None = None
    expires_at: int = 0
    expires: int = 0

    @property
    def order(self) -> tuple[int, str]:
        return self.due, self.id

    def may_run(self, now: int) -> bool:
        return self.place == "queue" and (self.wait is None or now >= self.wait.earliest)

    def must_run(self, now: int) -> bool:
        return self.place == "queue" and (self.wait is None or now >= self.wait.latest)


@dataclass(slots=True)
class Reply:
    request: int
    claims: list[Claim]
    stale: list[str]


def identity(rule: Rule) -> Identity:
    return rule.key, span_of(rule)


@dataclass(slots=True)
class Grants:
    """What a step has granted: the queue, the lines in which all of these jobs may have been, and
    the position of the first one among the claims."""

    queue: str = ""
    line: set[Identity] = field(default_factory=set)
    first: int = 0


def _is_alone(job: Job) -> bool:
    """Whether a step claims it only as the first parked job."""
    return any(isinstance(rule, Gate) or rule.sliding for rule in job.rules)


class Model:
    """One engine's namespace."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.epoch = 0
        self.jobs: dict[str, Job] = {}
        self.queues: set[str] = set()
        self.paused: set[str] = set()
        self.workers: dict[str, str] = {}
        self.replies: dict[str, Reply] = {}
        self.windows: dict[Identity, Window | Sliding] = {}
        self.overrides: dict[Identity, int] = {}
        self.holds: dict[str, tuple[int, int]] = {}  # by key, when it began and when it ends
        self.named: dict[tuple[str, Identity], Rule] = {}
        #: During which spans the line of a queue may wait for a slot from before a jump back.
        self.old_slots: defaultdict[tuple[str, Identity], set[tuple[int, int]]] = defaultdict(set)
        self.gates: dict[str, int] = {}  # by key, the limit named last, while anybody uses it
        self.totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.misses = 0
        self.had_lines, self.cut_short = set[str](), 0  # queues; steps that have left some
        self.frees_gate, self.held_keys = False, set[str]()  # of the step that is followed
        self.keys = Keys()
        self._last_own = 0  # the last epoch given to a single job

    # time

    def set_time(self, now: int) -> None:
        """Move the clock. If it goes back, jobs that became due unnoticed may or may not be due."""
        if now < self.now:
            self.epoch += 1
            for job in self.jobs.values():
                if job.wait is not None:
                    job.wait = self._after_jump(job.wait, now)
                if job.slot is not None and not job.slot.start <= now <= self.now < job.slot.end:
                    job.slot = job.slot._replace(sure=False)
                for line in job.lines - {one for one in job.lines if one[1] == GATE_SPAN}:
                    self.old_slots[job.queue, line] |= self._old_spans(line, now)
        self.now = now

    def _after_jump(self, wait: Wait, now: int) -> Wait:
        if wait.rule is not None:  # a window that began in the future is over
            return wait._replace(earliest=min(wait.earliest, now))
        if self.now >= wait.earliest:
            return wait._replace(earliest=now)
        return wait

    def _old_spans(self, line: Identity, now: int) -> set[tuple[int, int]]:
        """During which spans a line may wait in vain, as the clock goes back to `now`. The engine
        knows the latest time at which it has scheduled a line, to within a second; once the clock
        is there again, a slot of the window that was open then looks valid."""
        window = 0 if line[1] == HOLD_SPAN else abs(line[1])
        _, end = self.holds.get(line[0], (0, 0))
        match self.windows.get(line):
            case Window(start, _):
                before = {(start - SECOND, start + window)}
            case Sliding(((first, _), *_) as starts):
                before = {(first - SECOND, starts[-1][0] + window)}
            case _:
                before = set()
        return {(now, max(now + window, end))} | before

    def _own_epoch(self) -> int:
        """An epoch of a job that may come before and after any other."""
        self._last_own -= 1
        return self._last_own

    # state

    def waiting(self, queue: str) -> list[Job]:
        """Ready, delayed and released jobs."""
        return [j for j in self.jobs.values() if j.place == "queue" and j.queue == queue]

    def parked(self, queue: str) -> list[Job]:
        return [j for j in self.jobs.values() if j.place == "parked" and j.queue == queue]

    def held(self, worker: str) -> list[Claim]:
        """Its claims, in the order in which they were made."""
        found = [j.claim for j in self.jobs.values() if j.worker == worker and j.claim]
        return sorted(found, key=lambda claim: (claim.request, claim.index))

    def failed(self) -> list[Job]:
        found = [j for j in self.jobs.values() if j.place == "failed"]
        return sorted(found, key=lambda job: (job.at, job.id), reverse=True)

    def __str__(self) -> str:
        """The state, for the message of a failure."""
        lines = [f"now {self.now}, epoch {self.epoch}, paused {sorted(self.paused)}"]
        lines += [f"window {name}: {window}" for name, window in self.windows.items()]
        lines += [f"hold {key}: {span}" for key, span in self.holds.items()]
        lines += [str(job) for job in sorted(self.jobs.values(), key=lambda job: job.order)]
        return "\n".join(lines)

    # producers

    def push(self, pushes: Sequence[Push], answer: Sequence[str]) -> None:
        if any(one.gate for one in pushes):
            self._forget_gates()
        for one, holder in zip(pushes, answer, strict=True):
            expected = self._holder(one)
            assert holder == expected, f"{holder} has {one.unique}, and not {expected}"
            if expected == one.id:
                self._store(one)
            else:
                self.totals[one.queue]["skipped"] += 1

    def _holder(self, one: Push) -> str:
        """Who has the job's unique key. A waiting job that it replaces is gone."""
        if one.unique is None:
            return one.id
        known = self.keys.holder(one.unique.key, self.jobs, self.now)
        if known is not None and one.unique.replaces and known.place != "claimed":
            self.keys.end(known)
            self.totals[known.queue]["replaced"] += 1
            del self.jobs[known.id]
            known = None
        return known.id if known else one.id

    def _store(self, one: Push) -> None:
        due = max(self.now, one.at) if one.at > 0 else self.now + max(0, one.delay)
        wait = Wait(due, due) if due > self.now else None
        job = Job(one.id, one.queue, one.body, due, self.epoch, wait=wait)
        job.expires_at = due + one.expires if one.expires else 0
        self.jobs[one.id] = job
        self.queues.add(one.queue)
        if one.unique is not None:
            job.right = one.unique
            self.keys.held[one.unique.key] = one.id
        if one.gate is not None:  # it waits, and its limit is the one named last
            line = identity(one.gate)
            job.place, job.rules, job.lines = "parked", (one.gate,), {line}
            self.named[job.queue, line] = one.gate
            self.gates[one.gate.key] = one.gate.limit

    def tick(self, one: Push, end: TickEnd) -> None:
        """Follow the tick of a schedule whose job is unique."""
        assert one.unique is not None
        known = self.keys.holder(one.unique.key, self.jobs, self.now)
        gives_way = known is not None and not (one.unique.replaces and known.place != "claimed")
        assert end == ("skipped" if gives_way else "stored"), f"{end}, and {known} has the key"
        self.push([one], [known.id if known and gives_way else one.id])

    # workers

    def register(self, worker: str, node: str) -> None:
        if worker not in self.workers:
            self.workers[worker] = node
            self.replies[worker] = Reply(-1, [], [])

    def step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
        answer: Step,
    ) -> None:
        assert worker in self.workers, "it should have been fenced"
        last = self.replies[worker]
        assert request >= last.request, "a lower request should have been refused"
        if request == last.request:
            self._check_repeated(worker, last, answer)
            return
        assert request == last.request + 1 or last.request <= 0, "a lost step should be fenced"
        slots = self._slots()
        stale = self.settle(worker, settlements)
        self.frees_gate = bool(slots - self._slots())
        self.held_keys = {
            one.outcome.key for one in settlements if isinstance(one.outcome, HoldKey)
        }
        assert answer.stale == stale, f"stale ids: {answer.stale} and not {stale}"
        assert answer.now == self.now, f"it is {self.now} and not {answer.now}"
        self._claimed(worker, request, want, queues, answer.claims)
        self.replies[worker] = Reply(request, answer.claims, stale)

    def _check_repeated(self, worker: str, last: Reply, answer: Step) -> None:
        held = {(c.id, c.request, c.index) for c in self.held(worker)}
        still = [c for c in last.claims if (c.id, c.request, c.index) in held]
        assert answer.claims == still, f"repeated: {answer.claims} and not {still}"
        assert answer.stale == last.stale, f"stale ids: {answer.stale} and not {last.stale}"

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[str]:
        """Follow settlements. Returns the ids of stale ones."""
        assert worker in self.workers, "it should have been fenced"
        stale = []
        for claim, outcome in settlements:
            job = self.jobs.get(claim.id)
            mine = job and job.worker == worker and job.claim
            if not mine or (mine.request, mine.index) != (claim.request, claim.index):
                stale.append(claim.id)
            elif job and job.cancelled and not isinstance(outcome, Ack | Failing | Bury):
                stale.append(claim.id)
                self._cancel(job)
            else:
                assert job is not None
                self._end(job, outcome)
        self.keys.end_batch(self.jobs, self.now)
        return stale

    def _end(self, job: Job, outcome: object) -> None:
        match outcome:
            case Ack():
                self.keys.end(job)
                del self.jobs[job.id]
                self.totals[job.queue]["done"] += 1
            case Discard():
                self.keys.end(job)
                del self.jobs[job.id]
                self.totals[job.queue]["discarded"] += 1
            case Expire():
                self.keys.end(job)
                del self.jobs[job.id]
                self.totals[job.queue]["expired"] += 1
            case GiveBack():
                self._take_back(job, slot=job.slot if job.claim and job.claim.admitted else None)
            case Failing(state):
                job.state = state
                job.claim = job.claim and job.claim._replace(state=state)
                job.slot = job.slot and job.slot._replace(sure=False)
            case Bury(state, expires):
                self.keys.end(job)
                self._take_back(job, place="failed", state=state, slot=None, at=self.now)
                job.expires_at, job.expires = 0, expires
                self.totals[job.queue]["failed"] += 1
            case _:
                self._end_for_later(job, outcome)

    def _end_for_later(self, job: Job, outcome: object) -> None:
        match outcome:
            case Release(delay, state, counter):
                due = self.now + max(0, delay)
                wait = Wait(due, due) if due > self.now else None
                self._take_back(job, state=state, due=due, epoch=self.epoch, wait=wait, slot=None)
                if counter:
                    self.totals[job.queue][counter] += 1
            case ReleaseUntil(until, state, rule):
                # If it is longer than the window, it was decided before the clock went back.
                is_long = self.epoch and until > self.now + rule.window
                wait = Wait(self.now if is_long else until, until, rule)
                is_over = until <= self.now or wait.is_void(self.now)
                self._take_back(job, state=state, wait=None if is_over else wait, slot=None)
                self.totals[job.queue]["limited"] += 1
            case Park(rules, refused):
                line = identity(rules[refused])
                self._take_back(job, place="parked", rules=rules, lines={line}, slot=None)
                self.named[job.queue, line] = rules[refused]
                self.old_slots.pop((job.queue, line), None)
                self.totals[job.queue]["parked"] += 1
            case HoldKey(key, length, park):
                self._hold(key, length)
                if park is not None:
                    self._end_for_later(job, park)
                    return
                self._take_back(job, place="parked", lines={(key, HOLD_SPAN)}, slot=None)
                self.totals[job.queue]["parked"] += 1

    def _take_back(self, job: Job, **changes: object) -> None:
        if job.place == "claimed" and changes.get("place") != "failed":
            self.keys.came_back(job)
        job.place, job.claim, job.worker, job.wait = "queue", None, "", None
        job.cancelled = False
        job.rules, job.lines, job.gates, job.started = (), set(), frozenset(), False
        for name, value in changes.items():
            setattr(job, name, value)

    def _slots(self) -> set[tuple[str, str]]:
        """The slots of gates that are taken, by job and key."""
        return {(job.id, key) for job in self.jobs.values() for key in job.gates}

    def inside(self, key: str) -> int:
        """How many claims have a slot of a gate."""
        return sum(key in job.gates for job in self.jobs.values())

    def _forget_gates(self) -> None:
        """The limit of a gate that nobody uses or waits for is forgotten."""
        waited = {key for job in self.jobs.values() for key, span in job.lines if span == GATE_SPAN}
        used = {key for job in self.jobs.values() for key in job.gates}
        self.gates = {key: most for key, most in self.gates.items() if key in waited | used}

    def leave(self, worker: str, ended: Sequence[EndedSlots]) -> None:
        """Free the slots of claims whose jobs have ended, of those that this worker still has."""
        held = {(one.id, one.request, one.index) for one in self.held(worker)}
        for claim, _ in ended:
            if (claim.id, claim.request, claim.index) in held:
                self.jobs[claim.id].gates = frozenset()

    def admit_claim(self, rules: Sequence[Rule], id_: str, answer: Admission) -> None:
        """Follow the admission of a claimed job. Its gates are asked first. Earlier jobs that may
        be in the line of one of them, or in another line, may hold it up."""
        job = self.jobs[id_]
        gates = gates_of(rules)
        if job.started or (job.claim and job.claim.admitted):
            assert answer == Admission(0), f"{answer}, but {job} has its start"
            return
        if answer.not_yet:
            assert self._released_before(job, rules), f"{answer}, but it comes first"
            return
        if self._longest_hold(rules) is not None:
            assert answer == self.admit(rules), f"{answer} and not {self.admit(rules)}"
            return
        self._forget_gates()
        self.gates.update((rule.key, rule.limit) for rule in gates)
        full = [
            rule for rule in gates if self.inside(rule.key) - (rule.key in job.gates) >= rule.limit
        ]
        before = [
            rule
            for rule in gates
            if any(
                identity(rule) in one.lines and one.order < job.order
                for one in self.parked(job.queue)
            )
        ]
        sure = [
            rule
            for rule in before
            if any(
                one.lines == {identity(rule)} and one.order < job.order
                for one in self.parked(job.queue)
            )
        ]
        if full or sure or (before and answer.wait and rules[answer.rule] in before):
            refusing = [rules.index(rule) for rule in full] or [
                rules.index(rule) for rule in before
            ]
            assert answer.wait == GATE_WAIT, f"{answer}, but {full or before} has no room"
            assert answer.rule in refusing, f"{answer} and not {refusing}"
            return
        expected = self.admit(windows_of(rules))
        if expected.wait:
            refusing = windows_of(rules)[expected.rule]
            expected = expected._replace(rule=rules.index(refusing))
        assert answer == expected, f"{answer} and not {expected}"
        if not answer.wait:
            job.gates = frozenset(rule.key for rule in gates)
            job.started = len(gates) < len(rules)

    def _released_before(self, job: Job, rules: Sequence[Rule]) -> bool:
        """Whether an earlier job that one of these rules has released may be due, and unclaimed."""
        names = set(map(identity, windows_of(rules)))
        return any(
            one.place == "queue" and one.wait and one.wait.rule
            and identity(one.wait.rule) in names and one.may_run(self.now)
            and one.queue == job.queue and one.order < job.order
            for one in self.jobs.values()
        )  # fmt: skip

    def admit(self, rules: Sequence[Rule]) -> Admission:
        """Take one start of every rule, or none at all."""
        held = self._longest_hold(rules)
        if held is not None:
            until = self.hold_end(rules[held].key)
            return Admission(until - self.now, held, until=until, held=True)
        taken, refused = self._take([(rule, rule.limit) for rule in rules])
        if refused is None:
            self.windows.update(taken)
            return Admission(0)
        at, wait = refused
        limit = self.overrides.get((rules[at].key, rules[at].window), rules[at].limit)
        return Admission(wait, at, until=self.now + wait, limit=limit)

    # holds

    def hold_end(self, key: str) -> int:
        """When the hold of a key ends; 0 if it is not held."""
        start, end = self.holds.get(key, (0, 0))
        return end if start <= self.now < end else 0

    def _hold(self, key: str, length: int) -> None:
        self.holds[key] = self.now, max(self.hold_end(key), self.now + length)

    def hold(self, key: str, length: int, answer: int) -> None:
        self._hold(key, length)
        left = self.hold_end(key) - self.now
        assert answer == left, f"{key} is held for {answer} and not {left}"

    def lift(self, key: str, answer: bool) -> None:
        assert answer == (self.hold_end(key) > 0), f"lifted {key}: {answer}"
        self.holds.pop(key, None) if answer else None

    def _longest_hold(self, rules: Sequence[Rule]) -> int | None:
        """The position of the rule whose key is held for longest; None if none is held."""
        ends = [self.hold_end(rule.key) for rule in rules]
        return ends.index(max(ends)) if any(ends) else None

    def _ask(self, job: Job) -> tuple[dict[Identity, Window], Identity | None]:
        """The windows after a start of a parked job, and the line in which it must wait, if any."""
        if not job.rules:
            ((key, window),) = job.lines
            return {}, (key, window) if self.hold_end(key) else None
        held = self._longest_hold(job.rules)
        if held is not None:
            return {}, identity(job.rules[held])
        taken, refused = self._take(self._limits(job))
        return taken, None if refused is None else identity(job.rules[refused[0]])

    def _take(
        self, rules: Iterable[tuple[Rule, int]]
    ) -> tuple[dict[Identity, Window | Sliding], tuple[int, int] | None]:
        """The windows after a start; position and wait of the rule that refuses longest, if any."""
        taken: dict[Identity, Window | Sliding] = {}
        refused: tuple[int, int] | None = None
        for at, (rule, declared) in enumerate(rules):
            if isinstance(rule, Gate):
                full = self.inside(rule.key) >= self.gates.get(rule.key, declared)
                if full and (refused is None or refused[1] < GATE_SPAN):
                    refused = at, GATE_SPAN
                continue
            limit = self.overrides.get((rule.key, rule.window), declared)
            name, cost = identity(rule), min(rule.cost, limit)
            if rule.sliding:
                taken[name], wait = self._slide(rule, limit, cost)
            else:
                start, used = self.windows.get(name, (0, 0))
                if not start <= self.now < start + rule.window:  # over, or from before a jump back
                    start, used = self.now, 0
                wait = start + rule.window - self.now if used + cost > limit else 0
                taken[name] = Window(start, used + cost)
            if wait > (refused[1] if refused else 0):
                refused = at, wait
        return taken, refused

    def _slide(self, rule: Rule, limit: int, cost: int) -> tuple[Sliding, int]:
        """A sliding window after a start, and for how long it refuses the start."""
        found = self.windows.get(identity(rule), Sliding(()))
        assert isinstance(found, Sliding)
        now = found.at(self.now, rule.window).starts
        left = [sum(one for _, one in now[at:]) for at in range(len(now) + 1)]
        gone = next(at for at, used in enumerate(left) if used + cost <= limit)
        wait = now[gone - 1][0] + rule.window - self.now if gone else 0
        return Sliding((*now, (self.now, cost))), wait

    def set_limit(self, key: str, window: int, limit: int) -> None:
        self.overrides[key, window] = limit

    def reset_limit(self, key: str, window: int, starts: bool, answer: bool) -> None:
        found = self.overrides.pop((key, window), None)
        assert answer == (found is not None), f"{answer}, but the limit of {key} was {found}"
        if starts:
            for span in (window, -window):
                self.windows.pop((key, span), None)

    # claims

    def _claimed(
        self,
        worker: str,
        request: int,
        want: int,
        queues: Sequence[str] | None,
        claims: Sequence[Claim],
    ) -> None:
        assert len(claims) <= want, f"{len(claims)} claims, but only {want} were wanted"
        asked = self.queues if queues is None else queues
        opened = [q for q in dict.fromkeys(asked) if q in self.queues and q not in self.paused]
        possible = {q: self._grantable(q) for q in opened} if want else {}
        moves = [self._note_moves(q) for q in opened] if want else []
        movable = any(moves)
        self.had_lines |= {job.queue for job in self.jobs.values() if job.lines or job.wait}
        grants, before_parked = Grants(), False
        seen: list[str] = []
        for index, claim in enumerate(claims):
            job = self.jobs.get(claim.id)
            assert job is not None, f"{claim.id} was claimed, but does not exist"
            assert (claim.request, claim.index) == (request, index), (
                f"{claim} has the wrong request or index"
            )
            assert claim.queue == job.queue, f"{claim} is of queue {job.queue}"
            assert job.queue in opened, f"{job.queue} was not requested, or is paused"
            if not seen or seen[-1] != job.queue:
                assert job.queue not in seen, f"{job.queue} was claimed from twice"
                if queues is not None:
                    self._check_left(opened[: opened.index(job.queue)])
                seen.append(job.queue)
            if job.place == "parked":
                self._check_grant(job, claims[: index + 1], grants)
            else:
                before_parked = before_parked or self._is_before_parked(job)
                self._check_order(job, claim)
                self._check_no_parked_before(job, grants.queue)
            self._give(job, claim, worker)
        if (
            len(claims) < want and not grants.queue and not before_parked
        ):  # jobs after a grant may be left
            left = self._left_for_gate(opened, possible, queues is not None) if claims else ()
            asked = [queue for queue in opened if queue not in left]
            if claims and queues is not None:
                asked = self._uncut(asked, seen[-1])
            self._check_left(asked)
        if grants.queue:
            self._note_moves(grants.queue)  # heads behind those that were granted
        if grants.queue or before_parked:
            self.misses = 0
        elif want:
            self._count_misses(
                want=want,
                queues=queues,
                opened=opened,
                claims=claims,
                free=possible,
                movable=movable,
            )

    def _check_grant(self, job: Job, claims: Sequence[Claim], grants: Grants) -> None:
        """Follow the last of these claims, whose job was parked."""
        claim = claims[-1]
        expired = 0 < job.expires_at <= self.now
        has_slot = bool(job.rules) and not expired
        assert claim.admitted == has_slot, f"expired: {expired}; has a slot: {claim}"
        if grants.queue:
            assert expired or not _is_alone(job), f"{job} is not the first parked one"
        else:
            grants.queue, grants.line, grants.first = job.queue, job.lines, claim.index
        grants.line = grants.line & job.lines
        assert grants.queue == job.queue, "parked jobs of two queues"
        assert grants.line, "parked jobs of two lines"
        if not claim.asks:
            self._check_among_others(job, claims[: grants.first])
        named = () if expired else gates_of(job.rules)
        gates = frozenset(rule.key for rule in named)
        assert claim.gated == bool(gates), f"{claim} has slots of {set(gates)}"
        if not expired:
            self._grant(job)
        job.gates = gates

    def _give(self, job: Job, claim: Claim, worker: str) -> None:
        assert claim.body == job.body, f"{claim} has another body"
        assert claim.expires_at == job.expires_at, f"{claim} and not {job.expires_at}"
        if job.state.history.endswith(UNKNOWN_LINE):
            kept = job.state.history[: -len(UNKNOWN_LINE)]
            assert claim.state.history.startswith(kept), f"{claim} has lost its history"
            assert claim.state[:3] == job.state[:3], f"{claim.state} and not {job.state}"
            job.state = claim.state
        assert claim.state == job.state, f"{claim.state} and not {job.state}"
        job.place, job.claim, job.worker, job.at = "claimed", claim, worker, self.now
        job.wait, job.rules, job.lines = None, (), set()
        self.keys.start(job)

    def _check_order(self, job: Job, claim: Claim) -> None:
        """The job is ready, its slot is right, and none of its queue comes before it."""
        assert job.may_run(self.now), f"{job} is not ready"
        mixed = self._is_mixed(job.queue)
        for other in self.waiting(job.queue):
            if other.must_run(self.now) and not mixed:
                assert job.order <= other.order, f"{job}\ncame before\n{other}"
        slot = job.slot
        if slot is None or self.now >= slot.end:
            assert not claim.admitted, f"{job} has no slot"
        elif slot.sure:
            assert claim.admitted, f"{job} has lost its slot"
        if not claim.admitted:
            job.slot = None

    def _is_mixed(self, queue: str) -> bool:
        """Whether a queue has jobs from both sides of a jump of the clock, of which some may be
        behind later ones, and so hold up the lines."""
        return len({job.epoch for job in self.jobs.values() if job.queue == queue}) > 1

    def _is_before_parked(self, job: Job) -> bool:
        return any(other.due > job.due for other in self.parked(job.queue))

    def _check_among_others(self, job: Job, before: Sequence[Claim]) -> None:
        """A parked job comes right behind the jobs of its queue that were due before it. `before`:
        what was claimed before the first parked one."""
        claimed = [one for claim in before if (one := self.jobs[claim.id]).queue == job.queue]
        waiting = self.waiting(job.queue)
        if any(other.epoch != job.epoch for other in (*claimed, *waiting)):
            return  # those from both sides of a jump have no order that would be cheap to find
        for other in claimed:
            assert other.due < job.due, f"{job}\ncame behind\n{other}"
        if any(window == HOLD_SPAN for _, window in job.lines):
            return  # it holds its key, and others under it wait behind it
        for other in waiting:
            if other.must_run(self.now):
                assert other.due >= job.due, f"{job}\ncame before\n{other}"

    def _check_no_parked_before(self, job: Job, granted: str) -> None:
        """Behind a grant of its queue, a step claims no ready job that comes after a parked one
        that may be granted next."""
        if granted != job.queue or self.epoch:
            return
        for other in (self.jobs[id_] for id_ in self._grantable(job.queue)):
            held = any(window == HOLD_SPAN for _, window in other.lines)
            assert held or job.due <= other.due, f"{job}\ncame before\n{other}"

    def _check_left(self, queues: Iterable[str]) -> None:
        left = self._left(queues)
        assert not left, f"left unclaimed: {left}"

    def _left_for_gate(
        self, opened: Sequence[str], free: Mapping[str, set[str]], in_order: bool
    ) -> Sequence[str]:
        """The queues that a step may leave to the next. If it has freed a gate, it may find
        that a line is due when it has claimed from another queue, and lines come before claims.
        If it holds a key, it may have served a line whose jobs that hold keeps back."""
        due = [
            queue
            for queue in opened
            if (self.frees_gate and free.get(queue)) or (in_order and self._waits_for_held(queue))
        ]
        return opened[opened.index(due[0]) :] if due and in_order else due

    def _uncut(self, asked: Sequence[str], last: str) -> Sequence[str]:
        """The queues that a step in order must have served, which has last claimed from this one.
        If one behind it has a line, a few steps in a row may leave that and those behind it, as
        lines come before claims."""
        at = asked.index(last) + 1 if last in asked else len(asked)
        behind = asked[at:]
        is_cut = bool(self.had_lines.intersection(behind)) and bool(self._left(behind))
        self.cut_short = self.cut_short + 1 if is_cut else 0
        return asked[:at] if 0 < self.cut_short <= MAX_CUT_SHORT else asked

    def _waits_for_held(self, queue: str) -> bool:
        rules = (rule for job in self.parked(queue) for rule in job.rules)
        return any(rule.key in self.held_keys for rule in rules)

    def _left(self, queues: Iterable[str]) -> list[Job]:
        jobs = [job for queue in queues for job in self.waiting(queue)]
        return [
            job
            for job in jobs
            if job.must_run(self.now) or (job.wait and job.wait.is_void(self.now))
        ]

    # lines

    def _limits(self, job: Job) -> list[tuple[Rule, int]]:
        """Its rules, each with the limit that was last named for its line."""
        return [
            (rule, self.named.get((job.queue, identity(rule)), rule).limit) for rule in job.rules
        ]

    def _grantable(self, queue: str) -> set[str]:
        """The jobs to which a step that looks into all lines must give a slot."""
        self._forget_gates()
        found = self.parked(queue)
        free = [job for job in found if self._ask(job)[1] is None]
        free = [job for job in free if not any(self._has_old_slot(job, at) for at in job.lines)]
        return {job.id for job in free if not any(self._blocks(one, job) for one in found)}

    def _has_old_slot(self, job: Job, line: Identity) -> bool:
        """Return whether the line may still wait for a slot of a window that the clock has left by
        going back. Since that was calculated at a time that is past again, it looks valid; so it is
        at most one window away."""
        return any(begin <= self.now < end for begin, end in self.old_slots[job.queue, line])

    def _blocks(self, one: Job, job: Job) -> bool:
        """Whether a job may be before the other one in its line, and costs more than is left."""
        _, line = self._ask(one)
        if line is None or line not in job.lines:
            return False
        return one.epoch != job.epoch or one.order < job.order

    def _note_moves(self, queue: str) -> bool:
        """Follow the heads that a step may have moved to the lines of the limits that refuse them
        longest. Returns whether any may still be moving."""
        moving = False
        for job in self.parked(queue):
            _, line = self._ask(job)
            if line is not None:
                moving = moving or job.lines != {line}
                job.lines.add(line)
            else:
                moving = moving or len(job.lines) > 1
        return moving

    def _grant(self, job: Job) -> None:
        taken, refused = self._ask(job)
        assert refused is None, f"{job} was given a slot, but none is free"
        for other in self.parked(job.queue):
            if other.epoch == job.epoch and other.lines == job.lines and len(job.lines) == 1:
                same = set(map(identity, other.rules)) == set(map(identity, job.rules))
                assert not same or job.order <= other.order, f"{job}\nwas granted before\n{other}"
        if len(job.lines) == 1:
            self.old_slots.pop((job.queue, *job.lines), None)
        self.windows.update(taken)
        fixed = {name: one for name, one in taken.items() if isinstance(one, Window)}
        starts = [window.start for window in fixed.values()]
        ends = [window.start + name[1] for name, window in fixed.items()]
        if len(fixed) < len(taken):  # a start in a sliding window cannot be used later
            ends.append(self.now + 1)
        job.slot = Slot(max(starts, default=self.now), min(ends, default=self.now))
        if gates_of(job.rules) or not taken:
            job.slot = None  # it asks again if it is given back, as its gates then have ended

    def _count_misses(
        self,
        *,
        want: int,
        queues: Sequence[str] | None,
        opened: Sequence[str],
        claims: Sequence[Claim],
        free: dict[str, set[str]],
        movable: bool,
    ) -> None:
        """A free slot is given, after at most a few steps that only moved heads, and one that has
        freed it, as it may have looked at the lines before."""
        names = [q for q in opened if free.get(q) and not self._is_mixed(q)]
        if len(claims) == want:  # queues behind one that had enough were not asked
            seen = {claim.queue for claim in claims}
            last = max((opened.index(q) for q in seen), default=-1)
            names = [q for q in names if q in seen or (queues and opened.index(q) < last)]
        if not names:
            return
        self.misses += 1
        last = max((opened.index(claim.queue) for claim in claims), default=len(opened))
        is_late = queues is not None and opened.index(names[0]) > last  # see `_uncut`
        most = MAX_MISSES if movable else int(self.frees_gate or is_late)
        assert self.misses <= most, f"no slot was given for {sorted(free[names[0]])}"

    # keepers

    def recover(
        self, worker: str, death: DeathReport | None, answer: Recovered | None
    ) -> Recovered:
        """Follow a recovery, and return the expected answer. `answer` None: a part of a reap."""
        found: dict[str, list[str]] = {name: [] for name in Recovered._fields}
        held = self.held(worker)
        if worker in self.workers:
            for at, claim in enumerate(held):
                self._recover_claim(claim, death, at == 0, found)
            del self.workers[worker], self.replies[worker]
        self.keys.end_batch(self.jobs, self.now)
        expected = Recovered(*(tuple(ids) for ids in found.values()))
        assert answer is None or answer == expected, f"recovered {answer} and not {expected}"
        return expected

    def _recover_claim(
        self, claim: Claim, death: DeathReport | None, first: bool, found: dict[str, list[str]]
    ) -> None:
        job = self.jobs[claim.id]
        known = death is not None and claim.request == death.request
        if death and known and death.settled <= claim.index < death.finished:
            found["done"].append(job.id)
            self._end(job, Ack())
        elif job.cancelled:
            found["cancelled"].append(job.id)
            self._cancel(job)
        elif (death is None and first) or (death and known and claim.index == death.started):
            self._end_of_run(job, death, found)
        else:
            found["returned"].append(job.id)
            self._end(job, GiveBack())

    def _end_of_run(self, job: Job, death: DeathReport | None, found: dict[str, list[str]]) -> None:
        end = death.end if death else "crash"
        if end == "timeout" and job.state.failing:
            end = "crash"
        fates = {"crash": "crashed", "timeout": "timed_out"}
        found[fates.get(end, end)].append(job.id)
        if end == "cancelled":
            self._cancel(job)
            return
        self._charge(job, death, end)

    def _charge(self, job: Job, death: DeathReport | None, end: str) -> None:
        attempt, crashes, failing, history = job.state
        line = death.entry if death else UNKNOWN_LINE
        lines = [*history.splitlines(), line]
        if len(lines) > MAX_HISTORY:
            lines = [lines[0], *lines[1 - MAX_HISTORY :]]
        if end == "timeout":
            attempt += 1
        elif end == "crash" and failing:
            failing += 1
        elif end == "crash":
            crashes += 1
        state = State(attempt, crashes, failing, b"\n".join(lines))
        if end != "returned":
            self.totals[job.queue]["retried" if end == "timeout" else "crashed"] += 1
        if end == "timeout" and death and death.delay > 0:
            self._end(job, Release(death.delay, state, ""))
        else:
            self._take_back(job, state=state, slot=None)

    def reap(self, node: str, answer: Recovered | None) -> None:
        """Follow a reap with the node's current beat."""
        assert answer is not None, f"{node} was not reaped"
        workers = [worker for worker, its in self.workers.items() if its == node]
        parts = [self.recover(worker, None, None) for worker in workers]
        for name in Recovered._fields:
            expected = sorted(id_ for part in parts for id_ in getattr(part, name))
            assert sorted(getattr(answer, name)) == expected, f"reaped {answer}"

    # administration

    def retry(
        self,
        ids: Sequence[str],
        answer: Sequence[str],
        bodies: Mapping[str, bytes],
        expires: Mapping[str, int],
    ) -> None:
        there = (self.jobs[id_] for id_ in dict.fromkeys(ids) if id_ in self.jobs)
        failed = [job for job in there if job.place == "failed"]
        chosen = [one.id for one in self.keys.retried(failed, answer, self.jobs, self.now)]
        assert list(answer) == chosen, f"retried {answer} and not {chosen}"
        for id_ in sorted(answer):
            job = self.jobs[id_]
            job.body = bodies.get(id_, job.body)
            span = expires.get(id_, job.expires)
            job.expires_at = self.now + span if span else 0
            self._take_back(job, state=State(), due=self.now, epoch=self.epoch, slot=None)

    def forget(self, ids: Sequence[str], answer: Sequence[str]) -> None:
        self._check_ids(answer, ids, "failed")
        for id_ in answer:
            del self.jobs[id_]

    def cancel(self, ids: Sequence[str], answer: Sequence[str]) -> None:
        self._check_ids(answer, ids, "queue", "parked")
        for id_ in answer:
            self._cancel(self.jobs[id_])

    def request_cancel(self, ids: Sequence[str], answer: Sequence[str]) -> None:
        self._check_ids(answer, ids, "claimed")
        for id_ in answer:
            self.jobs[id_].cancelled = True

    def check_requests(self, node: str, answer: Sequence[CancelRequest]) -> None:
        claims = [job.claim for job in self.jobs.values() if job.claim and job.cancelled]
        mine = {(one.id, one.request, one.index) for one in claims}
        found = {(one.id, one.request, one.index) for one in answer}
        here = {one for one in mine if self.workers.get(self.jobs[one[0]].worker) == node}
        assert found == here, f"cancelled {found} and not {here}"

    def _cancel(self, job: Job) -> None:
        self.totals[job.queue]["cancelled"] += 1
        self.keys.end(job)
        del self.jobs[job.id]

    def move(self, ids: Sequence[str], queue: str, answer: Sequence[str]) -> None:
        self._check_ids(answer, ids, "queue", "parked", "failed")
        for id_ in answer:
            job = self.jobs[id_]
            if job.queue == queue:
                continue
            job.queue, job.slot = queue, None
            if job.place == "parked":
                job.place, job.rules, job.lines = "queue", (), set()
            if self.epoch:  # any order is allowed
                job.epoch = self._own_epoch()
            self.queues.add(queue)

    def purge(self, queue: str, answer: int) -> None:
        gone = [*self.waiting(queue), *self.parked(queue)]
        assert answer == len(gone), f"purged {answer} and not {gone}"
        for job in gone:
            self._cancel(job)

    def _check_ids(self, answer: Sequence[str], ids: Sequence[str], *places: str) -> None:
        """The answer consists of those of these jobs that are in one of these places, in order."""
        there = [id_ for id_ in dict.fromkeys(ids) if id_ in self.jobs]
        expected = [id_ for id_ in there if self.jobs[id_].place in places]
        assert list(answer) == expected, f"found {answer} and not {expected}"

    # reports

    def check_counts(self, answer: Sequence[QueueCounts]) -> None:
        names = [counts.queue for counts in answer]
        assert names == sorted(names), f"not in order: {names}"
        for counts in answer:
            self._check_count(counts)
        unknown = (self.queues | self.paused) - set(names)
        assert not unknown, f"unknown: {unknown}"

    def _check_count(self, counts: QueueCounts) -> None:
        mine = [job for job in self.jobs.values() if job.queue == counts.queue]
        waiting = [job for job in mine if job.place == "queue"]
        places = Counter(job.place for job in mine)
        exact = (counts.parked, counts.running, counts.failed, counts.paused)
        expected = (places["parked"], places["claimed"], places["failed"])
        assert exact == (*expected, counts.queue in self.paused), f"{counts} and not {expected}"
        assert counts.ready + counts.delayed == len(waiting), f"{counts} of {len(waiting)}"
        surely = [job for job in waiting if job.must_run(self.now)]
        perhaps = [job for job in waiting if job.may_run(self.now)]
        assert len(surely) <= counts.ready <= len(perhaps), f"{counts}, ready are {surely}"
        if not self.epoch:
            # The engine may not have noticed yet that a released job is ready.
            allowed = {max((self.now - job.due for job in surely), default=0)}
            allowed.add(max((self.now - job.due for job in surely if not job.wait), default=0))
            assert min(allowed) <= counts.oldest <= max(allowed), f"{counts}, oldest {allowed}"

    def check_totals(self, answer: dict[str, dict[str, int]]) -> None:
        found = {(q, name): n for q, some in answer.items() for name, n in some.items() if n}
        mine = {(q, name): n for q, some in self.totals.items() for name, n in some.items() if n}
        assert found == mine, f"totals {found} and not {mine}"

    def check_limits(self, answer: Sequence[LimitUse]) -> None:
        uses = {identity(use.rule): use for use in answer}
        assert len(uses) == len(answer), f"named twice: {answer}"
        names = [identity(use.rule) for use in answer if use.declared is not None]
        chosen = {(key, abs(span)) for key, span in names}
        assert chosen == set(self.overrides), f"overridden {chosen}"
        for use in answer:
            if isinstance(use.rule, Gate):
                used = self.inside(use.rule.key)
                assert use.window.used == used, f"{use}, but {used} jobs have a slot"
            key, span = identity(use.rule)
            most = self.overrides.get((key, abs(span)))
            assert most in (None, use.rule.limit), f"{use}, but {most} was set"
        for name, window in self.windows.items():
            use, length = uses.get(name), abs(name[1])
            if isinstance(window, Sliding):
                starts = window.at(self.now, length)
                window = starts.shown() if starts.starts else Window(0, 0)  # noqa: PLW2901  # as shown
            if window.start <= self.now < window.start + length:
                rest = window.start + length - self.now
                if use is None and self.epoch:
                    continue  # it ended and was forgotten before the clock went back
                assert use is not None, f"{name} is open"
                assert (use.window, use.resets_in) == (window, rest), f"{use} and not {window}"
            else:
                assert use is None or use.window.used == 0, f"{use} is over"
        for key in {use.rule.key for use in answer} | set(self.holds):
            rest = max(0, self.hold_end(key) - self.now)
            its = {use.rule: use.hold for use in answer if use.rule.key == key}
            assert set(its.values()) <= {rest}, f"{its} and not {rest}"
            assert HeldKey(key) in its or not rest, f"{key} is held"
        self._check_lines(uses)

    def _check_lines(self, uses: dict[Identity, LimitUse]) -> None:
        parked = [job for job in self.jobs.values() if job.place == "parked"]
        assert sum(use.parked for use in uses.values()) == len(parked), f"{uses}"
        released = [job for job in self.jobs.values() if job.wait and job.wait.rule]
        for name in {*uses, *(line for job in parked for line in job.lines)}:
            use = uses.get(name)
            may = sum(name in job.lines for job in parked)
            must = sum(job.lines == {name} for job in parked)
            assert must <= (use.parked if use else 0) <= may, f"{use}: {must} to {may} parked"
            mine = [
                j for j in released if j.wait and identity(j.wait.rule or Rule("", 0, 0)) == name
            ]
            must = sum(not job.may_run(self.now) for job in mine)
            may = sum(not job.must_run(self.now) for job in mine)
            assert must <= (use.released if use else 0) <= may, f"{use}: {must} to {may} released"

    def check_find(self, id_: str, answer: StoredJob | None) -> None:
        job = self.jobs.get(id_)
        if job is None or answer is None:
            assert answer is None, f"{answer} no longer exists"
            assert job is None, f"{job} is not found"
            return
        assert (answer.id, answer.queue, answer.body) == (job.id, job.queue, job.body)
        if not job.state.history.endswith(UNKNOWN_LINE):
            assert answer.state == job.state, f"{answer.state} and not {job.state}"
        assert answer.expires_at == job.expires_at, f"{answer} and not {job.expires_at}"
        assert answer.worker == job.worker, f"{answer} is with {job.worker!r}"
        if job.right is not None and job.right.key not in self.keys.unsure:
            holder = self.keys.held.get(job.right.key, "")
            assert answer.holder == holder, f"{answer.holder!r} has {job.right}, and not {holder!r}"
        allowed: set[tuple[str, int]] = set()
        if job.place == "queue":
            if job.may_run(self.now):
                allowed.add(("ready", job.due))
            if job.wait and not job.must_run(self.now):
                allowed.add(("delayed", job.wait.latest))
                if self.epoch and job.wait.earliest <= answer.at:  # as it was before a jump back
                    allowed.add(("delayed", min(answer.at, job.wait.latest)))
        elif job.place == "parked":
            allowed.add(("parked", job.due))
        else:
            allowed.add(({"claimed": "running"}.get(job.place, job.place), job.at))
        assert (answer.status, answer.at) in allowed, f"{answer} and not {allowed}"

    def check_page(self, status: str, answer: Sequence[StoredJob]) -> None:
        """A whole listing of the jobs that have not failed."""
        jobs = [self.jobs[one.id] for one in answer]
        assert len({one.id for one in answer}) == len(answer), f"listed twice: {answer}"
        assert {one.status for one in answer} <= {status}, f"{answer} are not {status}"
        places = {"parked": "parked", "running": "claimed"}
        mine = [job for job in self.jobs.values() if job.place == places.get(status, "queue")]
        must = may = mine
        if status == "ready":
            must = [job for job in mine if job.must_run(self.now)]
            may = [job for job in mine if job.may_run(self.now)]
        elif status == "delayed":
            must = [job for job in mine if not job.may_run(self.now)]
            may = [job for job in mine if not job.must_run(self.now)]
        ids = {job.id for job in jobs}
        assert {job.id for job in must} <= ids <= {job.id for job in may}, f"{ids} are {status}"
        if status == "ready":
            for before, job in pairwise(jobs):
                same = before.queue == job.queue and before.epoch == job.epoch
                released = any(one.wait and one.wait.rule for one in (before, job))
                assert released or not same or before.order < job.order, f"{before}\nbefore\n{job}"

    def check_failed(self, answer: Sequence[StoredJob]) -> None:
        mine = [job.id for job in self.failed()]
        assert [one.id for one in answer] == mine, f"failed {answer} and not {mine}"

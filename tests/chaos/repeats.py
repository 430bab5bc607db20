"""Why a job ran again after it had come to its end (pure): each time there is one injected fault
that accounts for it, by the causes that docs/guarantees.md names, or there is none.

Who died is known by pid, and when by the machine's monotonic clock; a fault's `begin` is noted
before it is done, its `end` after. What a machine may take for a thing is a constant here, which
grows where a core had more than BUSY processes to run. There, a node may also be silent by itself;
the engine's record of its beats tells, and that another node beat meanwhile.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.chaos.records import NOBODY, Done, Evidence, Line, by_id

#: Seconds between the time that a job writes into its last line, and the worker's note of its end.
NOTING = 0.1
#: Seconds in which an engine that is well has a settlement.
SETTLING = 0.5
#: Seconds after an end in which a worker may begin other short jobs before it has settled.
COMPANY = 0.1
#: Seconds that workers pause at most between two tries to reach the engine.
PAUSE = 5.0
#: The part of its time to live for which a node's silence may look like its death: its last beat
#: may be a sixth of that old, and the next one comes half a second after the silence.
SILENT = 0.6
#: Seconds for which a worker starts what it has claimed on the store's last word.
WORD = 1.0
#: Processes that a core may have to run without a delay that counts.
BUSY = 4.0
#: Seconds between two silences in which there need not be a beat.
BREATH = 1.0
#: Seconds after the death of a keeper in which its master has not started another.
SUCCESSION = 3.0

WORKERS = ("kill-worker", "kill-worker-at-end", "kill-workers", "kill-and-give-back")
#: A store that is put back is locked meanwhile.
OUTAGES = ("broker-restart", "broker-kill", "broker-freeze", "broker-freeze-long", "kill-backend",
    "cut", "cut-long", "cut-connections", "black-hole", "black-hole-long", "drop-replies",
    "drop-reply", "disk-full", "failover", "restore")  # fmt: skip
STOPS = ("stop-pool", "stop-pool-long", "stop-worker")
#: Of one node alone: while the engine is away, nobody counts the beats of others either.
SILENCES = ("stop-pool", "stop-pool-long", "stop-keeper", "kill-keeper", "cut", "cut-long",
    "black-hole", "black-hole-long", "drop-replies")  # fmt: skip

# The causes, as docs/guarantees.md has them.
AT_ITS_END = "its worker was killed at its end"
UNSETTLED = "its pool was killed before it was settled"
AWAY = "its pool was killed while the engine was away"
SILENCE = "its node was silent for longer than its time to live"
SLOW = "its node was silent for so long by itself, on a busy machine"
UNDONE = "the store lost what was settled or claimed"
CAUSES = (AT_ITS_END, UNSETTLED, AWAY, SILENCE, SLOW, UNDONE)


class Repeat(NamedTuple):
    """A run that came to its end, and the start of the next one."""

    begun: float
    end: Line
    again: Line


def repeats(evidence: Evidence) -> Iterator[Repeat]:
    """Every start that came after the start of a run that has ended."""
    starts = by_id(evidence.lines, "start")
    for id, ends in by_id(evidence.lines, "end").items():
        for end in ends:
            own = [one for one in starts[id] if one.pid == end.pid and one.at <= end.at]
            begun = own[-1].at if own else end.at
            again = next((one for one in starts[id] if one.at > begun), None)
            if again is not None:
                yield Repeat(begun, end, again)


class Silence(NamedTuple):
    """`heard`: when there is a beat again at last; a pool that was stopped, and whose keeper was
    killed meanwhile, starts another one when it goes on."""

    begin: float
    end: float
    heard: float


class Causes:
    """Of the repeats of one run of the suite."""

    def __init__(self, evidence: Evidence) -> None:
        self._enough = SILENT * evidence.ttl
        self._slow = slowness(evidence)
        self._gaps = _gaps(evidence.beats, self._enough)
        self._locks = evidence.locks
        self._faults = sorted(evidence.faults, key=lambda fault: fault.begin)
        self._starts: dict[tuple[int, int], list[float]] = defaultdict(list)
        for line in sorted(evidence.lines, key=lambda one: one.at):
            if line.what == "start":
                self._starts[line.node, line.pid].append(line.at)

    def of(self, repeat: Repeat) -> str | None:
        """The cause; None: no fault can have been it."""
        if self._is_undone(repeat):
            return UNDONE
        end = repeat.end
        near = [one for one in self._faults if _concerns(one, end)]
        # What a fault kills, it kills before the job begins again.
        past = [one for one in near if one.begin <= repeat.again.at]
        heads = _heads(past)
        if self._was_killed_at_its_end(end, past):
            return AT_ITS_END
        stops = [one for one in self._faults if one.kind in STOPS] if self._locks else []
        settled, away = self._settled(end, sorted({*near, *stops}, key=lambda one: one.begin))
        deaths = _deaths(end.pid, past, heads) + (heads if away else [])
        if any(end.at <= one.end and one.begin <= settled for one in deaths):
            return AWAY if away else UNSETTLED
        silent = self._was_silent(repeat, settled, near) or self._was_alone(repeat, settled, heads)
        if silent or self.has_an_old_claim(repeat):
            return SILENCE
        return SLOW if self._slow > 1 and self._beat_late(repeat, settled) else None

    def has_an_old_claim(self, repeat: Repeat) -> bool:
        """The other run took the job from a silent node, whose worker does not know it yet."""
        return self._was_about_to_begin(repeat) or self._began_on_an_old_word(repeat)

    def _is_undone(self, repeat: Repeat) -> bool:
        return any(
            repeat.end.id in one.behind | one.gone
            and repeat.begun <= one.end + WORD
            and one.begin <= repeat.again.at
            for one in self._faults
        )

    def _was_killed_at_its_end(self, end: Line, past: Sequence[Done]) -> bool:
        """Who has begun another job since, had noted the end."""
        return self._next(end, end.at) == math.inf and any(
            end.pid in one.pids and one.begin - NOTING * self._slow <= end.at <= one.end
            for one in past if one.kind in WORKERS
        )  # fmt: skip

    def _settled(self, end: Line, near: Sequence[Done]) -> tuple[float, bool]:
        """When the end was settled at last, if its worker lived; and whether something was between
        it and the engine. Who begins another job later than in company, has settled."""
        last, away = end.at + SETTLING * self._slow, False
        for one in near:  # in the order of their begins, so that one leads to the next
            if end.at <= back(one) and one.begin <= last and _holds_up(one, end):
                last, away = max(last, back(one)), True
        return min(last, self._next(end, end.at + COMPANY * self._slow)), away

    def _next(self, end: Line, after: float) -> float:
        """When its worker began the first job after that."""
        starts = self._starts[end.node, end.pid]
        at = bisect_right(starts, after)
        return starts[at] if at < len(starts) else math.inf

    def _was_silent(self, repeat: Repeat, settled: float, near: Sequence[Done]) -> bool:
        """The silence fell into the time from the start to the settlement, and the next run began
        when it had been long."""
        return any(
            one.end - one.begin >= self._enough
            and repeat.begun <= one.heard + SETTLING
            and one.begin <= settled
            and repeat.again.at >= one.begin + self._enough
            for one in self._silences(near, repeat.end.pool)
        )

    def _beat_late(self, repeat: Repeat, settled: float) -> bool:
        """As `_was_silent`, for no fault."""
        return any(
            repeat.begun <= gap.heard + SETTLING
            and gap.begin <= settled
            and repeat.again.at >= gap.begin + self._enough
            for gap in self._gaps.get(repeat.end.pool, ())
        )

    def _was_about_to_begin(self, repeat: Repeat) -> bool:
        """Who was stopped at the first line of a job writes it when it goes on; only the first."""
        again = repeat.again
        return any(
            one.kind == "stop-pool-long"
            and _concerns(one, again)
            and one.begin + self._enough <= repeat.begun
            and one.end - NOTING <= again.at <= one.end + SETTLING
            and self._next(again, one.begin) == again.at
            for one in self._faults
        )

    def _began_on_an_old_word(self, repeat: Repeat) -> bool:
        """The other run took the job from a silent node, and then a worker of that node started
        it too: it does so for WORD after the store's last answer."""
        near = [one for one in self._faults if _concerns(one, repeat.again)]
        return repeat.again.at <= repeat.begun + WORD and any(
            one.begin + self._enough <= repeat.begun <= one.heard + SETTLING
            for one in self._silences(near, repeat.again.pool)
        )

    def _was_alone(self, repeat: Repeat, settled: float, heads: Sequence[Done]) -> bool:
        """Where nobody is left to beat, an orphan is killed by the pool that takes its job, or has
        left without an engine that it could tell of its end."""
        last = min(settled, repeat.again.at)
        return any(
            repeat.begun <= one.end + SETTLING and last >= one.begin + self._enough for one in heads
        )

    def _silences(self, near: Sequence[Done], pool: int) -> list[Silence]:
        """Those that follow one another closely are one, and each lasts until the next beat."""
        found: list[Silence] = []
        for one in near:
            if one.kind not in SILENCES:
                continue
            begin, end, wait = one.begin, one.end, SUCCESSION * (one.kind == "kill-keeper")
            if found and begin <= max(found[-1].end + BREATH, found[-1].heard):
                last = found.pop()
                begin, end = last.begin, max(last.end, end)
                wait = max(wait, last.heard - last.end)
            heard = [gap.heard for gap in self._gaps.get(pool, ())
                     if gap.begin <= end + wait and begin <= gap.heard]  # fmt: skip
            found.append(Silence(begin, max([end, *heard]), max([end + wait, *heard])))
        return found


def back(fault: Done) -> float:
    """When everybody has reached the engine again, after an outage or a stop: the pauses between
    tries double, so the last one is no longer than all before it."""
    return fault.end + min(PAUSE, fault.end - fault.begin) + SETTLING


def slowness(evidence: Evidence) -> float:
    """How much longer things may take than on a machine that is not too busy."""
    return max(1.0, evidence.load / BUSY)


def _gaps(beats: Mapping[int, Sequence[float]], enough: float) -> dict[int, list[Silence]]:
    """When pools were silent by the engine's record, while others beat for long enough."""
    found: dict[int, list[Silence]] = defaultdict(list)
    for pool, own in beats.items():
        others = sorted(at for other, some in beats.items() if other != pool for at in some)
        for last, following in pairwise([*own, math.inf]):
            meanwhile = others[bisect_right(others, last) : bisect_right(others, following)]
            if meanwhile and meanwhile[-1] - meanwhile[0] >= enough:
                found[pool].append(Silence(last, following, following))
    return found


def _concerns(fault: Done, line: Line) -> bool:
    """True if it was done to everybody, to this node's line, or to a process of this pool."""
    if fault.node not in (line.node, NOBODY):
        return False
    return not fault.pools or line.pool in fault.pools


def _holds_up(fault: Done, end: Line) -> bool:
    """True if it keeps this worker from the engine."""
    if fault.kind in STOPS:
        return fault.kind != "stop-worker" or fault.node != end.node or end.pid in fault.pids
    return fault.kind in OUTAGES


def _heads(faults: Sequence[Done]) -> list[Done]:
    """Deaths after which a pool has neither master nor keeper."""
    found = [one for one in faults if one.kind in ("kill-pool", "kill-master-and-keeper")]
    keepers = [one for one in faults if one.kind == "kill-keeper"]
    for master in (one for one in faults if one.kind == "kill-master"):
        late = [one for one in keepers if one.begin >= master.begin - SUCCESSION]
        found += [max(master, one, key=lambda fault: fault.begin) for one in late]
    return found


def _deaths(pid: int, faults: Sequence[Done], heads: Sequence[Done]) -> list[Done]:
    """Deaths of a worker of which nobody knows what it had finished."""
    killed = [one for one in faults if pid in one.pids]
    alone = [one for one in killed if one.kind in WORKERS
             and any(head.begin <= one.end for head in heads)]  # fmt: skip
    return [one for one in killed if one.kind == "kill-pool"] + alone

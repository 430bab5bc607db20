"""What a ledger says about unique jobs and ticks (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.support.ledger import Line

STARTS = ("taken", "begin")  # a producer that is killed may not have noted the first


class Unique(NamedTuple):
    """`done`: jobs that have ended; `lost`: those that were taken, or began, and never ended;
    `doubled`: those that began while another job of their key was still to end."""

    done: int
    lost: int
    doubled: int


def outstanding(lines: Iterable[Line]) -> set[str]:
    """The jobs that have not ended yet."""
    there, ended = set[str](), set[str]()
    for line in lines:
        if line.what == "end":
            ended.add(line.id)
        elif line.what in STARTS:
            there.add(line.id)
    return there - ended


def unique(lines: Sequence[Line]) -> Unique:
    """Judge jobs whose ids are key and token. A job that ran again has one begin, its first one,
    and one end, its last one; when it is lost, its key is free."""
    begins: dict[str, float] = {}
    taken: dict[str, float] = {}
    ends: dict[str, float] = {}
    for line in lines:
        if line.what == "end":
            ends[line.id] = line.at
        elif line.what in STARTS:
            taken.setdefault(line.id, line.at)
            if line.what == "begin":
                begins.setdefault(line.id, line.at)
    by_key = defaultdict[str, list[str]](list)
    for id in ends:
        by_key[id.partition("/")[0]].append(id)
    doubled = sum(
        any(other != id and taken[other] < begun < ends[other] for other in by_key[key])
        for id, begun in begins.items()
        for key in [id.partition("/")[0]]
    )
    return Unique(len(ends), len(taken.keys() - ends.keys()), doubled)


class Ticks(NamedTuple):
    """`due`: how many there should have been."""

    due: int
    lost: int
    doubled: int


def moments(lines: Iterable[Line]) -> dict[str, dict[str, float]]:
    """Of each schedule the moments of its jobs by id, in seconds since 1970: the ids of lines are
    schedule, moment and the job's id."""
    found = defaultdict[str, dict[str, float]](dict)
    for line in lines:
        schedule, moment, id = line.id.split("/")
        found[schedule].setdefault(id, float(moment))
    return found


def ticks(lines: Iterable[Line], interval: float, until: float) -> Ticks:
    """Judge ticks up to a moment. A job that ran again counts once. Of one schedule, a tick that
    follows another within half an interval is a double; where more than one and a half lie between
    two, some were lost."""
    found = [_ticks(sorted(one.values()), interval, until) for one in moments(lines).values()]
    return Ticks(*(sum(column) for column in zip(*found, strict=True)))


def _ticks(found: Sequence[float], interval: float, until: float) -> Ticks:
    last, counted, lost, doubled = found[0], 1, 0, 0
    for at in found[1:]:
        if at > until and last > until:
            break
        if at - last < interval / 2:
            doubled += 1
            continue
        lost += max(0, round((at - last) / interval) - 1)
        counted, last = counted + 1, at
    lost += max(0, int((until - last) / interval))
    return Ticks(counted + lost, lost, doubled)

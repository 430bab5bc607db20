"""The acts on a running pool: the worker or the number of workers that a person names."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from poolq.acts.job_ids import MIN_LENGTH
from poolq.errors import NotFound, OptionError, Refused
from poolq.monitor import amounts

#: A worker's number or pid. A job's id never matches: it begins with 0 or is longer.
WORKER = re.compile(r"[1-9]\d{0,6}", re.ASCII)


class BusyWorker(NamedTuple):
    """A worker of a pool. `running`: the seconds since its job began, or None if it has no job."""

    slot: int
    pid: int
    job: str
    id: str
    running: float | None

    def __str__(self) -> str:
        span = amounts.span(self.running)
        return f"worker {self.slot} (pid {self.pid}), which has run {self.job} {self.id} for {span}"


def scaling(text: str) -> dict[str, int]:
    """Read a number of workers, such as 4, +1 or -1. Raises OptionError."""
    if not re.fullmatch(r"[+-]?\d{1,6}", text, re.ASCII):
        raise OptionError(f"{text!r} is not a number of workers; give 4, +1 or -1")
    return {"procs" if text[0].isdecimal() else "by": int(text)}


def find_worker(workers: Sequence[BusyWorker], target: str) -> BusyWorker:
    """Return the only worker that has this number or pid, or that runs the job whose id begins with
    `target`. Raises NotFound if there is none, Refused if there are several."""
    if WORKER.fullmatch(target):
        number = int(target)
        known = [one for one in workers if one.slot == number]
        known = known or [one for one in workers if one.pid == number]
        found = [one for one in known if one.id]
        missing = f"worker {target} runs no job" if known else f"there is no worker {target}"
    else:
        found = [one for one in workers if one.id and one.id.startswith(target)]
        if found and len(target) < MIN_LENGTH and found[0].id != target:
            raise NotFound(f"{target!r} is too short for a job's id; give {MIN_LENGTH} characters")
        missing = f"no worker of this pool runs job {target}"
    if not found:
        busy = ", ".join(str(one.slot) for one in workers if one.id) or "none"
        raise NotFound(f"{missing}; busy: {busy}")
    if len(found) > 1:
        choices = ", ".join(f"{one.id} (pid {one.pid})" for one in found)
        raise Refused(f"{target} is ambiguous; it may be {choices}")
    return found[0]


def killed(answer: dict[str, Any], *, give_back: bool) -> str:
    """Say what a pool has answered to the request `kill`."""
    end = "given back" if give_back else "cancelled"
    return (
        f"worker {answer['worker']} (pid {answer['pid']}) was killed;"
        f" its job {answer['job']} {answer['id']} is {end}"
    )

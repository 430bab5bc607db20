"""Concurrency per key: how many jobs may run at once. Engines see it as a `Gate`.

A slot of a gate is a claim. A claim takes it when its job is admitted or granted, and it ends with
the claim, however that ends. So it has no duration, and nothing can be left over.

As an option of a job, its key is computed at the dispatch, which stores the job in the wait list of
its gate at once, so that no worker has to ask it first. Whenever a worker claims such a job without
a slot, it asks for one, as for the limits that `rate_limit()` returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as data_field
from functools import partial

from poolq.common import checks
from poolq.common.escaping import shown
from poolq.common.names import path_of
from poolq.errors import LimitError
from poolq.jobs.limits import MAX_LIMIT, Declared, Gate, check_key
from poolq.jobs.unique import key_of, lacking


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Concurrent(Declared):
    """At most `limit` jobs run at once. `key` names the jobs that count together (default: the
    job's name). Only for the option `concurrent`: `by`, the payload fields whose values are the
    key. A job that has to wait is parked. Raises LimitError (a ValueError).

    `parks`: whether a job with this option is stored in the line of its gate. It is not if only a
    worker knows all of its limits."""

    limit: int
    key: str | None
    by: tuple[str, ...]
    parks: bool = data_field(compare=False)

    def __init__(self, limit: int, *, key: str | None = None, by: str | Sequence[str] = ()) -> None:
        if by and key is not None:
            raise LimitError("Concurrent: give key, a text, or by, payload fields, not both")
        given = "".join(f", {name}={shown(it)}" for name, it in (("key", key), ("by", by)) if it)
        what = f"Concurrent(…{given}): limit"
        fill = partial(object.__setattr__, self)
        fill("limit", checks.whole(limit, what, MAX_LIMIT, LimitError))
        fill("key", None if key is None else check_key(key))
        by = (by,) if isinstance(by, str) and by else by
        fill("by", checks.payload_fields(by, "Concurrent", LimitError))
        fill("parks", False)

    def __repr__(self) -> str:  # as it is written
        by = ", ".join(map(repr, self.by))
        given = f", by={by if len(self.by) == 1 else f'({by})'}" if self.by else ""
        given += "" if self.key is None else f", key={self.key!r}"
        return f"Concurrent({self.limit}{given})"

    def rule(self, job: str) -> Gate:
        return Gate(self.key or job, self.limit)

    def gate(self, job: str, payload: object, index: int = -1) -> Gate:
        """Return the key and the limit for a job with this payload. `index`: see `names.path_of`.
        Raises PayloadError."""
        if not self.by:
            return self.rule(job)
        given: Mapping[str, object] = payload or {}  # type: ignore[assignment]  # it was checked
        if not all(field in given for field in self.by):
            raise lacking(self.by, given, f"job {job}: {path_of(index)}", "limited")
        return Gate(key_of(job, {field: given[field] for field in self.by}), self.limit)

    def check_returned(self) -> None:
        if self.by:
            raise LimitError(
                f"{self!r} is for the option `concurrent`; in rate_limit(), write key=f'…'"
            )

    def parking(self) -> "Concurrent":
        """Return the same, for jobs of which nothing else limits the starts."""
        made = Concurrent(self.limit, key=self.key, by=self.by)
        object.__setattr__(made, "parks", True)
        return made

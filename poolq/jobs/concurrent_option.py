"""The option `concurrent`: a `Concurrent` whose key is computed at the dispatch.

The job is stored in the wait list of its gate at once, so that no worker has to ask it first.
Whenever a worker claims such a job without a slot, it asks for one, as for the limits that
`rate_limit()` returns.
"""

from collections.abc import Mapping

from poolq.common.names import path_of
from poolq.errors import OptionError
from poolq.jobs.concurrency import Concurrent
from poolq.jobs.limits import Gate
from poolq.jobs.unique import key_of, lacking


def gate_of(one: Concurrent, job: str, payload: object, index: int = -1) -> Gate:
    """Return the key and the limit for a job with this payload. `index`: see `names.path_of`.
    Raises PayloadError."""
    if not one.by:
        return one.rule(job)
    given: Mapping[str, object] = payload or {}  # type: ignore[assignment]  # it was checked
    if not all(field in given for field in one.by):
        raise lacking(one.by, given, f"job {job}: {path_of(index)}", "limited")
    return Gate(key_of(job, {field: given[field] for field in one.by}), one.limit)


def asked(
    own: Concurrent | None, job: str, payload: Mapping[str, object], gate: Gate | None
) -> Concurrent | None:
    """Return the limit for which a job asks when it starts; None if it has none. `own`: the option
    of its class, whose number applies. `gate`: as the job was dispatched, if it was dispatched with
    the option; the key is that of the dispatch. Raises PayloadError."""
    if own is not None:
        key, _ = gate or gate_of(own, job, payload)
        return Concurrent(own.limit, key=key)
    return Concurrent(gate.limit, key=gate.key) if gate else None


def read_concurrent(value: object, what: str) -> Concurrent | None:
    """Check the option `concurrent`. Raises OptionError, whose message begins with `what`."""
    if value is None or isinstance(value, Concurrent):
        return value
    raise OptionError(f"{what} is {value!r}; write poolq.Concurrent(2, by='field'), or None")

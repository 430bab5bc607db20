"""Stores new jobs with the script `push`, or as a part of ticks (`schedules.py`)."""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter

from poolq.engines.base import Push
from poolq.engines.redis.client import PartlyStored, RedisClient, ReplyLost
from poolq.engines.redis.codec import MAX_IDS_PER_CALL, text
from poolq.engines.redis.connection import Argument
from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs.unique import UniqueKey

#: A chunk of a push ends with the job that makes it exceed this many bytes.
PUSH_CHUNK_BYTES = 1 << 20

_id_of, _queue_of, _unique_of, _gate_of = map(attrgetter, ("id", "queue", "unique", "gate"))
_times_of, _id_and_body = attrgetter("delay", "at", "expires"), attrgetter("id", "body")
_flat = chain.from_iterable


def push(client: RedisClient, pushes: Sequence[Push]) -> list[str]:
    """See `Engine.push`."""
    ids: list[str] = []
    for chunk in [pushes] if len(pushes) == 1 else _chunks(pushes):
        try:
            given_way = client.run("push", *arguments(chunk))
        except EngineUnavailable as error:
            error.ids = tuple(push.id for push in pushes[len(ids) :])
            error.maybe_stored = isinstance(error, ReplyLost)
            raise
        except PartlyStored as error:
            missing = pushes[len(ids) + error.stored :]
            raise EngineError(str(error), ids=[push.id for push in missing]) from None
        ids += map(_id_of, chunk)
        if given_way:
            first = len(ids) - len(chunk)
            for place, holder in zip(given_way[::2], given_way[1::2], strict=True):
                ids[first + place] = text(holder)
    return ids


def _chunks(pushes: Sequence[Push]) -> Iterator[Sequence[Push]]:
    """Split jobs into chunks. One call of the script stores one chunk."""
    start = size = 0
    for end, push in enumerate(pushes, 1):
        size += len(push.body)
        if size >= PUSH_CHUNK_BYTES or end - start == MAX_IDS_PER_CALL:
            yield pushes[start:end]
            start, size = end, 0
    if start < len(pushes):
        yield pushes[start:]


def arguments(pushes: Sequence[Push]) -> list[Argument]:
    """Encode jobs as the script `push` expects them."""
    if len(pushes) == 1:
        (push,) = pushes
        unique = push.unique
        if push.delay <= 0 and push.at <= 0 and push.expires <= 0 and push.gate is None:
            if unique is None:  # one dispatch
                return [push.queue, 1, push.id, push.body]
            if _gives_way(unique):
                return [push.queue, -1, push.id, _stored(push)]
    # `zip(*pushes)` makes an object for each job at once. So the garbage collector would run more
    # often, which takes a tenth of the time of a list.
    queue, n = pushes[0].queue, len(pushes)
    uniques, gated = list(map(_unique_of, pushes)), any(map(_gate_of, pushes))
    at_once = set(map(_times_of, pushes)) == {(0, 0, 0)} and not gated
    if at_once and list(map(_queue_of, pushes)).count(queue) == n:
        if not any(uniques):
            return [queue, n, *_flat(map(_id_and_body, pushes))]
        keys = {unique.key for unique in uniques if unique and _gives_way(unique)}
        if len(keys) == n:
            stored = zip(map(_id_of, pushes), map(_stored, pushes), strict=True)
            return [queue, -n, *_flat(stored)]
    kind = "a" if any(uniques) or gated else "d"
    found: list[Argument] = []
    for queue, jobs in groupby(pushes, _queue_of):
        encoded = list(map(new_job, jobs))
        found += (queue, f"{kind}{len(encoded)}", *_flat(encoded))
    return found


def new_job(push: Push) -> tuple[Argument, ...]:
    """Encode a job of kind "a" or "d" of the script `push`, without its queue."""
    unique, gate = push.unique, push.gate
    due: Argument = push.at if push.at > 0 else f"-{max(0, push.delay)}"
    lasts, replaces = (unique.lasts, int(unique.replaces)) if unique else (0, 0)
    limit, key = (gate.limit, gate.key) if gate else (0, "")
    return push.id, _stored(push), due, push.expires, f"{lasts} {replaces} {limit} {key}"


def _gives_way(unique: UniqueKey) -> bool:
    """Return whether the job never replaces another, and holds its key until its start or end."""
    return not unique.replaces and unique.until != "time"


def _stored(push: Push) -> bytes:
    """Return the text that is stored after the job's queue: its unique key, as in the script part
    `unique_keys`, and its body."""
    unique = push.unique
    if unique is None:
        return b"\n" + push.body
    return b"\t%b\n%b" % (unique.stored, push.body)

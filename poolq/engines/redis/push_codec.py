"""Encodes new jobs as arguments of the scripts that store them."""

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from poolq.engines import base
from poolq.engines.redis.codec import MAX_IDS_PER_CALL
from poolq.engines.redis.connection import Argument
from poolq.engines.redis.scripts import PUSH, PUSH_EXPIRING
from poolq.jobs.ties import Until

#: A chunk of a push ends with the job that makes it exceed this many bytes.
PUSH_CHUNK_BYTES = 1 << 20

_delay, _at, _expires = map(attrgetter, ("delay", "at", "expires"))


def push_chunks(pushes: Sequence[base.Push]) -> Iterator[Sequence[base.Push]]:
    """Split jobs into those that one call of a script stores."""
    start = size = 0
    for end, push in enumerate(pushes, 1):
        size += len(push.body)
        if size >= PUSH_CHUNK_BYTES or end - start == MAX_IDS_PER_CALL:
            yield pushes[start:end]
            start, size = end, 0
    if start < len(pushes):
        yield pushes[start:]


def push_arguments(pushes: Sequence[base.Push]) -> list[Argument]:
    """Encode jobs for `push` in groups by queue. Groups with delayed jobs include due times."""
    if len(pushes) == 1 and pushes[0].delay <= 0 and pushes[0].at <= 0:  # one dispatch
        id_, queue, body, *_ = pushes[0]
        return [queue, 1, id_, body]
    now: dict[str, list[Argument]] = {}
    later: set[str] = set()
    if any(map(_delay, pushes)) or any(map(_at, pushes)):
        later = {queue for _, queue, _, delay, at, _ in pushes if at > 0 or delay > 0}
    mixed: dict[str, list[Argument]] = {queue: [] for queue in sorted(later)}
    for id_, queue, body, delay, at, _ in pushes:
        if queue in later:
            mixed[queue] += (_due(delay, at), id_, body)
        elif queue in now:
            now[queue] += (id_, body)
        else:
            now[queue] = [id_, body]
    arguments: list[Argument] = []
    for queue, items in now.items():
        arguments += (queue, len(items) // 2, *items)
    for queue, items in mixed.items():
        arguments += (queue, -len(items) // 3, *items)
    return arguments


def tied_push_arguments(pushes: Sequence[base.TiedPush]) -> list[Argument]:
    """Encode jobs as the script part `tied_push` expects them."""
    arguments: list[Argument] = []
    for push, right in pushes:
        if right is None:
            arguments += _tied_push(push, "", b"\n" + push.body, 0, False)
        else:
            stored = with_rights(push.body, right.until, right.key)
            arguments += _tied_push(push, right.key, stored, right.lasts, right.replaces)
    return arguments


def one_unique_push(jobs: base.UniquePushes) -> Sequence[Argument]:
    """Encode a single job as the script part `tied_push` expects it."""
    (push,), (key,), until, lasts, replaces = jobs
    return _tied_push(push, key, with_rights(push.body, until, key), lasts, replaces)


def with_rights(body: bytes, until: Until, key: str) -> bytes:
    """Return the body of a job with a unique key, after its rights as in the script part `ties`."""
    return f"\t{until} {key}\n".encode() + body


def _tied_push(
    push: base.Push, key: str, stored: bytes, lasts: int, replaces: bool
) -> tuple[Argument, ...]:
    id_, queue, _, delay, at, expires = push
    how: Argument = lasts or ("r" if replaces else "")
    if delay > 0 or at > 0 or expires > 0:
        due = str(at) if at > 0 else f"-{delay}" if delay > 0 else ""
        how = f"{due},{expires},{lasts},{replaces:d}"
    return queue, id_, stored, key, how


def unique_push_arguments(jobs: base.UniquePushes) -> list[Argument] | None:
    """Encode jobs for `push_unique`. Returns None for jobs that it cannot store."""
    pushes, keys, until, lasts, _ = jobs
    if lasts or len(set(keys)) < len(keys):
        return None
    ids, queues, bodies, delays, ats, expires = zip(*pushes, strict=True)
    if any(expires):
        return None
    stored = [with_rights(body, until, key) for body, key in zip(bodies, keys, strict=True)]
    if any(delays) or any(ats) or queues.count(queues[0]) < len(queues):
        return _unique_push_groups(jobs, stored)
    arguments: list[Argument] = [queues[0], len(keys)]
    arguments += chain.from_iterable(zip(ids, stored, strict=True))
    return arguments


def _unique_push_groups(jobs: base.UniquePushes, stored: Sequence[bytes]) -> list[Argument]:
    """Encode jobs of several queues, or that are due at several times, for `push_unique`."""
    groups: list[Argument] = []
    pushes = [push._replace(body=body) for push, body in zip(jobs.pushes, stored, strict=True)]
    for queue in dict.fromkeys([push.queue for push in pushes]):
        groups += push_arguments([push for push in pushes if push.queue == queue])
    return groups


def parked_push_arguments(pushes: Sequence[base.ParkedPush]) -> list[Argument]:
    """Encode jobs as `push_parked` expects them."""
    return [
        part
        for (id_, queue, body, _, _, expires), rule in pushes
        for part in (queue, id_, body, expires, rule.limit, rule.key)
    ]


def push_call(pushes: Sequence[base.Push]) -> tuple[Any, ...]:
    """Return the script that stores these jobs, and its arguments."""
    if len(pushes) == 1:
        id_, queue, body, delay, at, expires = pushes[0]
        if delay <= 0 and at <= 0 and expires <= 0:  # one dispatch
            return PUSH, queue, 1, id_, body
    if not any(map(_expires, pushes)):
        return (PUSH, *push_arguments(pushes))
    found: list[Argument] = []
    for id_, _, _, delay, at, expires in pushes:
        if expires > 0:
            found += (id_, _due(delay, at), expires)
    return (PUSH_EXPIRING, len(found) // 3, *found, *push_arguments(pushes))


def _due(delay: int, at: int) -> Argument:
    return at if at > 0 else f"-{max(0, delay)}"

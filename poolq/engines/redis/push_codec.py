"""Encodes new jobs as arguments of the scripts that store them."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from poolq.engines import base
from poolq.engines.redis.codec import MAX_IDS_PER_CALL
from poolq.engines.redis.connection import Argument
from poolq.engines.redis.scripts import PUSH, PUSH_EXPIRING

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
    for (id_, queue, body, delay, at, expires), right in pushes:
        key, ties, lasts, replaces = "", b"", 0, False
        if right is not None:
            key, _, lasts, replaces = right
            ties = right.ties
        how: Argument = lasts or ("r" if replaces else "")
        if delay > 0 or at > 0 or expires > 0:
            due = str(at) if at > 0 else f"-{delay}" if delay > 0 else ""
            how = f"{due},{expires},{lasts},{replaces:d}"
        arguments += (queue, id_, body, key, ties, how)
    return arguments


def unique_push_arguments(prefix: str, pushes: Sequence[base.TiedPush]) -> list[Argument] | None:
    """Encode jobs for `push_unique`. Returns None for jobs that it cannot store."""
    bare = [push for push, _ in pushes]
    rights = [right for _, right in pushes if right is not None and not right.lasts]
    if len({right.key for right in rights}) < len(bare) or any(map(_expires, bare)):
        return None
    many, head = 2 * len(bare), f"{prefix}unique:"
    keys: list[Argument] = [head] * many
    keys[::2] = [head + right.key for right in rights]
    keys[1::2] = ["0 " + push.id for push in bare]
    ties: list[Argument] = [head] * many
    ties[::2] = [push.id for push in bare]
    ties[1::2] = [right.ties for right in rights]
    return [len(bare), *keys, *ties, *push_arguments(bare)]


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

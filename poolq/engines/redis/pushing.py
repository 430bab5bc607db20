"""Stores new jobs that have rights, or wait in the lines of their gates."""

from collections.abc import Sequence
from operator import attrgetter

from poolq.engines import base
from poolq.engines.redis import push_codec, scripts
from poolq.engines.redis.client import RedisClient, ReplyLost
from poolq.engines.redis.codec import text
from poolq.errors import EngineUnavailable
from poolq.jobs.ties import together

_id_of = attrgetter("id")


def not_stored(error: EngineUnavailable, left: Sequence[base.Push]) -> EngineUnavailable:
    """Return the error of a push that names the jobs that may not have been stored."""
    ids = [push.id for push in left]
    return EngineUnavailable(str(error), ids=ids, maybe_stored=isinstance(error, ReplyLost))


def push_tied(client: RedisClient, pushes: Sequence[base.TiedPush]) -> list[str]:
    """See `Engine.push_tied`."""
    if (jobs := together(pushes)) is not None:
        return push_unique(client, jobs)
    holders: list[str] = []
    bare = [push for push, _ in pushes]
    for chunk in push_codec.push_chunks(bare):
        some = pushes[len(holders) : len(holders) + len(chunk)]
        try:
            holders += _push_tied(client, some)
        except EngineUnavailable as error:
            raise not_stored(error, bare[len(holders) :]) from None
    return holders


def push_unique(client: RedisClient, jobs: base.UniquePushes) -> list[str]:
    """See `Engine.push_unique`."""
    holders: list[str] = []
    try:
        if len(jobs.pushes) == 1:
            return _push_one(client, jobs)
        for chunk in push_codec.push_chunks(jobs.pushes):
            some = jobs.part(len(holders), len(holders) + len(chunk))
            arguments = push_codec.unique_push_arguments(some)
            if arguments and client.run(scripts.PUSH_UNIQUE, *arguments):
                holders += map(_id_of, chunk)
            else:
                holders += _push_tied(client, some.tied())
    except EngineUnavailable as error:
        raise not_stored(error, jobs.pushes[len(holders) :]) from None
    return holders


def _push_one(client: RedisClient, jobs: base.UniquePushes) -> list[str]:
    script = scripts.PUSH_REPLACING if jobs.replaces else scripts.PUSH_TIED
    reply = client.run(script, *push_codec.one_unique_push(jobs))
    return [jobs.pushes[0].id] if reply == 1 else [text(reply[0])]


def _push_tied(client: RedisClient, pushes: Sequence[base.TiedPush]) -> list[str]:
    replaces = any(right.replaces for _, right in pushes if right)
    script = scripts.PUSH_REPLACING if replaces else scripts.PUSH_TIED
    reply = client.run(script, *push_codec.tied_push_arguments(pushes))
    return [pushes[0].push.id] if reply == 1 else list(map(text, reply))


def push_parked(client: RedisClient, pushes: Sequence[base.ParkedPush]) -> None:
    """See `Engine.push_parked`."""
    stored = 0
    bare = [one.push for one in pushes]
    for chunk in push_codec.push_chunks(bare):
        some = pushes[stored : stored + len(chunk)]
        try:
            client.run(scripts.PUSH_PARKED, *push_codec.parked_push_arguments(some))
        except EngineUnavailable as error:
            raise not_stored(error, bare[stored:]) from None
        stored += len(chunk)

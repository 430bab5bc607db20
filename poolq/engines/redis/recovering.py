"""Recovers dead workers and nodes: ends their claims and deletes their registrations.

`claims_of` fences a worker and reads its claims, `jobs/ending.py` says how they end, and
`end_claims` ends them, page by page. If a keeper is killed in between, the worker stays registered
and fenced, and the next recovery ends what is left. The earliest claim is ended last: if nothing is
known of the worker's death, this is the one whose job was running. Those of finished jobs are ended
first, so that none of them is the earliest one for a keeper that knows less.
"""

from poolq.engines.base import BY_REQUEST, DeathReport, Recovered, Settlement
from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.codec import decode_held_claims, end_arguments, text
from poolq.jobs.ending import DONE, End, after_death, unobserved_death

#: How many claims one script ends, as it holds up all other clients of the server.
CLAIMS_PER_CALL = 500
_Ends = list[tuple[str, End]]  # ids, and how their claims have ended


def recover(client: RedisClient, worker: str, death: DeathReport | None) -> Recovered:
    """See `Engine.recover`."""
    return Recovered.of(_recover(client, worker, death) or [])


def reap(client: RedisClient, node: str, beat: int) -> Recovered | None:
    """See `Engine.reap`."""
    ends: _Ends = []
    workers = client.run("reap", node, beat)
    if workers is None:
        return None
    while workers:
        for worker in workers:
            ended = _recover(client, worker, None, node, beat)
            if ended is None:  # another keeper has recovered it, or the node lives
                break
            ends += ended
        workers = client.run("reap", node, beat)
    return Recovered.of(ends)


def _recover(
    client: RedisClient, worker: str | bytes, death: DeathReport | None, *silent: str | int
) -> _Ends | None:
    """End the claims of a worker. Returns how they have ended, or None if it is not registered.
    `silent`: its node, and the counter that the node's heartbeat must still have."""
    reply = client.run("claims_of", worker, *silent)
    if reply is None:
        return None
    claims, cancelled = decode_held_claims(reply[1])
    claims.sort(key=BY_REQUEST, reverse=True)
    if death is None:
        name = worker if isinstance(worker, str) else text(worker)
        death = unobserved_death(name, claims[-1] if claims else None, int(reply[0]))
    ends = [(claim, after_death(claim, claim.id in cancelled, death)) for claim in claims]
    ends.sort(key=lambda end: end[1] is not DONE)
    stale = set[bytes]()
    for start in range(0, max(1, len(ends)), CLAIMS_PER_CALL):
        page = [Settlement(claim, end[1]) for claim, end in ends[start : start + CLAIMS_PER_CALL]]
        is_last = start + CLAIMS_PER_CALL >= len(ends)
        stale.update(client.run("end_claims", worker, int(is_last), *end_arguments(page)))
    gone = set(map(text, stale))
    return [(claim.id, end) for claim, end in reversed(ends) if claim.id not in gone]

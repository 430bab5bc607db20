"""Works out from a namespace's queues whether their jobs are started as fast as they come."""

from typing import NamedTuple

from poolq.monitor.alerts import READY_WAIT
from poolq.monitor.rates import trend
from poolq.monitor.snapshot import QueueView, Snapshot

KEEPS_UP, SHRINKS, GROWS, STEADY, UNKNOWN = "keeps up", "shrinks", "grows", "steady", "unknown"


class Backlog(NamedTuple):
    """`ready`: the ready jobs of all queues. All other fields leave out the queues that the
    snapshot leaves out. `incoming`, `outgoing`: jobs per second, None if not known yet. `spark`:
    ready jobs as in `QueueView`. `oldest`, `queue`, `state`, `growth` and `empty_in` are about the
    queues that some pool serves and that are not paused. `oldest`: how many seconds their oldest
    ready job has waited. `queue`: its queue. `state`: one of the words above, `keeps up` if no job
    has waited for READY_WAIT seconds, `steady` if `rates.trend` is 0. `growth`: change of the ready
    jobs per second. `empty_in`: seconds until no job waits; None unless `growth` is negative."""

    ready: int = 0
    oldest: float | None = None
    queue: str = ""
    incoming: float | None = None
    outgoing: float | None = None
    state: str = KEEPS_UP
    growth: float = 0.0
    empty_in: float | None = None
    spark: tuple[float, ...] = ()
    delayed: int = 0
    parked: int = 0
    failed: int = 0


def backlog(snapshot: Snapshot) -> Backlog:
    """Return the backlog of the queues in a snapshot."""
    queues = snapshot.queues
    served = [queue for queue in queues if queue.served and not queue.paused]
    last = max((queue for queue in served if queue.ready), key=_waited, default=None)
    state, growth, empty_in = _state(served, snapshot.head.period)
    return Backlog(
        ready=sum(queue.ready for queue in queues) + snapshot.left_out_ready,
        oldest=last.oldest if last else None,
        queue=last.queue if last else "",
        incoming=_sum([queue.incoming for queue in queues]),
        outgoing=_sum([queue.outgoing for queue in queues]),
        state=state,
        growth=growth,
        empty_in=empty_in,
        spark=_add([queue.spark for queue in queues if any(queue.spark)]),
        delayed=sum(queue.delayed for queue in queues),
        parked=sum(queue.parked for queue in queues),
        failed=sum(queue.failed for queue in queues),
    )


def _state(queues: list[QueueView], period: float) -> tuple[str, float, float | None]:
    """Return the state, the growth per second, and the seconds until no job waits."""
    ready = sum(queue.ready for queue in queues)
    if not any(
        queue.ready and (queue.oldest is None or queue.oldest >= READY_WAIT) for queue in queues
    ):
        return KEEPS_UP, 0.0, None
    growth = trend(_add([queue.spark for queue in queues]), period)
    if growth is None:
        return UNKNOWN, 0.0, None
    if growth < 0:
        return SHRINKS, growth, ready / -growth
    return GROWS if growth else STEADY, growth, None


def _waited(queue: QueueView) -> float:
    return queue.oldest or 0.0


def _sum(rates: list[float | None]) -> float | None:
    readings = [rate for rate in rates if rate is not None]
    return sum(readings) if readings else None


def _add(sparks: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Add sparklines whose newest values are last; a young queue has fewer values."""
    many = max(map(len, sparks), default=0)
    padded = ((0.0,) * (many - len(spark)) + spark for spark in sparks)
    return tuple(map(sum, zip(*padded, strict=True)))

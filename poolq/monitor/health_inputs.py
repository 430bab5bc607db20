"""The signs of a pool's health, from its shared memory."""

from time import monotonic_ns

from poolq.monitor.health import HealthInputs
from poolq.scoreboard import board
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.pool_status import PoolStatus
from poolq.scoreboard.worker_row import Phase


def health_inputs(scores: Scoreboard, status: PoolStatus) -> HealthInputs:
    """`status`: as its master published it."""
    stay = [worker.row for worker in status.workers if worker.pid and not worker.stop_sent]
    return HealthInputs(
        status.state,
        sum(scores.phase(row) in (Phase.IDLE, Phase.BUSY) for row in stay),
        age(scores, board.MASTER_BEAT) or 0.0,
        age(scores, board.KEEPER_BEAT),
        bool(scores.word(board.BROKER_UP)),
        age(scores, board.BROKER_SEEN),
        status.node_ttl,
    )


def age(scores: Scoreboard, word: int) -> float | None:
    """Seconds since that word of the head was written, which holds a time; None: never."""
    told = scores.word(word)
    return max(0, monotonic_ns() - told) / 1e9 if told else None

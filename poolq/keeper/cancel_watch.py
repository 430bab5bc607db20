"""Tells workers and master which running jobs somebody has cancelled, from this or another host.

The engine stores a request until the cancelled claim ends (`Engine.cancel_requests`). The thread
that copies requests into the scoreboard's rows also confirms recoveries. A row gets another worker
only after its recovery was confirmed, so rows keep their workers while requests are copied. A
keeper whose workers are all idle does not read the requests.
"""

from collections import defaultdict
from collections.abc import Callable
from time import monotonic, monotonic_ns

from poolq.engines.base import Engine
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import Phase, RowStatus
from poolq.scoreboard.worker_row import claim_word

POLL_INTERVAL = 1.0  # seconds


class CancelWatch:
    """`name` returns a worker's name from its row; `wake_master` makes the master read the rows."""

    def __init__(
        self,
        engine: Engine,
        node: str,
        scores: Scoreboard,
        name: Callable[[Row], str],
        wake_master: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._node = node
        self._scores = scores
        self._name = name
        self._wake_master = wake_master
        self._next_poll = 0.0
        self._known: set[tuple[int, int]] = set()  # seqs and cancelled claims

    def is_due(self) -> bool:
        return monotonic() >= self._next_poll and bool(self._busy_rows())

    def poll(self) -> None:
        """Read the requests, and write them into the rows of the workers. Raises EngineError."""
        self._next_poll = monotonic() + POLL_INTERVAL
        due: dict[str, dict[int, int]] = defaultdict(dict)  # by worker and claim
        requests, claims = self._engine.cancel_requests(self._node), set()
        now = monotonic_ns()
        for request in requests:
            due[request.worker][claim_word(request.request, request.index)] = max(
                1, now + request.due * 1000
            )
        for row in self._busy_rows():
            cancelled = due[self._name(row)]
            # The claim that started last if it is cancelled, else the next cancelled claim.
            claim = min((claim for claim in cancelled if claim >= row.claim), default=0)
            if claim:
                claims.add((row.seq, claim))
            if claim or row.cancelled_claim:
                self._scores.set_cancelled(row.index, claim, cancelled.get(claim, 0))
        if claims - self._known:
            self._wake_master()
        self._known = claims

    def _busy_rows(self) -> list[Row]:
        rows = self._scores.used_rows()
        return [row for row in rows if row.status == RowStatus.LIVE and row.phase == Phase.BUSY]

"""The engine contract: where jobs are stored.

Every engine that stores jobs keeps these rules:

- `push` returns when a chunk is stored as a whole, or raises. It never sends a chunk twice.
- `step` is one script or one transaction: settle, promote what is due, claim. It is the hot path;
  everything else may be slow.
- A claim is identified by (worker, request, index). A settlement counts only while exactly that
  claim is held; otherwise the job's id is in `Step.stale` and nothing changes.
- Request numbers count up per worker. A repeated request gets the same reply, whatever happened to
  the first one; a lower number is rejected (EngineError). Only the main thread makes new ones.
- A worker starts no claim of a request before all claims of lower requests have ended.
- Only registered workers may step or settle; others get `Fenced` and change nothing. `recover` and
  `reap` delete the registration and return the claims in one atomic operation.
- Times come from the engine's server: integer microseconds since the epoch.
- Bodies are opaque bytes. A job whose body is missing is claimed with b"" (the worker buries it).
- Each queue is FIFO by due time, then by id. A claim that is given back or recovered keeps its due
  time and comes first. So does a job that a limit released (`ReleaseUntil`), once its window has
  ended. A due time in the past (`at`, or a negative `delay`) is replaced by the time of the push.
- The jobs in a limit's line are sorted by due time, then id, so a job that parks again regains its
  place. A job that another of its limits blocks moves to that limit's line and blocks nobody. A
  line applies the limit that was last named for it, by a park or a review.
- Ready is a state, not a comparison with the clock: a ready job stays ready if the clock goes back.
  A window or slot that is further in the future than a window is long dates from before the clock
  went back, and is over.
- If a worker that has stepped before sends a request that does not follow the last one that the
  store knows, the store has lost a step: the worker is `Fenced`, and recovery returns its claims.
- Each thread has its own connection, which is never used across a fork. No client library retries,
  and every socket has a timeout. A lost connection is dropped and raises EngineUnavailable; the
  caller decides whether to reconnect and repeat.

What a message means, whether a job failed and when to retry are decided elsewhere (`retry.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from poolq.jobs.limits import Admission, Rule, Window
from poolq.jobs.message import Push, State
from poolq.jobs.retry import Outcome

#: Part of the contract, but defined elsewhere, because producers know no engine.
__all__ = ["Push"]

#: A step stops claiming once the bodies of its claims exceed this many bytes.
CLAIM_BYTES = 4 * 2**20


class Claim(NamedTuple):
    """A job that one worker holds. `admitted`: its rate limit's slot is already taken, because it
    was parked. `reviewed`: it comes from a limit's line without a slot, so the worker asks the
    code for its limits again (see `Engine.review`)."""

    id: str
    request: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    queue: str
    body: bytes
    state: State
    admitted: bool = False
    reviewed: bool = False


class Settlement(NamedTuple):
    claim: Claim
    outcome: Outcome


Settlements = Sequence[Settlement]
#: Names of queues in strict order; None: all queues of the namespace in turn.
Queues = Sequence[str] | None


class Step(NamedTuple):
    """The result of a step: the new claims, and the ids of the settlements that were stale."""

    claims: list[Claim]
    stale: list[str]


class Registration(NamedTuple):
    """A worker's identity. On its own host, (boot, pidns, pid, started) tell whether it still
    runs; `started` is its start time in clock ticks since boot."""

    worker: str
    node: str
    host: str
    pool: str
    boot: str
    pidns: str
    pid: int
    started: int


class DeathReport(NamedTuple):
    """What the scoreboard knows about a dead worker. Claims of `request` with an index from
    `settled` up to, but not including, `finished` are done; so are those of the request `before`
    (0: none). The claim at `started` (-1: none) crashed, and gets `entry` as its history line. All
    others go back. Among these, claims of lower requests or below `settled` had been settled, but
    the store has lost that settlement. `timed_out`: the worker was killed at its deadline. That
    counts as an attempt, not as a crash, and the job is due again in `delay` microseconds (0: at
    the head of its queue)."""

    request: int
    finished: int
    started: int
    entry: bytes
    timed_out: bool = False
    delay: int = 0
    before: int = 0
    settled: int = 0


class Recovered(NamedTuple):
    """The ids of a dead worker's claims, by outcome. `timed_out`: an attempt was counted."""

    done: tuple[str, ...] = ()
    crashed: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    timed_out: tuple[str, ...] = ()


class NodeRecord(NamedTuple):
    """A pool as the engine knows it. `beat` is a counter; `info` is JSON that the pool wrote."""

    node: str
    beat: int
    info: bytes
    workers: int


class QueueCounts(NamedTuple):
    """`oldest`: for how many microseconds the oldest ready job has been due; 0 if none is ready."""

    queue: str
    ready: int = 0
    delayed: int = 0
    parked: int = 0
    running: int = 0
    failed: int = 0
    oldest: int = 0
    paused: bool = False


class StoredJob(NamedTuple):
    """`status`: ready, delayed, parked, running or failed. `at`: when the job is due, was claimed
    or failed, in microseconds since the epoch."""

    id: str
    queue: str
    status: str
    at: int
    body: bytes
    state: State
    worker: str = ""


class LimitUse(NamedTuple):
    """The current use of a rate limit. `parked` and `released`: how many jobs wait for it, in its
    line or until its window ends. `resets_in`: microseconds until that. `starts`: how many it has
    counted in all windows so far, possibly restarting from 0 with a window; -1: not counted."""

    rule: Rule
    window: Window
    parked: int
    resets_in: int
    released: int = 0
    starts: int = -1


class Check(NamedTuple):
    """One line of `poolq doctor`. `level`: ok, warn or bad."""

    name: str
    level: str
    text: str


class Engine(ABC):
    """The rules at the top of this module hold for every method. `config` has checked `url` and
    `namespace`; the query of `url` may hold options for the engine."""

    #: False for sync and null, on which no pool can run.
    stores = True

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    # producers

    @abstractmethod
    def push(self, pushes: Sequence[Push]) -> None:
        """Store jobs, one atomic round trip per chunk. Raises EngineUnavailable. Its `ids` are the
        jobs not yet known to be stored, and its `maybe_stored` is False only if certainly none of
        them was stored."""

    # workers

    @abstractmethod
    def register(self, registration: Registration) -> None:
        """Register a worker and its node. Idempotent."""

    @abstractmethod
    def step(
        self, worker: str, request: int, settlements: Settlements, want: int, queues: Queues
    ) -> Step:
        """Settle, promote, and claim up to `want` jobs (0: only settle). `queues` None: all in
        turn, by `request`. Paused queues give nothing. A parked job whose slot has come is claimed
        before the other jobs of its queue, and its slot is taken in the same operation. Only one
        parked job is claimed per step, and ready jobs of its queue may be left for the next step.
        Claiming stops once the bodies exceed CLAIM_BYTES. Raises Fenced, EngineUnavailable."""

    def begin_step(
        self, worker: str, request: int, settlements: Settlements,  # noqa: ARG002  # overrides
        want: int, queues: Queues,  # noqa: ARG002  # use them
    ) -> Callable[[], Step] | None:  # fmt: skip
        """Send a step without waiting; the returned function waits for its result, in the same
        thread. Both raise as `step` does, and `step` may repeat the same request. None: this
        engine has no server that could work in the meantime."""
        return None

    @abstractmethod
    def settle(self, worker: str, settlements: Settlements) -> list[str]:
        """Settle from another thread than the main one, without a request number. Returns the
        stale ids. Raises Fenced, EngineUnavailable."""

    @abstractmethod
    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        """Take one start of every rule, or none. `held`: only if that worker holds that claim,
        checked in the same operation, or it is stale. Raises Fenced, EngineUnavailable."""

    def review(self, worker: str, queues: Queues) -> None:  # noqa: B027  # optional
        """Ask the code for the limits of parked jobs again. Every line of these queues is marked
        with the time at which `worker` registered. The head of a marked line is claimed, without a
        slot and as `Claim.reviewed`, by the next step of a worker that registered no earlier, even
        if no slot is free. The mark is removed when such a claim asks for a start under the line's
        limit (`admit`) or parks there again; its rules then apply to the line. If it ends
        otherwise, the next head is claimed in the same way. Raises Fenced, EngineUnavailable."""

    # keepers

    def prepare(self) -> list[str]:
        """Prepare the store for a starting pool, and return warnings to log: settings with which
        the server may lose jobs. Raises ConfigError if no pool can work so, EngineUnavailable."""
        return []

    def sweep(self, idle: int) -> bool:  # noqa: ARG002  # overrides use it
        """Forget a bounded number of ended windows, and of queues that have held no job (ready,
        delayed, parked, running or failed) for `idle` microseconds. A paused queue stays paused.
        The totals of forgotten queues are added to those of "". Returns True if there may be
        more to forget. Raises EngineUnavailable."""
        return False

    @abstractmethod
    def wait(self, queues: Queues, timeout: float) -> int:
        """Block for at most `timeout` seconds until something may be claimable. Returns a hint of
        how many jobs, or 0 after the timeout. Takes the wake token; `wake` puts it back."""

    @abstractmethod
    def wake(self, queues: Queues) -> None:
        """Leave a wake token for keepers that wait on these queues, in place of one not used."""

    @abstractmethod
    def beat(self, node: str, info: bytes) -> dict[str, int]:
        """Increment the node's counter, creating the node if needed; returns those of all nodes."""

    @abstractmethod
    def remove_node(self, node: str) -> None:
        """Remove a node if it has no registered workers."""

    @abstractmethod
    def registered(self) -> list[Registration]:
        """Return all registered workers of the namespace."""

    @abstractmethod
    def recover(self, worker: str, death: DeathReport | None) -> Recovered:
        """Delete the registration and give the claims back, atomically. `death` None: nothing is
        known, so the earliest claim (lowest request, then index) is assumed to have started, and
        the engine writes its history line, of cause crash. A crash adds 1 to `State.crashes`, or to
        `State.failing` if the job is failing. A timeout adds 1 to `State.attempt` and counts as
        retried, unless the job is failing: then it counts as a crash. Recovered jobs go to the head
        of their queue, unless they have a `delay`. For an unknown worker, the result is empty."""

    @abstractmethod
    def reap(self, node: str, beat: int) -> Recovered | None:
        """Recover all workers of a node and remove it, if its counter is still `beat`; otherwise
        change nothing and return None."""

    # administration

    @abstractmethod
    def counts(self) -> list[QueueCounts]:
        """Known queues, sorted by name. If many are empty, only those used most recently. The
        work is bounded: jobs and empty queues are not scanned."""

    @abstractmethod
    def totals(self) -> dict[str, dict[str, int]]:
        """Counters per queue since the namespace was created: done, failed, retried, limited,
        parked, crashed. Covers the queues of `counts`; sums of forgotten ones are under ""."""

    @abstractmethod
    def nodes(self) -> list[NodeRecord]:
        """All nodes of the namespace."""

    @abstractmethod
    def limits(self) -> list[LimitUse]:
        """At most 1,000 limits with waiting jobs or an open window, in this order. Bounded work."""

    @abstractmethod
    def find(self, id: str) -> StoredJob | None:
        """Find a job wherever it is. None: it is done, or never existed."""

    @abstractmethod
    def failed(
        self, queue: str | None = None, before: int | None = None, max_count: int = 1000
    ) -> list[StoredJob]:
        """Failed jobs, newest first; only those that failed before `before`, in epoch micros."""

    @abstractmethod
    def retry(self, ids: Sequence[str]) -> list[str]:
        """Make failed jobs ready again, with a fresh State. Returns the ids that were found."""

    @abstractmethod
    def forget(self, ids: Sequence[str]) -> list[str]:
        """Delete failed jobs. Returns the ids that were found."""

    @abstractmethod
    def cancel(self, id: str) -> bool:
        """Delete a ready, delayed or parked job. Returns False if it is none of these."""

    @abstractmethod
    def pause(self, queue: str) -> None:
        """Stop handing out jobs of a queue."""

    @abstractmethod
    def resume(self, queue: str) -> None:
        """Hand out jobs of a queue again, and leave a wake token."""

    @abstractmethod
    def purge(self, queue: str) -> int:
        """Delete all ready, delayed and parked jobs of a queue. Returns how many there were."""

    @abstractmethod
    def now(self) -> int:
        """The server's clock, in microseconds since the epoch. Also serves as a ping."""

    @abstractmethod
    def doctor(self) -> list[Check]:
        """Check what the guarantees depend on, such as versions, durability and isolation."""

    @abstractmethod
    def close(self) -> None:
        """Close this thread's connection. The engine can be used again afterwards."""

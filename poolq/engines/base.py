"""The engine contract: where jobs live.

What holds for every engine that stores:

- `push` has stored all of a chunk, or none of it, when it returns; it is never sent twice.
- `step` is one script or one transaction: settle, promote what is due, claim. It is the hot path;
  all else may be slow.
- A claim is named by (worker, request, index). A settlement counts only while exactly that claim
  is held; else its job's id is in `Step.stale` and nothing is touched.
- Request ids count up per worker. An equal one gets the same reply again, whatever happened to
  the first; a lower one is refused (EngineError). Only a worker's main thread makes new ones.
- A worker starts no claim of a request before all claims of lower ones have ended.
- Only registered workers may step or settle; another gets `Fenced` and changes nothing.
  `recover` and `reap` delete the registration and give the claims back in one atomic act.
- Times come from the engine's server: integer microseconds since the epoch.
- Bodies are opaque bytes; a body that is missing is claimed as b"" (the worker buries it).
- FIFO per queue by due time, then by id. A claim given back or recovered keeps its due time and
  comes first. So does a job that a limit released (`ReleaseUntil`), once its window has ended.
  A due time that has passed when the job is stored (`at`, or a negative `delay`) is now.
- A limit's line has the order of its jobs' due times, then ids: a job that parks again gets its
  place back. A job that another of its limits holds back moves to that one's line, and holds up
  nobody. A grant counts with the limit that was named last for that line, by a park or a review.
- Ready is a state, not a comparison with the clock: what has been ready stays ready, wherever the
  clock goes. A window or a slot that lies further ahead than the window is long was made before
  the clock went back, and is over.
- A step whose request is not the successor of the last one that the store knows, of a worker that
  has stepped before, is `Fenced`: the store has lost a step, and recovery returns the claims.
- One connection per thread, never used across a fork. No client library retries. Every socket
  has a timeout. A lost connection is dropped and raises EngineUnavailable: reconnecting and
  repeating is the caller's business.

Left to others: what a message means, whether a job failed, when to try again (`retry.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from poolq.engines.records import Check, LimitUse, NodeRecord, QueueCounts, StoredJob
from poolq.jobs.limits import Admission, Rule
from poolq.jobs.message import Push, State  # producers make pushes, and know no engine
from poolq.jobs.retry import Outcome

#: Defined elsewhere, and part of the contract.
__all__ = ["Check", "LimitUse", "NodeRecord", "Push", "QueueCounts", "StoredJob"]


#: A step claims no more than one job once the bodies of its claims exceed this many bytes.
CLAIM_BYTES = 4 * 2**20


class Claim(NamedTuple):
    """A job held by one worker. `admitted`: its rate limit's slot is already taken (parked).
    `reviewed`: it comes from a limit's line without a slot, so that the code is asked again for
    its limits (see `Engine.review`)."""

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


class Step(NamedTuple):
    """The answer to a step: what was claimed, and the ids of the settlements that were stale."""

    claims: list[Claim]
    stale: list[str]


class Registration(NamedTuple):
    """Who a worker is. (boot, pidns, pid, started) tell on its own host whether it still lives:
    `started` is its start time in clock ticks since boot."""

    worker: str
    node: str
    host: str
    pool: str
    boot: str
    pidns: str
    pid: int
    started: int


class DeathReport(NamedTuple):
    """What the scoreboard knows of a dead worker. Claims of `request` from `settled` on and below
    `finished` are done, and so are those of the request `before` (0: none); the one at `started`
    (-1: none) crashed and gets `entry`, a history line; the rest goes back. So do claims of
    `request` below `settled` and those of other requests: they had been settled, and the store has
    lost how.
    `timed_out`: it was killed at its deadline, which counts as an attempt, not as a crash; it is
    due again in `delay` microseconds (0: at the head of its queue)."""

    request: int
    finished: int
    started: int
    entry: bytes
    timed_out: bool = False
    delay: int = 0
    before: int = 0
    settled: int = 0


class Recovered(NamedTuple):
    """Ids by what became of a dead worker's claims. `timed_out`: an attempt was counted."""

    done: tuple[str, ...] = ()
    crashed: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    timed_out: tuple[str, ...] = ()


class Engine(ABC):
    """See the module's head. `url` and `namespace` were checked by config; `url` may carry
    options in its query. `redacted_url` is the URL without its password."""

    #: False for sync and null: a pool cannot run on them.
    stores = True

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    # producers

    @abstractmethod
    def push(self, pushes: Sequence[Push]) -> None:
        """Store jobs; one round trip a chunk, atomic per chunk.

        Raises EngineUnavailable; its `maybe_stored` is False only when certainly nothing of the
        chunks in `ids` was stored (then `ids` are all that are not stored yet).
        """

    # workers

    @abstractmethod
    def register(self, registration: Registration) -> None:
        """Make a worker (and its node) known. Idempotent."""

    @abstractmethod
    def step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Step:
        """Settle, promote, claim up to `want` (0: only settle). `queues` in strict order; None:
        every queue of the namespace in turn (`request` turns the wheel). Paused queues give
        nothing. A parked job whose slot has come is claimed first of its queue, and at most one
        a step, its slot taken in the same act; what is ready in its queue may be left for the
        next step. Bodies of more than CLAIM_BYTES in all end the claiming. Raises Fenced,
        EngineUnavailable."""

    def begin_step(
        self, worker: str, request: int, settlements: Sequence[Settlement],  # noqa: ARG002  # others
        want: int, queues: Sequence[str] | None,  # noqa: ARG002  # use them
    ) -> Callable[[], Step] | None:  # fmt: skip
        """Send a step and go on; what is returned waits for the answer, in the same thread. Both
        raise as `step` does, and the same request may be repeated by `step`. None: this engine
        has no server that would work meanwhile."""
        return None

    @abstractmethod
    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[str]:
        """Settle beside the main thread, without a request id; returns the stale ids."""

    @abstractmethod
    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        """Take one start of each rule, or of none of them. `held`: only if that worker has that
        claim, looked at in the same act; else it is stale. Raises Fenced, EngineUnavailable."""

    def review(self, worker: str, queues: Sequence[str] | None) -> None:  # noqa: B027  # to come
        """Have the limits of parked jobs asked again: mark every line of these queues with the
        moment at which `worker` registered. The head of a marked line is claimed by the next step
        of a worker that registered no earlier, without a slot and as `Claim.reviewed`, whenever
        its slot would be. The mark goes when such a claim asks for a start under the line's limit
        (`admit`) or parks there again, whose rules then hold for the line; after any other end the
        next head is asked. Raises Fenced, EngineUnavailable."""

    # keepers

    def prepare(self) -> list[str]:
        """Lines of warning that a pool logs when it starts: what `doctor` says of settings with
        which the server may lose jobs. Raises ConfigError where no pool can work with its settings,
        and EngineUnavailable."""
        return []

    def sweep(self, idle: int) -> bool:  # noqa: ARG002  # to come
        """Forget a bounded number of windows that have ended and of queues that have held no job
        (ready, delayed, parked, running or failed) for `idle` microseconds; a paused queue stays
        paused. The totals of forgotten queues are added to those of "". True: there may be more
        to forget now. Raises EngineUnavailable."""
        return False

    @abstractmethod
    def wait(self, queues: Sequence[str] | None, timeout: float) -> int:
        """Block until something may be claimable, at most `timeout` seconds; 0: nothing came,
        else a hint of how many. Takes the wake token: `wake` puts it back."""

    @abstractmethod
    def wake(self, queues: Sequence[str] | None) -> None:
        """Leave a wake token for whoever waits on these queues (a taken one nobody can use)."""

    @abstractmethod
    def beat(self, node: str, info: bytes) -> dict[str, int]:
        """Count the node's beat up (creating the node) and return every node's counter."""

    @abstractmethod
    def leave(self, node: str) -> None:
        """Forget a node that has no registered workers any more."""

    @abstractmethod
    def registered(self) -> list[Registration]:
        """All registered workers of the namespace."""

    @abstractmethod
    def recover(self, worker: str, death: DeathReport | None) -> Recovered:
        """Delete the registration and give the claims back, atomically. `death` None: nothing is
        known, so the earliest claim (lowest request, index) is taken to have started, and gets
        a history line of cause crash made by the engine. A crash adds 1 to `State.crashes`, or,
        where the job is failing, to `State.failing`. One that timed out adds 1 to
        `State.attempt` and counts as retried, unless the job is failing: that is a crash.
        Recovered jobs go to the head of their queue, but for a `delay`. An unknown worker: an
        empty Recovered."""

    @abstractmethod
    def reap(self, node: str, beat: int) -> Recovered | None:
        """Recover all workers of a node and forget it, if its counter still is `beat`; else
        None and nothing happens."""

    # administration

    @abstractmethod
    def counts(self) -> list[QueueCounts]:
        """Known queues, sorted by name; of many that hold nothing, those that were used last.
        Bounded work: no scan over jobs, nor over queues that hold none."""

    @abstractmethod
    def totals(self) -> dict[str, dict[str, int]]:
        """Counters per queue since the namespace began: done, failed, retried, limited, parked,
        crashed; of the queues that `counts` lists, and of forgotten ones together, under ""."""

    @abstractmethod
    def nodes(self) -> list[NodeRecord]: ...

    @abstractmethod
    def limits(self) -> list[LimitUse]:
        """Windows still open, and those that jobs wait for; at most 1,000 of them, those that
        jobs wait for first. Bounded work."""

    @abstractmethod
    def find(self, id: str) -> StoredJob | None:
        """One job wherever it is; None: done or never there."""

    @abstractmethod
    def failed(
        self, queue: str | None = None, before: int | None = None, most: int = 1000
    ) -> list[StoredJob]:
        """Failed jobs, newest first; `before`: failed earlier than that (microseconds epoch)."""

    @abstractmethod
    def retry(self, ids: Sequence[str]) -> list[str]:
        """Failed jobs back to ready with a fresh State; returns those that were there."""

    @abstractmethod
    def forget(self, ids: Sequence[str]) -> list[str]:
        """Delete failed jobs; returns those that were there."""

    @abstractmethod
    def cancel(self, id: str) -> bool:
        """Delete a ready, delayed or parked job; False when it is none of these."""

    @abstractmethod
    def pause(self, queue: str) -> None: ...

    @abstractmethod
    def resume(self, queue: str) -> None:
        """Also leaves a wake token."""

    @abstractmethod
    def purge(self, queue: str) -> int:
        """Delete what is ready, delayed or parked; returns how many."""

    @abstractmethod
    def now(self) -> int:
        """The server's clock; also the ping."""

    @abstractmethod
    def doctor(self) -> list[Check]:
        """Version, durability, eviction, isolation, schema, clock: what the guarantees rest on."""

    @abstractmethod
    def close(self) -> None:
        """Close this thread's connection; the engine may be used again."""

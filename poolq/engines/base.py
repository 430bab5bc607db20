"""The contract of an engine, which stores jobs.

Every engine that stores jobs keeps these rules:

- `push` stores each chunk of plain jobs as a whole, or raises. It never sends a chunk twice. Each
  job with a unique key is stored as if it were pushed alone.
- `step` settles, makes due jobs ready and claims, in one script or one transaction. It is the hot
  path; everything else may be slow.
- A claim is identified by (worker, request, index). A settlement counts only while exactly that
  claim is held; otherwise the job's id is in `Step.stale` and nothing changes.
- Each worker numbers its requests in ascending order, in its main thread only. A repeated request
  gets the same reply, whether or not the first one arrived. A lower number raises EngineError.
- A worker starts the jobs of a request only after all claims of lower requests have ended.
- Only registered workers may step or settle; others get `Fenced` and change nothing. So does a
  worker whose recovery has begun.
- Times are integer microseconds since the epoch, by the clock of the engine's server.
- Bodies are opaque bytes. A job whose body is missing is claimed with b"" (its worker buries it).
- Each queue is FIFO by due time, then by id. A job that is given back or recovered keeps its due
  time and goes to the head of the queue. So does a job that a limit released (`ReleaseUntil`), once
  the limit's window has ended. A due time in the past (`at`, or a negative `delay`) counts as now.
- Parked jobs wait in a line of their limit, sorted by due time, then by id, so a job that parks
  again regains its place. If the first job of a line is blocked by another of its limits, it moves
  to that limit's line, so that it does not block the jobs behind it. A line applies the limit that
  the newest code has named for it last: when a job parked there, or when a worker with newer code
  claimed the line's head (`ASK`).
- At most one job has a given unique key (`jobs/unique.py` says for how long). If several pushes
  with the same key are simultaneous, one of them gets the key. A key is free if its job is gone, or
  was never stored. Only the job that has a key frees it.
- A rule may be a `Gate`: at most `limit` claims hold a slot of its key. A slot is taken in `admit`,
  or when a parked job is claimed. It is free when the claim ends, however it ends, or earlier, in
  the `admit` of the worker's next job. A job is refused if earlier jobs of its queue are parked at
  the gate. A line is due if its gate has room; of several such lines, the one that was served least
  recently comes first. A gate applies the limit that the newest code has named for it last.
- A job pushed with `expires` keeps the time at which it expires. A retry after it has failed gives
  it as long again. Workers settle expired jobs; parked ones are claimed without a slot.
- While a key is held (`HoldKey`, `hold`), no job starts under a limit with this key. A job that has
  held the key waits in the hold's own line, and starts without slots after the hold. A hold ends by
  the clock. A hold that begins in the future, because the clock went back, does not count yet.
- A ready job stays ready if the clock goes back, because readiness is stored, not computed from the
  clock. A window that begins in the future was opened before the clock went back, and counts as
  ended. A wait for a limit that is longer than the limit's window (with jitter: two windows) also
  counts as ended, once a step examines the queue. A shorter wait may last.
- A worker numbers its requests from 1, and skips no number. If a number is missing, the store has
  lost a step, so the worker is `Fenced`, and recovery returns its claims.
- Each thread has its own connection, which is never used across a fork. No client library retries,
  and every socket has a timeout. A lost connection is dropped, and the call raises
  EngineUnavailable; the caller decides whether to reconnect and repeat.

Other modules decide what a message means, and what becomes of a job that has run (`outcomes.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from poolq.engines.claims import (
    BY_REQUEST,
    CancelRequest,
    Claim,
    EndedSlots,
    Recovered,
    Registration,
    Settlement,
    Settlements,
    Step,
)
from poolq.engines.reports import (
    Check,
    JobPage,
    LimitUse,
    NodeRecord,
    QueueCounts,
    ServerInfo,
    StoredJob,
)
from poolq.engines.schedule_store import ScheduleStore
from poolq.errors import TransactionError
from poolq.jobs.ending import DeathEnd, DeathReport
from poolq.jobs.limits import Admission, Asked
from poolq.jobs.message import Push
from poolq.jobs.unique import UniqueKey

if TYPE_CHECKING:
    from poolq.engines.transactions.connection import UserConnection

#: Parts of the contract that are defined elsewhere. Producers, who make `Push`, import no engine.
__all__ = [
    "BY_REQUEST", "CancelRequest", "Check", "Claim", "DeathEnd", "DeathReport", "EndedSlots",
    "JobPage", "LimitUse", "NodeRecord", "Push", "QueueCounts", "Recovered", "Registration",
    "ServerInfo", "Settlement", "Settlements", "Step", "StoredJob", "UniqueKey",
]  # fmt: skip

#: A step stops claiming once the bodies of its claims exceed this many bytes.
CLAIM_BYTES = 4 * 2**20
#: The `want` of a step that claims the head of a line whose limit older code has named.
ASK = -1


Totals = dict[str, dict[str, int]]  # by queue and counter
Bodies = Mapping[str, bytes]  # by id
Spans = Mapping[str, int]  # by id, in microseconds
#: Names of queues, served in strict order. None: all queues of the namespace, served in turn.
Queues = Sequence[str] | None


class Engine(ABC):
    """The rules at the top of this module hold for every method. `config` has checked `url` and
    `namespace`; the query of `url` may hold options for the engine."""

    #: False for sync and null, on which no pool can run.
    stores = True
    #: Whether the commit of a Session counts if it leaves its Connection's transaction open, as in
    #: test suites, which roll that back. Not if pools see the jobs.
    commits_early = False
    #: Numbers below this in `counts` are exact. Higher ones may not be. None: all are exact.
    exact_counts: int | None = None
    schedules: ScheduleStore

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    def require_store(self) -> None:  # noqa: B027  # only SQLite creates its store
        """From now on, raise StoreMissing instead of creating a store that does not exist yet."""

    # producers

    @abstractmethod
    def push(self, pushes: Sequence[Push]) -> list[str]:
        """Store jobs, with one atomic round trip per chunk. Returns an id for each job: its own, or
        the id of another job that has its unique key. In the latter case, the new job is not stored
        and counts as skipped. But a new job that `replaces` deletes the other job in the same act,
        if the other job is waiting; the deleted job counts as replaced. Jobs with a gate are stored
        as if workers had parked them there, even if the gate has room, and name the gate's limit.
        Raises EngineUnavailable. The error's `ids` are those of the jobs that are not known to be
        stored, and its `maybe_stored` is False only if certainly none of these jobs was stored."""

    def within(
        self,
        connection: "UserConnection",  # noqa: ARG002  # overrides use it
        notify: bool = True,  # noqa: ARG002  # overrides use it
    ) -> Callable[[Sequence[Push]], object]:
        """Return what stores jobs by statements of the application's connection, as `push` does,
        but in its transaction. `notify`: whether waiters may be notified by the server. Raises
        TransactionError if this engine or the connection cannot do so."""
        raise TransactionError(
            f"poolq's engine, {self.url.partition(':')[0]}, takes no part in transactions of your"
            " database: use poolq.after_commit"
        )

    # workers

    @abstractmethod
    def register(self, registration: Registration) -> None:
        """Register a worker and its node. Idempotent."""

    @abstractmethod
    def step(
        self, worker: str, request: int, settlements: Settlements, want: int, queues: Queues
    ) -> Step:
        """Settle, make due jobs ready, and claim up to `want` jobs (0: only settle), but no job of
        a paused queue. Parked jobs with free slots are claimed before the other jobs of their
        queue, and take the slots in the same operation. Several parked jobs of one line may be
        claimed, but only the first of them may take slots of gates or starts in sliding windows. If
        a parked job may start next, the jobs after it are left to the next step. Claiming stops
        once the bodies exceed CLAIM_BYTES. If `want` is ASK, only the head of one line is claimed,
        due or not, so that its code names its limits again. Raises Fenced, EngineUnavailable."""

    @abstractmethod
    def admit(
        self,
        rules: Sequence[Asked],
        held: tuple[str, Claim] | None = None,
        ended: Sequence[EndedSlots] = (),
    ) -> Admission:
        """Take one start from every rule, or from none. `held`: a worker and its claim; required if
        a rule is a gate. If the claim is no longer held, the admission is stale. If the claim has
        its start already, it is admitted, and takes nothing. Gates are checked before windows.
        `ended`: slots of other claims of this worker. If exactly these claims still have them, they
        are free from now on, whatever the answer. The answer is `not_yet` if one of the rules has
        released an earlier job of the claim's queue, and that job is due but not claimed. An engine
        may count some starts ahead for the worker's next jobs. Raises Fenced, EngineUnavailable."""

    @abstractmethod
    def set_limit(self, key: str, window: int, limit: int) -> None:
        """Until `reset_limit`, apply this limit in place of those in the rules, to all starts under
        (key, window), fixed or sliding, of parked and of other jobs. In a sliding window, it counts
        as at most MAX_SLIDING_LIMIT. Lines of the limit are tried at once."""

    @abstractmethod
    def reset_limit(self, key: str, window: int, starts: bool) -> bool:
        """Undo `set_limit` and, if `starts`, forget the starts that count now, so that as many as
        the limit allows may follow at once. Returns whether `set_limit` had set one. Jobs that
        were released still wait until the window would have ended."""

    def accept(self, worker: str, deploy: int = 0) -> int:  # noqa: ARG002  # overrides use them
        """Record the deploy to which the worker's code belongs (0: a new one). Deploys are numbered
        in the order of their acceptance. Returns the number. Raises Fenced, EngineUnavailable."""
        return deploy

    # keepers

    def prepare(self, processes: int = 0) -> list[str]:  # noqa: ARG002  # overrides use it
        """Prepare the store for a starting pool with so many workers, and return warnings about
        settings that may lose jobs. Raises EngineUnavailable, or ConfigError if no pool can work
        with the settings."""
        return []

    def sweep(self, idle: int) -> bool:  # noqa: ARG002  # overrides use it
        """Forget a bounded number of ended windows, and of queues that have held no job (ready,
        delayed, parked, running or failed) for `idle` microseconds. A paused queue stays paused.
        The totals of forgotten queues are added to the totals of the queue "". Returns True if
        there may be more to forget. Raises EngineUnavailable."""
        return False

    @abstractmethod
    def wait(self, queues: Queues, timeout: float) -> int:
        """Block for at most `timeout` seconds until jobs may be claimable. Returns roughly how many
        are, or 0 after the timeout. Takes the queue's wake token, which `wake` puts back."""

    @abstractmethod
    def wake(self, queues: Queues) -> None:
        """Put back wake tokens that were taken from these queues but not used."""

    @abstractmethod
    def beat(self, node: str, info: bytes) -> dict[str, int]:
        """Count a heartbeat of the node, creating it if needed. Returns all nodes' counters."""

    @abstractmethod
    def cancel_requests(self, node: str) -> list[CancelRequest]:
        """Return the cancelled claims of a node's workers. This is cheap if there are none."""

    @abstractmethod
    def remove_node(self, node: str) -> None:
        """Remove a node if it has no registered workers."""

    @abstractmethod
    def registered(self) -> list[Registration]:
        """Return all registered workers of the namespace."""

    @abstractmethod
    def recover(self, worker: str, death: DeathReport | None) -> Recovered:
        """End the claims of a dead worker as `jobs/ending.py` says, and delete its registration.
        From the first change on, the worker is fenced, and nobody else ends its claims in another
        way. If `death` is None, it is an `unobserved_death`. For an unknown worker, the result is
        empty, as after a recovery whose reply was lost. An engine may end many claims in several
        acts; if it is interrupted, the next recovery ends the others."""

    @abstractmethod
    def reap(self, node: str, beat: int) -> Recovered | None:
        """Recover all workers of a node and remove it, if its counter is still `beat`. If the
        counter has changed, change nothing and return None. If it changes meanwhile, the workers
        that are left stay as they are."""

    # administration

    @abstractmethod
    def counts(self) -> list[QueueCounts]:
        """Return the known queues, sorted by name. If many are empty, only the most recently used
        of these are included. The work is bounded, as jobs and empty queues are not scanned."""

    @abstractmethod
    def totals(self) -> Totals:
        """Return counters per queue (done, failed, …). Forgotten queues are under the name ""."""

    @abstractmethod
    def nodes(self) -> list[NodeRecord]:
        """Return all nodes of the namespace."""

    @abstractmethod
    def limits(self) -> list[LimitUse]:
        """Return at most 1,000 limits: those that jobs wait for, then those that people have set,
        then holds, then others with open windows."""

    @abstractmethod
    def hold(self, key: str, length: int) -> int:
        """Hold a key for `length` microseconds, or for longer if it is held already. Returns for
        how many microseconds it is held now."""

    @abstractmethod
    def lift(self, key: str) -> bool:
        """End the hold of a key now. Returns whether the key was held."""

    @abstractmethod
    def find(self, id: str) -> StoredJob | None:
        """Find a job wherever it is. Returns None if it is done or never existed."""

    @abstractmethod
    def page(
        self, status: str, queue: str | None = None, *, limit: str | None = None,
        before: int | None = None, cursor: str | None = None, max_count: int = 100,
        brief: bool = False,
    ) -> JobPage:  # fmt: skip
        """List jobs of a status, by queue, due time and id. Released jobs come after other delayed
        ones or, once their window has ended, before other ready ones. Parked jobs are listed line
        by line, running ones by when they were claimed, failed ones newest first. A job that does
        not move is on exactly one page, unless the clock goes back. The work of one call is
        bounded. `limit`: only parked or released jobs that wait for the limit with this key.
        `before`: only jobs that failed before this time. `brief`: leave out bodies and states."""

    def failed(
        self, queue: str | None = None, before: int | None = None, max_count: int = 1000
    ) -> list[StoredJob]:
        """Return jobs that failed before `before` (µs since the epoch), newest first."""
        return self.page("failed", queue, before=before, max_count=max_count).jobs

    @abstractmethod
    def ids(self, prefix: str, max_count: int = 10) -> list[str]:
        """Return the ids of stored jobs that begin with `prefix`, sorted, at most `max_count`."""

    @abstractmethod
    def retry(
        self, ids: Sequence[str], bodies: Bodies | None = None, expires: Spans | None = None
    ) -> list[str]:
        """Make failed jobs ready again, with a fresh State, unless another job has their unique
        key. Returns the ids of the jobs that are ready. `bodies`: new bodies for some of the jobs.
        `expires`: microseconds from now until each of these expires (0: never)."""

    @abstractmethod
    def forget(self, ids: Sequence[str]) -> list[str]:
        """Delete failed jobs. Returns the ids that were found."""

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> list[str]:
        """Delete ready, delayed and parked jobs. Returns the ids that were found."""

    @abstractmethod
    def move(self, ids: Sequence[str], queue: str) -> list[str]:
        """Move jobs that are not running to a queue; they may be in it already. Returns the ids
        that were found. Jobs keep their due times, but no slot of a rate limit. Parked jobs become
        ready, and their limits are checked again. Released jobs still wait until the window ends.
        """

    @abstractmethod
    def request_cancel(self, ids: Sequence[str], grace: int) -> list[str]:
        """Cancel running jobs, whose workers are to be killed in `grace` microseconds. Returns the
        ids that were found running. From now on the claim of such a job can end only as done, as
        failed or as cancelled: any other settlement, and a recovery, deletes the job and counts it
        as cancelled. Such a settlement is stale, and so is an admission for such a claim. A
        repeated request can only shorten the grace."""

    @abstractmethod
    def pause(self, queue: str) -> None:
        """Stop handing out jobs of a queue."""

    @abstractmethod
    def resume(self, queue: str) -> None:
        """Hand out jobs of a queue again, and leave a wake token."""

    @abstractmethod
    def purge(self, queue: str, progress: Callable[[int], object] | None = None) -> int:
        """Delete all ready, delayed and parked jobs of a queue, in batches. Returns how many there
        were. `progress` is called after each batch with the number of jobs deleted so far."""

    @abstractmethod
    def now(self) -> int:
        """Return the server's clock, in microseconds since the epoch. Also serves as a ping."""

    def server(self) -> ServerInfo | None:
        """Return what stores the jobs; None if it does not say. Raises EngineUnavailable."""
        return None

    def bloat(self) -> str:
        """Return why done jobs fill the store, in words, or "" if they do not. Raises
        EngineError."""
        return ""

    @abstractmethod
    def doctor(self) -> list[Check]:
        """Check what the guarantees depend on, such as versions, durability and isolation."""

    @abstractmethod
    def close(self) -> None:
        """Close this thread's connection. The engine can be used again afterwards."""

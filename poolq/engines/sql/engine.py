"""The engine contract on a database with SQL: each act is a transaction or a few reads.

What the acts say stands in the modules beside this one; how a server is talked to, and how `push`
and `wait` are made fast on it, is left to the engines.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar

from poolq.engines.base import (
    Claim,
    DeathReport,
    Engine,
    LimitUse,
    NodeRecord,
    QueueCounts,
    Recovered,
    Registration,
    Settlement,
    Step,
    StoredJob,
)
from poolq.engines.sql import (
    admin,
    idle_queues,
    limit_reviews,
    limit_windows,
    nodes,
    queue_counts,
    queue_discovery,
    wakeups,
)
from poolq.engines.sql.scan_cursor import ScanCursors
from poolq.engines.sql.schema import SQLSchema
from poolq.engines.sql.session import Dialect, Query, RenderedSQL, Session, Transaction, in_chunks
from poolq.engines.sql.settling import ack_batch, claim_clock, held_queries, may_return_jobs, settle
from poolq.engines.sql.stepping import (
    COUNT_ASIDE,
    REGISTERED_AT_COLUMN,
    StepContext,
    lock_worker,
    step,
)
from poolq.engines.sql.wakeups import QueueState
from poolq.jobs.limits import Admission, Rule

T = TypeVar("T")

#: Microseconds.
LINE_LOOKAHEAD = 1_000_000
#: Seconds after which a busy worker of all queues looks for more than ready jobs; where that takes
#: long, so many times that.
OVERVIEW_INTERVAL, OVERVIEW_COST_FACTOR = 0.1, 50


class SQLEngine(Engine):
    """See the module's head. `redacted_url` is the URL without its password."""

    schema: SQLSchema

    def __init__(
        self, url: str, namespace: str, redacted_url: str, dialect: Dialect, fresh: float = 0.0
    ) -> None:
        super().__init__(url, namespace)
        self.redacted_url = redacted_url
        self.texts = RenderedSQL(dialect, namespace)
        self._turns: dict[str, int] = {}
        self._aside: dict[str, int] = {}  # how often each worker has settled beside its steps
        #: Where all queues are asked: the one that a worker has claimed from, the one that is
        #: probably next, and when not only ready jobs are to be looked for.
        self._last: dict[str, str] = {}
        self._following: dict[str, str] = {}
        self._wide = 0.0
        self._first = ""
        self._delays: set[str] = set()  # queues that had delayed jobs which were due
        self._latest = 0  # what the server's clock showed at the last step that claimed
        self._lines = False  # a line had its slot, or soon had, at the last look
        self._cursors = ScanCursors(fresh)

    @property
    @abstractmethod
    def session(self) -> Session:
        """This thread's connection."""

    def _change(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:
        return self.session.transact(work, gives_way)

    def _run(self, *ops: Query) -> None:
        self.session.transact(lambda tx: tx.later(*ops))

    # workers

    def register(self, registration: Registration) -> None:
        self._aside.pop(registration.worker, None)
        self._change(partial(nodes.register, one=registration))

    def step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Step:
        ask = self._asking(worker, request, settlements, want, queues)
        asked: StepContext

        def work(tx: Transaction) -> Step:
            nonlocal asked
            asked = ask()  # anew for each try of the transaction
            return step(tx, asked)

        if may_return_jobs(settlements):
            self._cursors.forget()
        began = monotonic()
        answer = self._change(work, gives_way=True)
        if asked.taken:
            answer = answer._replace(claims=asked.claims())
        if want > 0:  # else nobody has looked whether it went back
            self._latest = asked.now
        for where, end in asked.ended:
            self._cursors.note(*where, end)
        if asked.room < 0:
            self._cursors.forget()  # what was found and not claimed comes next
        self._remember(asked, monotonic() - began)
        return answer

    def _asking(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Callable[[], StepContext]:
        """What makes the question of a step, with what is known from earlier ones."""
        turn = self._turns.get(worker, 0)
        if want > 0:
            self._turns[worker] = turn + 1
        guess = self._following.get(worker, "")
        known = queues if queues is not None else [guess] if guess else ()
        if self._lines:
            # InnoDB also locks what comes behind a queue's last job: the head of a line, maybe.
            # That is only for those who have locked the line; so no guess is made before.
            known = ()
        return partial(
            StepContext,
            worker=worker,
            request=request,
            settlements=settlements,
            simple=ack_batch(settlements) if settlements else None,
            want=want,
            queues=queues,
            known=known,
            last=self._last.get(worker, ""),
            first=self._first,
            turn=turn,
            delays=self._delays,
            cursors=self._cursors,
            aside=self._aside.get(worker, 0),
            latest=self._latest,
            wide=queues is None and monotonic() >= self._wide,
            skips=self.session.skips,
        )

    def _remember(self, asked: StepContext, took: float) -> None:
        """What is good to know for the next step, of one that took so many seconds."""
        if asked.queues is None and asked.want > 0:
            self._last[asked.worker] = asked.last
            self._following[asked.worker] = asked.following
        if asked.wide:
            self._first = asked.first
            self._wide = monotonic() + max(OVERVIEW_INTERVAL, OVERVIEW_COST_FACTOR * took)
        if not asked.seen:
            return
        soon = asked.now + LINE_LOOKAHEAD
        self._lines = any(
            (one.slot is not None and one.slot < soon) or asked.wants_line(one)
            for one in asked.seen
        )
        for one in asked.seen:
            if one.delayed is not None and one.delayed <= one.now:
                self._delays.add(one.queue)
            else:
                self._delays.discard(one.queue)
        if asked.soonest is not None and asked.soonest < soon:
            self._lines = True

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[str]:
        self._cursors.forget()

        def work(tx: Transaction) -> tuple[list[str], int]:
            row, *found = lock_worker(
                tx, worker, *held_queries(worker, [one.claim.id for one in settlements])
            )
            *_, now, _, aside = row.rows[0]
            late = settle(tx, worker, settlements, found, now)
            tx.later(Query(COUNT_ASIDE, (worker,)))
            return late, aside + 1

        late, aside = self._change(work, gives_way=True)
        self._aside[worker] = max(self._aside.get(worker, 0) + 1, aside)
        return late

    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        def work(tx: Transaction) -> Admission:
            if held is None:
                return limit_windows.admit(tx, rules) or Admission(0)
            worker, claim = held
            if claim.reviewed:
                limit_reviews.apply_limits(tx, worker, claim, rules)
            admission = limit_windows.admit(tx, rules, claim_clock(worker, claim))
            if admission is None:
                lock_worker(tx, worker)  # raises Fenced
                return Admission(0, stale=True)
            return admission

        return self._change(work, gives_way=True)

    def review(self, worker: str, queues: Sequence[str] | None) -> None:
        def work(tx: Transaction) -> None:
            limit_reviews.mark_lines(
                tx, lock_worker(tx, worker)[0].rows[0][REGISTERED_AT_COLUMN], queues
            )
            tx.later(Query(wakeups.ARM_MARKED))

        self._change(work)

    # keepers

    def _look(self, queues: Sequence[str] | None) -> tuple[list[QueueState], int | None, int]:
        """What a waiter needs to know, when more than that comes due, and the server's time."""
        read = self.session.read
        if queues is not None:
            looks = queue_discovery.load_states(read, queues)
            return looks, None, looks[0].now if looks else 0
        found = queue_discovery.discover(read, self.session.skips)
        names = sorted(found.names())[: queue_discovery.MAX_WAITED_QUEUES]
        return queue_discovery.load_states(read, names), min(found.nexts(), default=None), found.now

    def wake(self, queues: Sequence[str] | None) -> None:
        session = self.session
        if queues is None:
            names = sorted(queue_discovery.discover(session.read, session.skips).names())
        else:
            names = sorted(queues)
        for some in in_chunks(names):
            self._run(Query(wakeups.ARM, (some,)))

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        def work(tx: Transaction) -> dict[str, int]:
            tx.later(Query(wakeups.VOID_SLOTS))
            return nodes.beat(tx, node, info)

        return self._change(work)

    def sweep(self, idle: int) -> bool:
        session = self.session
        found = queue_discovery.discover(session.read, session.skips)
        busy = {*found.ready, *found.delayed, *found.slots, *found.marked}
        more = limit_windows.sweep(session)
        return idle_queues.sweep(session, idle, sorted(busy)) or more

    def remove_node(self, node: str) -> None:
        self._change(partial(nodes.leave, node=node))

    def registered(self) -> list[Registration]:
        return nodes.registered(self.session.read(Query(nodes.REGISTERED_WORKERS))[0])

    def recover(self, worker: str, death: DeathReport | None) -> Recovered:
        self._cursors.forget()
        return self._change(partial(nodes.recover, worker=worker, death=death))

    def reap(self, node: str, beat: int) -> Recovered | None:
        self._cursors.forget()
        return self._change(partial(nodes.reap, node=node, beat_=beat))

    # administration

    def counts(self) -> list[QueueCounts]:
        """See the contract; of more than the session counts MySQL guesses the number, and SQLite
        tells the most it has counted."""
        return queue_counts.counts(self.session)

    def totals(self) -> dict[str, dict[str, int]]:
        return queue_counts.totals(self.session)

    def nodes(self) -> list[NodeRecord]:
        return nodes.nodes(self.session.read(Query(nodes.ALL_NODES))[0])

    def limits(self) -> list[LimitUse]:
        return queue_counts.limits(self.session)

    def find(self, id: str) -> StoredJob | None:
        return admin.find(self.session, id)

    def failed(
        self, queue: str | None = None, before: int | None = None, max_count: int = 1000
    ) -> list[StoredJob]:
        return admin.failed(self.session, queue, before, max_count)

    def retry(self, ids: Sequence[str]) -> list[str]:
        return self._change(partial(admin.retry, ids=ids)) if ids else []

    def forget(self, ids: Sequence[str]) -> list[str]:
        return self._change(partial(admin.forget, ids=ids)) if ids else []

    def cancel(self, id: str) -> bool:
        return self._change(partial(admin.cancel, id_=id))

    def pause(self, queue: str) -> None:
        self._run(Query(wakeups.PAUSE_QUEUE, (queue,)))

    def resume(self, queue: str) -> None:
        self._run(Query(wakeups.RESUME_QUEUE, (queue,)))

    def purge(self, queue: str) -> int:
        gone = self._change(partial(admin.purge_lines, queue=queue))
        while some := self._change(partial(admin.purge_some, queue=queue)):
            gone += some
        return gone

    def now(self) -> int:
        at: int = self.session.read(Query(limit_windows.SERVER_TIME))[0].rows[0][0]
        return at

"""The engine contract on an SQL database: each method is a transaction or a few reads.

The statements are in the packages beside this module. Each engine adds its connections and a way to
`wait`. Some also have a faster way to store a new job (`Session.store_one`) or to count a start
(`_count_start`).
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import ClassVar, TypeVar

from poolq.engines import base
from poolq.engines.base import Bodies, Engine, Queues, Settlements, Spans, Step, StoredJob
from poolq.engines.sql import effects, new_jobs, nodes
from poolq.engines.sql.administration import paging, queue_counts, stored_jobs
from poolq.engines.sql.claims import admitting, cancelling, recovery
from poolq.engines.sql.claims.claiming import StepContext
from poolq.engines.sql.claims.cursors import ScanCursors
from poolq.engines.sql.claims.settling import may_return_to_heads
from poolq.engines.sql.claims.stepping import lock_worker, step
from poolq.engines.sql.limits import (
    concurrent_slots,
    deploys,
    holds,
    limit_overrides,
    limit_windows,
)
from poolq.engines.sql.limits.starts_ahead import NOTHING, StartsAhead, is_quick
from poolq.engines.sql.queues import idle_queues, queue_discovery, wakeups
from poolq.engines.sql.queues.queue_discovery import QueueState
from poolq.engines.sql.queues.turns import Turns
from poolq.engines.sql.schedules.store import SQLSchedules
from poolq.engines.sql.schema import SQLSchema, check_namespace
from poolq.engines.sql.session import Dialect, Query, RenderedSQL, Session, Transaction, in_chunks
from poolq.engines.sql.within import UserSQL, UserTransaction
from poolq.engines.transactions.connection import UserConnection
from poolq.errors import EngineUnavailable, TransactionError
from poolq.jobs.limits import ADMITTED, Admission, Asked
from poolq.jobs.message import Push

T = TypeVar("T")
_id_of = attrgetter("id")

NO_TURNS = Turns()


class SQLEngine(Engine):
    """See the module's head. `redacted_url` has no password. `fresh`, `share`: see `cursors.py`."""

    schema: SQLSchema
    user_sql: ClassVar[UserSQL]

    def __init__(
        self,
        url: str,
        namespace: str,
        redacted_url: str,
        dialect: Dialect,
        fresh: float = 0.0,
        share: float = 0.0,
    ) -> None:
        check_namespace(namespace)
        super().__init__(url, namespace)
        self.redacted_url = redacted_url
        self.texts = RenderedSQL(dialect, namespace)
        self._turns: dict[str, Turns] = {}  # what each worker remembers of the queues
        self._cursors = ScanCursors(fresh, share)
        self._last_claims = admitting.LastClaims()
        self._starts_ahead = StartsAhead()
        self._swept = limit_windows.FIRST_POSITION
        self._woken: set[str] = set()  # see `take_wakeup`
        self.schedules = SQLSchedules(lambda: self.session)

    @property
    @abstractmethod
    def session(self) -> Session:
        """Return this thread's connection."""

    def _change(self, work: Callable[[Transaction], T]) -> T:
        return self.session.transact(work)

    def _run(self, *queries: Query) -> None:
        self.session.transact(lambda tx: tx.later(*queries))

    # producers

    def push(self, pushes: Sequence[Push]) -> list[str]:
        holders: dict[str, str] = {}
        stored = 0
        try:
            session = self.session
            if len(pushes) == 1 and not pushes[0].unique and session.store_one(pushes[0]):
                return [pushes[0].id]
            while stored < len(pushes):
                stored += new_jobs.store(session, pushes[stored:], holders)
        except EngineUnavailable as error:
            error.ids = tuple(push.id for push in pushes[stored:] if push.id not in holders)
            raise
        ids = list(map(_id_of, pushes))
        return [holders.get(id_, id_) for id_ in ids] if holders else ids

    def within(
        self,
        connection: UserConnection,
        notify: bool = True,
    ) -> Callable[[Sequence[Push]], object]:
        if connection.server != self.user_sql.server:
            raise TransactionError(
                f"{connection.label} is one of {connection.server}, and poolq's engine is"
                f" {self.redacted_url}: use poolq.after_commit, or an engine in your database"
            )
        user_sql = self.user_sql if notify else self.user_sql._replace(telling="")
        transaction = UserTransaction(connection, user_sql, self._user_texts, self._check_database)
        return transaction.store

    def _user_texts(self) -> RenderedSQL:
        """Return the statements for connections of the application."""
        return self.texts

    @abstractmethod
    def _check_database(self, connection: UserConnection) -> None:
        """Raise TransactionError if the connection does not have the engine's database."""

    # workers

    def register(self, registration: base.Registration) -> None:
        self._change(partial(nodes.register, one=registration))

    def step(
        self, worker: str, request: int, settlements: Settlements, want: int, queues: Queues
    ) -> Step:
        session = self.session
        new_context = partial(
            StepContext,
            worker=worker,
            request=request,
            settlements=settlements,
            want=abs(want),
            queues=queues,
            ask=want == base.ASK,
            turns=self._turns.get(worker, NO_TURNS),
            cursors=self._cursors,
            skips=session.skips,
        )
        ctx: StepContext

        def work(tx: Transaction) -> Step:
            nonlocal ctx
            ctx = new_context()  # a new one for each attempt of the transaction
            return step(tx, ctx)

        if may_return_to_heads(settlements):
            self._cursors.forget()
        answer = session.transact(work, gives_way=True)
        if ctx.claimed:
            answer = answer._replace(claims=ctx.claims(), waited=ctx.waited())
        for position, end in ctx.scan_ends:
            self._cursors.note(*position, end, ctx.now)
        self._remember(ctx)
        return answer

    def _remember(self, ctx: StepContext) -> None:
        """Store what the next step needs to know about this one."""
        turns = ctx.turns.read(ctx.states, ctx.now)
        if ctx.queues is None and ctx.want > 0 and not ctx.replayed:
            empty = {
                state.queue for state in ctx.states if not state.has_jobs and not state.has_slot
            }
            served = dict.fromkeys([*ctx.tried, *(claim.queue for claim in ctx.claimed)])
            turns = turns.served(list(served), empty)
        self._turns[ctx.worker] = turns

    def admit(
        self,
        rules: Sequence[Asked],
        held: tuple[str, base.Claim] | None = None,
        ended: Sequence[base.EndedSlots] = (),
    ) -> Admission:
        ahead = self._starts_ahead
        if held is not None and not held[1].asks:
            key = held[0], tuple(rules)
            if ahead.use(key):
                return ADMITTED
            if not ahead.wanted(key) and self._count_start(rules, held):
                if is_quick(rules):
                    ahead.note(key, 0.0, NOTHING)
                return ADMITTED
        remembered = self._last_claims, ahead
        return admitting.admit(self.session, *remembered, rules, held, ended)

    def _count_start(
        self,
        rules: Sequence[Asked],  # noqa: ARG002  # MySQL uses them
        held: tuple[str, base.Claim],  # noqa: ARG002  # as above
    ) -> bool:
        """Count a start in a faster way than by a transaction, if there is such a way for these
        rules. Returns whether the start was counted."""
        return False

    def accept(self, worker: str, deploy: int = 0) -> int:
        def work(tx: Transaction) -> int:
            lock_worker(tx, worker)
            return deploys.accept(tx, worker, deploy)

        return self._change(work)

    def set_limit(self, key: str, window: int, limit: int) -> None:
        limit_overrides.set_override(self.session, key, window, limit)

    def reset_limit(self, key: str, window: int, starts: bool) -> bool:
        return limit_overrides.reset(self.session, key, window, starts)

    # keepers

    def _load_due_states(self, queues: Queues) -> tuple[list[QueueState], int | None, int]:
        """Return the queues that a waiter checks, when something comes due elsewhere, and the
        server's time."""
        read = self.session.read
        if queues is not None:
            states = queue_discovery.load_states(read, queues)
            return states, None, states[0].now if states else 0
        overview = queue_discovery.look(read, self.session.skips)
        names = [*overview.names()[: queue_discovery.MAX_WAITED_QUEUES], *sorted(self._woken)]
        return queue_discovery.load_states(read, names), overview.next_due(), overview.now

    def wake(self, queues: Queues) -> None:
        session = self.session
        if queues is None:
            names = queue_discovery.look(session.read, session.skips).names()
        else:
            names = sorted(queues)
        for chunk in in_chunks(names):
            self._run(Query(wakeups.ARM, (chunk,)))

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        def work(tx: Transaction) -> dict[str, int]:
            queue_discovery.void_slots(tx.run)
            return nodes.beat(tx, node, info)

        return self._change(work)

    def sweep(self, idle: int) -> bool:
        session, budget = self.session, self._cursors.sweeps
        self._swept, has_more = limit_windows.sweep(session, self._swept)
        has_more = effects.sweep(session) or has_more
        has_more = concurrent_slots.sweep(session) or has_more
        has_more = holds.sweep(session) or has_more
        if budget.has_time():
            with budget.look():  # most of this time goes into reading the heads of queues
                overview = queue_discovery.look(session.read, session.skips)
                busy = {*overview.ready, *overview.delayed, *overview.slots}
                has_more = idle_queues.sweep(session, idle, sorted(busy)) or has_more
        return has_more

    def cancel_requests(self, node: str) -> list[base.CancelRequest]:
        return cancelling.cancel_requests(self.session, node)

    def remove_node(self, node: str) -> None:
        self._change(partial(nodes.leave, node=node))

    def registered(self) -> list[base.Registration]:
        return nodes.registered(self.session.read(Query(nodes.REGISTERED_WORKERS))[0])

    def recover(self, worker: str, death: base.DeathReport | None) -> base.Recovered:
        self._cursors.forget()
        return self._change(partial(recovery.recover, worker=worker, death=death))

    def reap(self, node: str, beat: int) -> base.Recovered | None:
        self._cursors.forget()
        return self._change(partial(recovery.reap, node=node, beat_=beat))

    # administration

    def counts(self) -> list[base.QueueCounts]:
        """If there are more jobs than `Session.counted`, a server returns its estimate, and SQLite
        returns `counted`."""
        return queue_counts.counts(self.session)

    def totals(self) -> base.Totals:
        return queue_counts.totals(self.session)

    def nodes(self) -> list[base.NodeRecord]:
        return nodes.nodes(self.session.read(Query(nodes.ALL_NODES))[0])

    def limits(self) -> list[base.LimitUse]:
        return queue_counts.limits(self.session)

    def hold(self, key: str, length: int) -> int:
        return self._change(partial(holds.hold, key=key, length=length))

    def lift(self, key: str) -> bool:
        return self._change(partial(holds.lift, key=key))

    def find(self, id: str) -> StoredJob | None:
        return stored_jobs.find(self.session, id)

    def page(
        self,
        status: str,
        queue: str | None = None,
        *,
        limit: str | None = None,
        before: int | None = None,
        cursor: str | None = None,
        max_count: int = 100,
        brief: bool = False,
    ) -> base.JobPage:
        listing = paging.Listing(self.session, status, queue, limit, before, brief)
        return paging.page(listing, cursor, max_count)

    def ids(self, prefix: str, max_count: int = 10) -> list[str]:
        return paging.ids(self.session, prefix, max_count)

    def retry(
        self, ids: Sequence[str], bodies: Bodies | None = None, expires: Spans | None = None
    ) -> list[str]:
        retried = partial(stored_jobs.retry, bodies=bodies or {}, expires=expires or {})
        return self._change_each(retried, ids)

    def forget(self, ids: Sequence[str]) -> list[str]:
        return self._change_each(stored_jobs.forget, ids)

    def cancel(self, ids: Sequence[str]) -> list[str]:
        return self._change_each(stored_jobs.cancel, ids)

    def move(self, ids: Sequence[str], queue: str) -> list[str]:
        self._cursors.forget()
        return self._change_each(partial(stored_jobs.move, queue=queue), ids)

    def _change_each(
        self, change: Callable[[Transaction, Sequence[str]], list[str]], ids: Sequence[str]
    ) -> list[str]:
        """Change these jobs in a few transactions. Returns the ids that were found."""
        distinct = list(dict.fromkeys(ids))
        parts = in_chunks(distinct, stored_jobs.MAX_CHANGED)
        changed: list[str] = []
        for chunk in parts:
            changed += self.session.transact(lambda tx, ids=chunk: change(tx, ids))  # type: ignore[misc]  # mypy: no lambda defaults
        return changed

    def request_cancel(self, ids: Sequence[str], grace: int) -> list[str]:
        work = partial(cancelling.request_cancel, ids=ids, grace=grace)
        return self._change(work) if ids else []

    def pause(self, queue: str) -> None:
        self._run(Query(wakeups.PAUSE_QUEUE, (queue,)))

    def resume(self, queue: str) -> None:
        def work(tx: Transaction) -> None:
            tx.later(Query(wakeups.RESUME_QUEUE, (queue,)))
            tx.tell([queue])

        self._change(work)

    def purge(self, queue: str, progress: Callable[[int], object] | None = None) -> int:
        gone = 0
        for cancelled in stored_jobs.purge(self.session, queue):
            gone += cancelled
            if progress is not None:
                progress(gone)
        return gone

    def now(self) -> int:
        time: int = self.session.read(limit_windows.SERVER_CLOCK)[0].rows[0][0]
        return time

"""The engine on Redis and Valkey; poolq/engines/base.py states the rules it keeps.

Each method runs one script (lua/*.lua), so it is atomic and costs one round trip. lua/lib/base.lua
lists the keys and explains them.
"""

import json
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic

from poolq.engines import base, sanitize
from poolq.engines.base import Engine, Queues, Registration, Settlements, Step, StoredJob
from poolq.engines.claims import first_beat
from poolq.engines.redis import checks, codec, pushing, recovering, wake_tokens
from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.codec import (
    MAX_IDS_PER_CALL,
    batches,
    queue_arguments,
    settlement_arguments,
    text,
)
from poolq.engines.redis.schedules import RedisSchedules
from poolq.errors import EngineError, Fenced
from poolq.jobs.limits import ADMITTED, NOT_YET, Admission, Asked

#: How many jobs one script cancels, moves or forgets, as it holds up all other clients of the
#: server. To find a running job, it asks all workers.
IDS_PER_CALL = 50
#: Replies of `admit` that are not times to wait.
NOT_HELD, UNREGISTERED, TOO_EARLY = -1, -2, -3
#: The server remembers for NOTE_TTL seconds that a keeper waits on a queue by name; the keeper
#: renews this note every NOTE_INTERVAL seconds.
NOTE_TTL, NOTE_INTERVAL = 60.0, 15.0


class RedisEngine(Engine):
    """`url` is redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://. Raises
    ConfigError for an invalid URL or namespace; connects when first used."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.client = RedisClient(url, namespace)
        self.redacted_url = self.client.redacted_url
        self.schedules = RedisSchedules(self.client)
        #: For each list of queues: when to renew the server's note that this engine waits on it.
        self._noted: dict[tuple[str, ...], float] = {}

    # producers

    def push(self, pushes: Sequence[base.Push]) -> list[str]:
        return pushing.push(self.client, pushes)

    # workers

    def register(self, registration: Registration) -> None:
        encoded = json.dumps(registration)
        self.client.run("register", registration.worker, registration.node, encoded, first_beat())

    def step(
        self, worker: str, request: int, settlements: Settlements, want: int, queues: Queues
    ) -> Step:
        asked = (worker, request, want, *queue_arguments(queues))
        reply = self.client.run("step", *asked, *settlement_arguments(settlements))
        if reply[0] == 1:
            raise self._fenced(worker)
        if reply[0] == 2:
            raise EngineError(f"worker {worker} sent request {request} after request {reply[1]}")
        return codec.decode_step(reply, request)

    def admit(
        self,
        rules: Sequence[Asked],
        held: tuple[str, base.Claim] | None = None,
        ended: Sequence[base.EndedSlots] = (),
    ) -> Admission:
        claim = (held[0], held[1].id, codec.claim_name(held[1])) if held else ("", "", "")
        asked = codec.ended_argument(ended), *codec.rule_arguments(rules)
        wait, *why = self.client.run("admit", *claim, *asked)
        if held and wait == UNREGISTERED:
            raise self._fenced(held[0])
        if held and wait == NOT_HELD:
            return Admission(0, stale=True)
        if wait == 0:
            return ADMITTED
        if wait == TOO_EARLY:
            return NOT_YET
        rule, until, *refusal = why
        is_held, limit = refusal or (0, 0)
        return Admission(int(wait), rule, False, int(until), is_held == 1, int(limit))

    def set_limit(self, key: str, window: int, limit: int) -> None:
        self.client.run("set_limit", key, window, limit, 0)

    def reset_limit(self, key: str, window: int, starts: bool) -> bool:
        return bool(self.client.run("set_limit", key, window, "", int(starts)))

    def accept(self, worker: str, deploy: int = 0) -> int:
        number = int(self.client.run("accept", worker, deploy))
        if not number:
            raise self._fenced(worker)
        return number

    # keepers

    def prepare(self, processes: int = 0) -> list[str]:  # noqa: ARG002  # only PostgreSQL counts them
        return checks.warnings(self.client)

    def wait(self, queues: Queues, timeout: float) -> int:
        try:
            return self._wait(queues, timeout)
        except EngineError:
            self._noted = {}  # the note may not have arrived, or the server may have lost it
            raise

    def _wait(self, queues: Queues, timeout: float) -> int:
        until, empty, again = monotonic() + timeout, False, 0
        while True:
            ttl = self._note_ttl(queues)
            news, due, lists = self.client.run("poll", again, ttl, *queue_arguments(queues))
            remaining = until - monotonic()
            if news or (empty and remaining <= 0):
                return int(news)
            pause = remaining if int(due) < 0 else min(remaining, int(due) / 1e6)
            hint = wake_tokens.take(self.client, lists, pause)
            if hint:
                return hint
            empty = hint is None  # after a token, look for more, even if the time is up
            again = int(not empty)

    def wake(self, queues: Queues) -> None:
        self.client.run("wake", *queue_arguments(queues))

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        reply = self.client.run("beat", node, info, first_beat())
        return {text(name): sanitize.number(n) for name, n in zip(*[iter(reply)] * 2, strict=True)}

    def sweep(self, idle: int) -> bool:
        return bool(self.client.run("sweep", idle))

    def cancel_requests(self, node: str) -> list[base.CancelRequest]:
        return [
            base.CancelRequest(text(id_), text(worker), int(request), int(index), int(due))
            for id_, worker, request, index, due in self.client.run("cancel_requests", node)
        ]

    def remove_node(self, node: str) -> None:
        self.client.run("remove_node", node)

    def registered(self) -> list[Registration]:
        """See the contract. Of an unreadable registration, only worker and node are returned."""
        return [codec.decode_registration(*row) for row in self.client.run("registered")]

    def nodes(self) -> list[base.NodeRecord]:
        reply = self.client.run("nodes")
        return [
            base.NodeRecord(text(id), sanitize.number(beat), info, n) for id, beat, info, n in reply
        ]

    def recover(self, worker: str, death: base.DeathReport | None) -> base.Recovered:
        return recovering.recover(self.client, worker, death)

    def reap(self, node: str, beat: int) -> base.Recovered | None:
        return recovering.reap(self.client, node, beat)

    # administration

    def counts(self) -> list[base.QueueCounts]:
        full, empty = self.client.run("counts")
        counts = [base.QueueCounts(text(queue)) for queue in empty]
        for queue, *numbers, oldest, paused in full:
            held = base.QueueCounts(text(queue), *numbers)
            counts.append(held._replace(oldest=sanitize.number(oldest), paused=bool(paused)))
        return sorted(counts)

    def totals(self) -> base.Totals:
        return codec.decode_totals(self.client.run("totals"))

    def limits(self) -> list[base.LimitUse]:
        return codec.decode_limits(self.client.run("limits"))

    def hold(self, key: str, length: int) -> int:
        return int(self.client.run("hold", key, length))

    def lift(self, key: str) -> bool:
        return bool(self.client.run("lift", key))

    def find(self, id: str) -> StoredJob | None:
        reply = self.client.run("find", id)
        return None if reply is None else codec.decode_job(reply)

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
        if before is not None and cursor is None:
            cursor = codec.cursor_before(before)
        filters = (status, max_count, queue or "", limit or "")
        begin = codec.position(cursor)
        return codec.decode_page(self.client.run("page", *filters, *begin, int(brief)))

    def ids(self, prefix: str, max_count: int = 10) -> list[str]:
        matches: list[str] = []
        for moments in batches(self._moments(prefix)):
            remaining = max_count - len(matches)
            if remaining > 0:
                matches += map(text, self.client.run("ids", prefix, remaining, *moments))
        return matches

    def _moments(self, prefix: str) -> list[str]:
        """Return the moments (see lua/lib/base.lua) whose bodies may have ids with this prefix."""
        if len(prefix) >= codec.MOMENT_DIGITS:
            return [prefix[: codec.MOMENT_DIGITS]]
        head = f"{self.client.prefix}bodies:"
        pattern = (
            "".join(
                f"\\{character}" if character in "*?[]^\\" else character
                for character in head + prefix
            )
            + "*"
        )
        moments: set[str] = set()
        cursor = b"0"
        while True:
            cursor, keys = self.client.call(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", 1000)
            moments |= {text(key).removeprefix(head) for key in keys}
            if cursor == b"0":
                return sorted(moments)

    def retry(
        self, ids: Sequence[str], bodies: base.Bodies | None = None,
        expires: base.Spans | None = None,
    ) -> list[str]:  # fmt: skip
        done: list[bytes] = []
        distinct = list(dict.fromkeys(ids))
        for batch in batches(distinct):
            # Jobs with the same due time are sorted by id, like all jobs of a queue.
            new = codec.revision_arguments(batch, bodies or {}, expires or {})
            done += self.client.run("retry", len(batch), *sorted(batch), *new)
        retried = {text(id_) for id_ in done}
        return [id_ for id_ in distinct if id_ in retried]

    def forget(self, ids: Sequence[str]) -> list[str]:
        return self._run_in_batches("forget", ids)

    def cancel(self, ids: Sequence[str]) -> list[str]:
        return self._run_in_batches("cancel", ids)

    def move(self, ids: Sequence[str], queue: str) -> list[str]:
        return self._run_in_batches("move", ids, queue)

    def request_cancel(self, ids: Sequence[str], grace: int) -> list[str]:
        return self._run_in_batches("request_cancel", ids, grace)

    def pause(self, queue: str) -> None:
        self.client.run("pause", queue, "pause")

    def resume(self, queue: str) -> None:
        self.client.run("pause", queue, "resume")

    def purge(self, queue: str, progress: Callable[[int], object] | None = None) -> int:
        gone, remaining, skipped = self.client.run("purge", queue, MAX_IDS_PER_CALL)
        goal = gone + remaining  # jobs that are pushed in the meantime may remain
        deleted = gone
        # `remaining` may stay above 0, because it includes jobs that have rules but are in no line.
        while (deleted or skipped) and remaining and gone < goal:
            if progress is not None:
                progress(int(gone))
            size = min(MAX_IDS_PER_CALL, goal - gone)
            deleted, remaining, skipped = self.client.run("purge", queue, size)
            gone += deleted
        return int(gone)

    def now(self) -> int:
        return checks.now(self.client)

    def server(self) -> base.ServerInfo | None:
        return checks.server(self.client)

    def doctor(self) -> list[base.Check]:
        return checks.checks(self.client)

    def close(self) -> None:
        self.client.close()

    # helpers

    @staticmethod
    def _fenced(worker: str) -> Fenced:
        return Fenced(f"worker {worker} is not registered: it was considered dead, or has left")

    def _run_in_batches(self, name: str, ids: Sequence[str], *before: str | int) -> list[str]:
        """Run a script for these ids, in batches. Its first arguments are `before`. Returns the
        ids that the replies contain, in the order of `ids`."""
        distinct = list(dict.fromkeys(ids))
        replies = (
            self.client.run(name, *before, *batch) for batch in batches(distinct, IDS_PER_CALL)
        )
        changed = {text(raw) for reply in replies for raw in reply}
        return [id_ for id_ in distinct if id_ in changed]

    def _note_ttl(self, queues: Queues) -> int:
        """Return for how many milliseconds the server must note that this engine waits on these
        queues by name; 0 if it needs no note, or has a recent one."""
        if queues is None or monotonic() < self._noted.get(tuple(queues), -inf):
            return 0
        self._noted = {tuple(queues): monotonic() + NOTE_INTERVAL}
        return round(NOTE_TTL * 1000)

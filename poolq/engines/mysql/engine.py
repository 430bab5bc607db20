"""The engine on MySQL and MariaDB, through PyMySQL."""

import time
from collections.abc import Sequence

import pymysql

from poolq.engines.base import Check, Claim, Queues, ServerInfo
from poolq.engines.mysql.checks import checks, refuse_server, server
from poolq.engines.mysql.faults import translate
from poolq.engines.mysql.literals import FormatSQL
from poolq.engines.mysql.options import parse_url
from poolq.engines.mysql.reconnecting import connect
from poolq.engines.mysql.schema import MySQLSchema
from poolq.engines.mysql.session import MySQLSession
from poolq.engines.sql.limits.holds import NOTE_HOLD
from poolq.engines.sql.location import DELAYED, QUEUED, claim_name, released_by

from poolq.engines.sql.queues.queue_discovery import (  # isort: skip
    FIRST_DELAYED, FIRST_GATE, FIRST_READY, FIRST_SLOT,
)  # fmt: skip
from poolq.engines.sql.queues.skip_scan import LINES, first_due, next_after
from poolq.engines.sql.servers import ServerEngine
from poolq.engines.sql.session import Dialect, Query, RenderedSQL, TemplateToken
from poolq.engines.sql.within import UserSQL
from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs.limits import Asked, Rule

#: Between two polls for due jobs, a waiter pauses for at least POLL_INTERVAL seconds, and for at
#: least POLL_COST_FACTOR times as long as a poll takes.
POLL_INTERVAL = 0.05
POLL_COST_FACTOR = 20
#: Seconds that one server-side wait may take, well below the timeout of a socket.
MAX_SERVER_WAIT = 1.0


def _joined(columns: str) -> str:
    values = ", ".join(f"COALESCE({one}, '')" for one in columns.split(", "))
    return f"CONCAT_WS(' ', {values})"


#: The current time. NOW() is the time at which the statement began, before it waited for row locks.
CURRENT_TIME = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
DIALECT = Dialect(
    now="CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
    clock=CURRENT_TIME,
    share="LOCK IN SHARE MODE",
    turn="FORCE INDEX (turn)",
    by_id="FORCE INDEX (PRIMARY)",
    line=TemplateToken("FORCE INDEX ({})".format),
    in_list="IN ?",
    on=TemplateToken("ON DUPLICATE KEY UPDATE".format),
    new=TemplateToken("VALUES({})".format),
    unless=TemplateToken("ON DUPLICATE KEY UPDATE {0} = {0}".format),
    joined=TemplateToken(_joined),
    id="CHAR(32) CHARACTER SET ascii COLLATE ascii_bin",
    text=TemplateToken("VARBINARY({})".format),
    bytes="LONGBLOB",
    table="ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
    clustered="ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
    where=TemplateToken("".format),
    keys_within=True,
    random="LEFT(SHA2(CONCAT(UUID(), RAND()), 256), 32)",  # MySQL 9.6+ has no MD5
    user_now="TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",  # in any time zone
    # MySQL lets an UPDATE of a range skip rows that are being stored, but not one of two tables.
    instead={NOTE_HOLD: NOTE_HOLD.replace("{windows}", "{windows}, (SELECT 1) one", 1)},
)


#: Counts the start of a claim that has a single rule, of a fixed window, as nearly all have.
#: It changes nothing if the window is full, does not exist or was made before the clock went back,
#: if the key is held or a person has set the limit, if jobs that the rule has released are due, or
#: if the claim is no longer held, or admitted already. If nothing has changed, `SQLEngine.admit`
#: finds out why. FOR UPDATE blocks recovery. MySQL evaluates the assignments from left to right,
#: and each one uses the values set by those before it. (On MariaDB, this depends on the sql_mode,
#: which `reconnecting.py` sets.) A new window begins at the old one's end or later, so
#: `ends <= start` identifies it. No subquery may be an EXISTS, because MySQL could turn it into a
#: join, and then assigns in another order.
COUNT_START = f"""UPDATE {{windows}} SET most = ?,
    start = IF(used >= ? OR {CURRENT_TIME} >= ends, GREATEST({CURRENT_TIME}, ends), start),
    used = IF(ends <= start, 1, used + 1),
    ends = start + span,
    starts = starts + 1
    WHERE name = ? AND span = ? AND (used < ? OR {CURRENT_TIME} >= ends)
    AND start <= {CURRENT_TIME} AND held <= {CURRENT_TIME} AND set_most IS NULL
    AND (SELECT 1 FROM {{jobs}}
        WHERE place = ? AND queue = ? AND due_at <= {CURRENT_TIME} LIMIT 1) IS NULL
    AND (SELECT 1 FROM {{jobs}} WHERE id = ? AND place = ? AND request = ? AND idx = ?
        AND admitted = 0 FOR UPDATE) = 1"""
#: Marks the claim if its start was counted. Two statements take less time than an UPDATE of two
#: tables, which would also lock what its subqueries read.
MARK_COUNTED = "UPDATE {jobs} SET admitted = 1 WHERE id = ? AND ROW_COUNT() = 1"

_NOT_PAUSED = "NOT EXISTS (SELECT 1 FROM {queues} p WHERE p.queue = name AND p.paused = 1)"
#: On MariaDB, the server itself waits, and answers once something is due. So a wait costs one round
#: trip instead of one per poll. After the answer, the waiter checks whether it may take the wake-up
#: (`sql/queues/wakeups.py`). Each iteration of the loop has its own NOW and view of the tables.
#: Only a SELECT does not wait for rows that others have locked. MySQL does not allow such loops
#: outside of stored programs.
WAIT_FOR_NAMED = f"""BEGIN NOT ATOMIC
    DECLARE turns INT DEFAULT ?;
    DECLARE found INT DEFAULT 0;
    WHILE turns > 0 AND found = 0 DO
        SELECT EXISTS (SELECT 1 FROM {{queues}} q WHERE q.queue {{in_list}} AND q.paused = 0
            AND ({FIRST_READY} IS NOT NULL OR {FIRST_DELAYED} <= {{now}} OR {FIRST_SLOT} <= {{now}}
                OR {FIRST_GATE} IS NOT NULL)
        ) INTO found;
        DO SLEEP((1 - found) * ? / 1000000);
        SET turns = turns - 1;
    END WHILE;
END"""


def _until_due(place: str, is_due: str) -> str:
    """Return a loop that ends with `found` = 1 if a queue that is not paused has something due."""
    return f"""SET name = '';
        WHILE found = 0 AND name IS NOT NULL DO
            SELECT ({next_after(place, "name")}) INTO name;
            SELECT name IS NOT NULL AND {_NOT_PAUSED} AND COALESCE({is_due}, 0) INTO found;
        END WHILE;"""


_GATE_IS_DUE = FIRST_GATE.replace("q.queue", "name") + " IS NOT NULL"
#: Skips from queue to queue as `sql/queues/skip_scan.py` does. In this loop, a variable's value is
#: known when the statement that uses it is planned.
WAIT_FOR_ANY = f"""BEGIN NOT ATOMIC
    DECLARE turns INT DEFAULT ?;
    DECLARE found INT DEFAULT 0;
    DECLARE name VARBINARY(255);
    WHILE turns > 0 AND found = 0 DO
        {_until_due(LINES, f"({first_due(LINES, 'name')} <= {{now}} OR {_GATE_IS_DUE})")}
        {_until_due(QUEUED, "1")}
        {_until_due(DELAYED, f"{first_due(DELAYED, 'name')} <= {{now}}")}
        DO SLEEP((1 - found) * ? / 1000000);
        SET turns = turns - 1;
    END WHILE;
END"""


def _with_database(name: str) -> Dialect:
    escaped = name.replace("`", "``")
    return DIALECT._replace(quoted=TemplateToken(lambda table: f"`{escaped}`.{table}"))


def admit_queries(rule: Rule, worker: str, claim: Claim) -> list[Query]:
    """Return statements that count a start, of which the last one changes a row, only if the claim
    may start. The rule has a fixed window and no cost."""
    key, most, window, _, _ = rule
    name = claim_name(worker, claim)
    args = (most, most, key, window, most, released_by(rule), claim.queue, *name)
    return [Query(COUNT_START, args), Query(MARK_COUNTED, (claim.id,))]


class MySQLEngine(ServerEngine[MySQLSession]):
    """`mysql://user:password@host:3306/database?ssl_ca=…&unix_socket=…`; mariadb:// is the same."""

    exact_counts = MySQLSession.counted
    user_sql = UserSQL("mysql", text=str.encode)  # whatever the connection's character set

    def __init__(self, url: str, namespace: str) -> None:
        self.options = parse_url(url)
        super().__init__(url, namespace, self.options.redacted_url, DIALECT)
        self.schema: MySQLSchema = MySQLSchema(self._open, self.texts, namespace, self.options)
        self._statements = FormatSQL(self.texts)
        self._qualified = RenderedSQL(_with_database(self.options.database), namespace)
        self._waits_in_server = True

    def _open_session(self, lost: Sequence[str]) -> MySQLSession:
        try:
            opened = connect(self.options, lost)
        except pymysql.Error as error:
            raise translate(error, self.options) from error
        return MySQLSession(
            opened, self.options, self._statements, self._drop, self._connections.mark_used
        )

    def _user_texts(self) -> RenderedSQL:
        """Return statements that name the database, whichever a connection uses at the time."""
        return self._qualified

    def _count_start(self, rules: Sequence[Asked], held: tuple[str, Claim]) -> bool:
        match rules:
            case [Rule(cost=1, sliding=False) as rule]:
                return self.session.change(*admit_queries(rule, *held)) > 0
        return False

    def _pause(self, queues: Queues, is_due: bool, rest: float, took: float) -> int:
        pause = max(POLL_INTERVAL, POLL_COST_FACTOR * took)
        polls = int(min(rest, MAX_SERVER_WAIT) / (pause + took))
        if polls < 2 or is_due or not self._wait_in_server(queues, polls, pause):
            time.sleep(min(pause, rest))
        return 0

    def _wait_in_server(self, queues: Queues, polls: int, pause: float) -> bool:
        """Wait in the server until one of these queues has something due, for at most `polls`
        pauses of `pause` seconds. Returns False if the server has failed to do so, now or earlier.
        """
        named = [] if queues is None else [list(queues)]
        wait = WAIT_FOR_NAMED if named else WAIT_FOR_ANY
        try:
            if self._waits_in_server:
                self.session.read(Query(wait, (polls, *named, int(pause * 1e6))))
        except EngineUnavailable:
            raise
        except EngineError:
            self._waits_in_server = False
        return self._waits_in_server

    def prepare(self, processes: int = 0) -> list[str]:  # noqa: ARG002  # only PostgreSQL counts them
        refuse_server(self.session, self.redacted_url)
        return []

    def server(self) -> ServerInfo:
        return server(self.session)

    def doctor(self) -> list[Check]:
        return checks(self.session, self.schema)

"""Roles of PostgreSQL with exactly the rights that `poolq db sql --grants` prints, and with fewer:
whoever lacks one is told the GRANT, which helps."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import psycopg
import pytest

import poolq
from poolq.engines.base import Push
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.schedule_store import NewSchedule
from poolq.engines.sql.rights import KINDS
from poolq.errors import EngineError, RightMissing
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import HoldKey, Park
from tests.contract.helpers import (
    HOUR,
    MS,
    Worker,
    bury,
    died,
    gate,
    new_id,
    park,
    push,
    tied,
    wait_for,
)
from tests.support.layers import LAYERS
from tests.support.postgresql import PostgreSQL
from tests.support.producing import MODULE, produce_to

GRANT = re.compile(r"GRANT (.*) ON (.*) TO (.*);")
LINE = re.compile(r"GRANT .* TO .*;")


class Shop(NamedTuple):
    """A database that only its owner, poolq, may enter, with poolq's tables in the schema `shop`.
    `raw`: the owner's connection. `role`: another one, without rights."""

    raw: psycopg.Connection
    owned: PostgreSQLEngine
    role: str

    @property
    def url(self) -> str:
        return self.owned.url.replace("//poolq@", f"//{self.role}@")

    def run(self, *statements: str) -> None:
        for one in statements:
            self.raw.execute(one.encode())

    def granted(self, *uses: str) -> list[tuple[str, str]]:
        """Grant what is printed for these uses, and nothing else. Returns the rights, one by one,
        each with what it is on."""
        kinds = [kind for kind, use in KINDS.items() if use in uses]
        lines = self.owned.schema.grants(self.role, None if "a pool" in uses else kinds)
        assert re.findall("-- for (.*)", lines) == list(uses)
        self.run(*LINE.findall(lines))
        return [
            (right, what)
            for rights, what, _ in GRANT.findall(lines)
            for right in rights.split(", ")
        ]

    def lacks(self, *acts: Act) -> list[str]:
        """Do all this as the role, and do what each line says in between. Returns these lines."""
        said: list[str] = []
        while (error := self.refusal(acts)) is not None:
            assert "\n" not in str(error)
            assert isinstance(error, RightMissing)
            found = LINE.search(str(error))
            assert found, error
            assert found[0] not in said, "it has helped"
            said.append(found[0])
            self.run(found[0])
        return said

    def refusal(self, acts: Sequence[Act]) -> EngineError | None:
        try:
            with closing(PostgreSQLEngine(self.url, "poolq")) as engine:
                for act in acts:
                    act(engine, self)
        except EngineError as error:
            return error
        return None


WITHIN = [("INSERT", "jobs"), ("SELECT", "schema"), ("SELECT", "waiting")]
Act = Callable[[PostgreSQLEngine, Shop], object]


@pytest.fixture(scope="module")
def shop(postgresql_server: PostgreSQL) -> Iterator[Shop]:
    name = f"shop{secrets.token_hex(4)}"
    url = f"{postgresql_server.url.removesuffix('poolq')}{name}?schema=shop"
    with postgresql_server.connect() as root:
        root.execute(f"CREATE DATABASE {name}".encode())
        root.execute(f"CREATE ROLE {name} LOGIN".encode())
        root.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC".encode())
        with postgresql_server.connect(name) as raw, closing(PostgreSQLEngine(url, "poolq")) as own:
            raw.execute("CREATE SCHEMA shop")
            own.schema.migrate()
            yield Shop(raw, own, name)
        root.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        root.execute(f"DROP ROLE {name}".encode())


@pytest.fixture(autouse=True)
def without_rights(shop: Shop) -> Iterator[None]:
    yield
    shop.run(
        *(f"DELETE FROM shop.poolq_{one}" for one in ("jobs", "queues", "unique_keys", "windows")),
        f"DROP OWNED BY {shop.role}",
    )


def dispatch(engine: PostgreSQLEngine, _: Shop) -> None:
    push(engine, "a")
    push(engine, "b", "c", delay=HOUR)


def dispatch_unique(engine: PostgreSQLEngine, shop: Shop) -> None:
    engine.push([tied("a"), tied("b", "other")])
    engine.push([tied("a")])
    engine.push([tied("a", replaces=True, delay=HOUR), tied("a", "new")])
    engine.push([tied("a", "for a while", until="time", lasts=MS)])
    wait_for(engine, engine.now() + 2 * MS)
    engine.push([tied("a", "for a while", until="time", lasts=HOUR)])
    worker = Worker(shop.owned, secrets.token_hex(4), queues=["parked"])
    shop.owned.push([tied("a", "parked", queue="parked")])
    for claim in worker.claim():
        worker.end(claim, Park((Rule("full", 1, HOUR),), 0))
    engine.push([tied("b", "parked", replaces=True)])


def dispatch_concurrent(engine: PostgreSQLEngine, _: Shop) -> None:
    for limit in (2, 3):
        engine.push([Push(new_id(), "q", b"a", gate=gate("k", limit))])


ACTS: dict[str, Act] = {
    "all jobs": dispatch,
    "jobs with unique": dispatch_unique,
    "jobs with concurrent": dispatch_concurrent,
}


@pytest.mark.parametrize("use", ACTS)
def test_a_producer_needs_each_of_its_rights_and_no_other(shop: Shop, use: str) -> None:
    uses = ["all jobs", *([use] if use != "all jobs" else [])]
    acts = [ACTS[one] for one in uses]
    rights = shop.granted(*uses)
    assert shop.lacks(*acts) == []
    for right, what in rights:
        shop.run(f"REVOKE {right} ON {what} FROM {shop.role}")
        shop.run("DELETE FROM shop.poolq_queues", "DELETE FROM shop.poolq_unique_keys")
        said = [GRANT.fullmatch(line) for line in shop.lacks(*acts)]
        assert [one and one[2] for one in said] == [what], (right, what)
        assert right in str(said[0]), right


@pytest.mark.parametrize("use", ACTS)
def test_a_producer_is_not_sent_to_the_rights_of_a_pool(shop: Shop, use: str) -> None:
    """The command that the error names first prints all that such dispatches need."""
    shop.granted("all jobs")
    table = {"all jobs": "queues", "jobs with unique": "unique_keys"}.get(use, "tokens")
    shop.run(f"REVOKE ALL ON shop.poolq_{table} FROM {shop.role}")
    option = f"--producer={use[10:]}".removesuffix("=")
    error = str(shop.refusal([ACTS[use]]))
    assert f"('poolq db sql --grants={shop.role} {option}' prints all that such a dispatch" in error
    shop.granted("all jobs", *({use} - {"all jobs"}))
    assert shop.lacks(ACTS[use]) == []


def test_within_needs_no_right_on_queues(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def dispatch() -> None:
        engine = PostgreSQLEngine(shop.url, "poolq")
        raw = psycopg.connect(shop.url.partition("?")[0])
        monkeypatch.setattr(MODULE, "_chosen", produce_to(engine))  # type: ignore[arg-type]  # any
        with closing(engine), closing(raw), poolq.within(raw):
            poolq.dispatch("jobs:A", queue="q")
            poolq.dispatch_many("jobs:A", [{}, {}], delay=30, expires=30, queue="q")
            raw.commit()

    shop.granted("all jobs")
    shop.run(f"REVOKE ALL ON shop.poolq_queues FROM {shop.role}")
    dispatch()


@pytest.mark.parametrize("layer", LAYERS)
def test_an_error_in_a_transaction_names_the_grant(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    """For the role of the connection, which is not the engine's."""

    def dispatch() -> None:
        with closing(LAYERS[layer](shop.url.partition("?")[0])) as opened:
            opened.begin()
            try:
                with poolq.within(opened.given):
                    poolq.dispatch("jobs:A", queue="q")
            finally:
                opened.rollback()

    monkeypatch.setattr(MODULE, "_chosen", produce_to(shop.owned))  # type: ignore[arg-type]  # any
    shop.granted("all jobs")
    for what in ("USAGE ON SCHEMA shop", *(f"{right} ON shop.poolq_{on}" for right, on in WITHIN)):
        shop.run(f"REVOKE {what} FROM {shop.role}")
        with pytest.raises(Exception, match="permission denied") as caught:
            dispatch()
        text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
        line = text.rpartition("; ")[2]
        assert line.replace('"', "") == f"GRANT {what} TO {shop.role};"
        shop.run(line)
        dispatch()


def work(engine: PostgreSQLEngine, shop: Shop) -> None:
    """All that a pool does."""
    engine.beat("n1", b"{}")
    engine.schedules.declare("n1", 1, [NewSchedule("a", secrets.token_hex(4), b"spec", HOUR)])
    engine.schedules.look(9)
    worker = Worker(engine, secrets.token_hex(4))
    for act in ACTS.values():
        act(engine, shop)
    worker.drain()
    bury(worker)
    claim = worker.take("b")
    engine.admit([Rule("mail", 5, HOUR), gate("one")], (worker.name, claim))
    worker.end(claim, HoldKey("held", HOUR))
    park(worker, "c", rules=[Rule("full", 1, HOUR)])
    engine.set_limit("mail", HOUR, 3)
    engine.wait(["q"], 0)
    engine.counts()
    engine.totals()
    engine.limits()
    engine.sweep(0)
    engine.recover(worker.name, died())
    engine.remove_node("n1")
    engine.doctor()


def test_a_pool_works_with_its_rights_and_names_each_table_that_it_may_not_use(shop: Shop) -> None:
    rights = shop.granted("a pool")
    assert shop.lacks(work) == []
    for what in dict.fromkeys(what for _, what in rights):
        shop.run(f"REVOKE ALL ON {what} FROM {shop.role}")
        said = [GRANT.fullmatch(line) for line in shop.lacks(work)]
        assert said, what
        assert {one and one[2] for one in said} == {what}


def forget_a_queue(engine: PostgreSQLEngine, _: Shop) -> None:
    """Make the token of a queue, and sweep both."""
    push(engine, "a", queue="gone")
    engine.wait(["gone"], 0)
    Worker(engine, secrets.token_hex(4), queues=["gone"]).drain()
    for _ in range(3):
        engine.sweep(0)


@pytest.mark.parametrize(
    ("right", "table"), [("INSERT", "tokens"), ("DELETE", "tokens"), ("DELETE", "queues")]
)
def test_a_right_that_a_statement_needs_within_a_with(shop: Shop, right: str, table: str) -> None:
    shop.granted("a pool")
    assert shop.lacks(forget_a_queue) == []
    shop.run(f"REVOKE {right} ON shop.poolq_{table} FROM {shop.role}")
    (said,) = shop.lacks(forget_a_queue)
    found = GRANT.fullmatch(said)
    assert found
    assert (right in found[1].split(", "), found[2]) == (True, f'"shop"."poolq_{table}"')


@pytest.mark.parametrize("table", ["holds", "overrides"])
def test_a_role_that_may_only_read_what_the_first_start_in_a_window_looks_up(
    shop: Shop, table: str
) -> None:
    shop.granted("a pool")
    shop.run(f"REVOKE INSERT, UPDATE, DELETE ON shop.poolq_{table} FROM {shop.role}")
    (said,) = shop.lacks(lambda engine, _: engine.admit([Rule("first", 5, HOUR)]))
    assert said == f'GRANT UPDATE ON "shop"."poolq_{table}" TO "{shop.role}";'


def test_a_role_that_may_not_make_tables(shop: Shop) -> None:
    shop.granted("a pool")
    shop.run("CREATE SCHEMA other", f"GRANT USAGE ON SCHEMA other TO {shop.role}")

    def migrate(engine: PostgreSQLEngine, _: Shop) -> None:
        with closing(PostgreSQLEngine(engine.url.replace("=shop", "=other"), "poolq")) as other:
            other.schema.migrate()

    try:
        assert shop.lacks(migrate) == [f'GRANT CREATE ON SCHEMA "other" TO "{shop.role}";']
    finally:
        shop.run("DROP SCHEMA other CASCADE")

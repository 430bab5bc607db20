"""The engines that store nothing: sync runs a job inside dispatch(), null discards it."""

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any

import pytest

import poolq
from poolq import Job, JobFailed
from poolq.engines.base import Engine, Push
from poolq.engines.schedule_store import NewSchedule
from poolq.engines.storeless import NullEngine, Storeless, SyncEngine
from poolq.errors import BadMessage, LimitError, Refused, UnknownJob
from tests.support.producing import MODULE

story: list[Any] = []
asked: list[Any] = []


class Note(Job):
    name = "tests.note"
    attempts = 2
    retry_after = "1 hour"
    delay = "1 day"

    def run(self) -> None:
        story.append((self.id, self.attempt, self.payload))
        if self.payload.get("fail"):
            raise ValueError(self.payload["fail"])

    def rate_limit(self) -> dict[str, object] | None:
        asked.append(self.payload)
        found: dict[str, object] | None = self.payload.get("limit")
        return found

    def on_success(self) -> None:
        story.append("done")

    def on_failure(self) -> None:
        story.append(f"failed {self.error}")


class Nests(Job):
    name = "tests.nests"

    async def run(self) -> None:
        await asyncio.sleep(0)
        Inner.dispatch({"of": self.id})
        assert poolq.current() is self
        story.append("outer")


class Inner(Job):
    name = "tests.inner"

    async def run(self) -> None:
        await asyncio.sleep(0)
        story.append(("inner", self.payload["of"] != self.id, poolq.current() is self))


class Once(Job):
    name = "tests.once"
    unique = poolq.Unique()

    def run(self) -> None:
        story.append(self.payload)
        if len(story) == 1:
            inner = type(self).dispatch(self.payload)
            story.append((inner == self.id, inner.new))
            type(self).dispatch({"other": 1})
        if "fail" in self.payload:
            raise ValueError(self.payload["fail"])


@pytest.fixture(autouse=True)
def sync(monkeypatch: pytest.MonkeyPatch) -> None:
    story.clear()
    asked.clear()
    monkeypatch.setattr(MODULE, "_chosen", {})
    poolq.connect("sync://")


@pytest.fixture
def null() -> None:
    poolq.connect("null://")


def test_sync_runs_inside_dispatch() -> None:
    id_ = Note.dispatch({"n": 1})  # neither the delay nor retry_after is waited for, here or below
    assert story == [(id_, 1, {"n": 1}), "done"]


def test_sync_raises_the_last_error_to_the_caller() -> None:
    with pytest.raises(ValueError, match="no"):
        Note.dispatch({"fail": "no"})
    assert [attempt for _, attempt, _ in story[:2]] == [1, 2]
    assert story[2:] == ["failed no"]


def test_sync_asks_for_limits_and_waits_for_none() -> None:
    for _ in range(3):
        Note.dispatch({"limit": {"limit": 1, "hours": 1}})
    assert (len(asked), story.count("done")) == (3, 3)


def test_a_limit_without_a_unit_fails_its_job_on_sync_as_it_does_in_a_worker() -> None:
    with pytest.raises(LimitError, match=r"rate_limit of tests\.note: no unit given"):
        Note.dispatch({"limit": {"limit": 10}})
    assert (len(asked), len(story)) == (2, 1), "each attempt asks, and none runs"
    assert story[0].startswith("failed rate_limit of tests.note")


def test_dispatch_sync_asks_for_no_limits() -> None:
    Note.dispatch_sync({"limit": {"limit": 10}})
    assert (asked, story[-1]) == ([], "done")


def test_sync_runs_a_job_within_a_job() -> None:
    Nests.dispatch()
    assert story == [("inner", True, True), "outer"]


def test_sync_runs_all_of_many_and_raises_the_first_error() -> None:
    with pytest.raises(ValueError, match="first"):
        poolq.dispatch_many(Note, [{"fail": "first"}, {"n": 2}, {"fail": "second"}], attempts=1)
    assert [entry for entry in story if isinstance(entry, str)] == [
        "failed first",
        "done",
        "failed second",
    ]


def test_sync_finds_a_job_of_this_process_by_name() -> None:
    id_ = poolq.dispatch("tests.note", {"n": 1})
    assert story == [(id_, 1, {"n": 1}), "done"]


def test_sync_loads_the_application_for_a_name_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sync_app.py").write_text(
        "import poolq\n@poolq.job\ndef double(n: int) -> None: raise KeyError(2 * n)\n"
    )
    monkeypatch.setattr(MODULE, "_chosen", {})
    (tmp_path / "poolq.toml").write_text('engine = "sync"\napp = "sync_app"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyError, match="6"):
        poolq.dispatch("sync_app:double", {"n": 3})
    with pytest.raises(
        UnknownJob, match=r"no job 'sync_app:dubble'; did you mean sync_app:double\?"
    ):
        poolq.dispatch("sync_app:dubble", {"n": 3})
    with pytest.raises(UnknownJob, match="no job 'zzz'; no class here and no module has it"):
        poolq.dispatch("zzz")


@pytest.mark.parametrize(
    ("most", "why"),
    [(2, "snoozed 3 times; max_snoozes is 2"), (None, "snoozed 1001 times without a delay")],
)
def test_sync_says_how_often_a_job_may_snooze(most: int | None, why: str) -> None:
    cls = type("Snoozes", (Job,), {"name": "tests.snoozes", "run": lambda self: self.snooze("1h")})
    with pytest.raises(JobFailed, match=why):
        cls.dispatch({}, max_snoozes=most)


def test_sync_runs_at_once_so_nothing_expires() -> None:
    id = Note.dispatch({}, expires="1us")
    assert story == [(id, 1, {}), "done"]


@pytest.mark.usefixtures("null")
def test_null_discards() -> None:
    assert len(Note.dispatch({"n": 1})) == 32
    assert len(poolq.dispatch_many(Note, [{}, {}])) == 2
    assert story == []


@pytest.mark.parametrize("kind", [SyncEngine, NullEngine])
def test_both_refuse_a_garbage_message(kind: type[Storeless]) -> None:
    with pytest.raises(BadMessage):
        kind("x://", "poolq").push([Push("1", "default", b"garbage")])


ASKED = {
    "counts": [], "totals": {}, "nodes": [], "limits": [], "registered": [], "find": None,
    "page": ([], None), "ids": [], "retry": [], "forget": [], "cancel": [], "move": [], "purge": 0,
    "request_cancel": [], "cancel_requests": [],
    "close": None,
}  # fmt: skip
ANSWERED = {*ASKED, "push", "now", "doctor"}


@pytest.mark.parametrize("kind", [SyncEngine, NullEngine])
def test_there_is_nothing_to_see_and_workers_are_refused(kind: type[Storeless]) -> None:
    engine = kind("x://", "poolq")
    assert not engine.stores
    for name in Engine.__abstractmethods__:
        method = getattr(engine, name)
        parameters = inspect.signature(method).parameters.values()
        arguments = [None for one in parameters if one.kind is not one.KEYWORD_ONLY]
        if name in ASKED:
            assert method(*arguments) == ASKED[name], name
        elif name not in ANSWERED:
            with pytest.raises(
                Refused, match=r"x:// stores nothing: a dispatched job .*; set POOL"
            ):
                method(*arguments)
    assert abs(engine.now() / 1e6 - time.time()) < 60
    (check,) = engine.doctor()
    assert check.level == "warn"


def test_a_unique_job_runs_each_time_but_not_inside_of_itself() -> None:
    first = Once.dispatch({"a": 1})
    assert story == [{"a": 1}, (True, False), {"other": 1}]
    again = Once.dispatch({"a": 1})
    assert story[3:] == [{"a": 1}]
    assert first.new
    assert again.new
    assert first != again
    many = poolq.dispatch_many(Once, [{"a": 1}, {"a": 1}])
    assert [id_.new for id_ in many] == [True, True]
    assert story[4:] == [{"a": 1}, {"a": 1}]


def test_a_unique_job_that_is_unique_until_its_start_may_run_inside_of_itself() -> None:
    Once.set(unique=poolq.Unique(until="start")).dispatch({"a": 1})
    assert story == [{"a": 1}, {"a": 1}, (False, True), {"other": 1}]


def test_a_unique_job_that_fails_frees_its_key() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            Once.dispatch({"fail": "no"})
    assert story == [{"fail": "no"}, (True, False), {"other": 1}, {"fail": "no"}]


@pytest.mark.usefixtures("null")
def test_no_unique_job_gives_way_where_all_are_discarded() -> None:
    first, second = Once.dispatch({"a": 1}), Once.dispatch({"a": 1})
    assert first.new
    assert second.new
    assert first != second
    assert story == []


@pytest.mark.parametrize("url", ["sync://", "null://"])
def test_there_are_no_schedules(url: str) -> None:
    store = poolq.connect(url).schedules
    assert (store.all(), store.soonest(9), store.get("a")) == ([], [], None)
    acts = (
        lambda: store.put(NewSchedule("a", "aa", b"", 1)),
        lambda: store.remove("a"),
        lambda: store.pause("a"),
        lambda: store.look(9),
        lambda: store.tick([]),
    )
    for act in acts:
        with pytest.raises(Refused, match=f"{url} stores nothing: .*; set POOLQ_ENGINE to another"):
            act()

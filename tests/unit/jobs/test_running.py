"""Running a job here and now: what it sees, how it ends, and that nothing leaks."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import poolq
from poolq import Job, JobFailed
from poolq.errors import JobReleased
from poolq.jobs.job import build
from poolq.jobs.message import Message
from poolq.jobs.running import FailNow, ReleaseNow, call

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="clean")
story: list[Any] = []


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    story.clear()
    yield
    with pytest.raises(RuntimeError, match="no job is running here"):
        poolq.current()


def made(cls: type[Job], **payload: Any) -> Job:
    return build(cls, Message(1, "01", "jobs:A", "default", payload), 1, "default")


class Plain(Job):
    def run(self) -> Any:
        story.append(poolq.current())
        return self.payload

    def on_success(self) -> None:
        story.append(("done", poolq.current() is self))

    def on_failure(self) -> None:
        story.append(("failed", repr(self.error), poolq.current() is self))


class Async(Job):
    async def run(self) -> Any:
        await asyncio.sleep(0)
        story.append(await asyncio.create_task(self.inner()))
        return self.payload

    async def inner(self) -> Job:
        return poolq.current()

    async def on_success(self) -> None:
        await asyncio.sleep(0)
        story.append("done")


# call


@pytest.mark.parametrize("cls", [Plain, Async])
def test_current_is_the_running_job(cls: type[Job]) -> None:
    job = made(cls, n=1)
    assert call(job) == {"n": 1}
    assert story == [job]


def test_a_thread_of_the_job_has_no_running_job_of_its_own() -> None:
    class Threaded(Job):
        def run(self) -> None:
            thread = threading.Thread(target=self.look)
            thread.start()
            thread.join()

        def look(self) -> None:
            try:
                poolq.current()
            except RuntimeError as error:
                story.append(str(error))

    call(made(Threaded))
    assert story == ["poolq.current() was called, but no job is running here"]


def test_what_a_job_sets_in_its_context_does_not_reach_the_next() -> None:
    class Sets(Job):
        def run(self) -> str:
            before = variable.get()
            variable.set("dirty")
            return before

    assert [call(made(Sets)), call(made(Sets)), variable.get()] == ["clean"] * 3


def test_what_an_async_job_leaves_on_its_loop_ends_with_it() -> None:
    class Leaves(Job):
        async def run(self) -> asyncio.AbstractEventLoop:
            story.append(len(asyncio.all_tasks()))
            self.task = asyncio.create_task(self.forever())
            await asyncio.sleep(0)
            return asyncio.get_running_loop()

        async def forever(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                story.append("cancelled")
                raise

    loops = [call(made(Leaves)), call(made(Leaves))]
    assert loops[0] is not loops[1]
    assert all(loop.is_closed() for loop in loops)
    assert story == [1, "cancelled", 1, "cancelled"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_what_run_raises_comes_out(error: BaseException, kind: str) -> None:
    class Raises(Job):
        def run(self) -> Any:
            if kind == "plain":
                raise error
            return self.later()

        async def later(self) -> None:
            raise error

    with pytest.raises(type(error)) as caught:
        call(made(Raises))
    if kind == "plain":
        assert caught.value is error


class Leaving(Job):
    """Leaves by fail() or release(), from as deep as is said."""

    async def run(self) -> None:
        if self.payload["from"] == "itself":
            await self.leave()
        elif self.payload["from"] == "a task":
            await asyncio.create_task(self.leave())
        else:
            async with asyncio.TaskGroup() as outer:
                outer.create_task(self.group())

    async def group(self) -> None:
        async with asyncio.TaskGroup() as inner:
            inner.create_task(self.wait())
            inner.create_task(self.leave())

    async def wait(self) -> None:
        await asyncio.Event().wait()

    async def leave(self) -> None:
        try:
            if self.payload["way"] == "fail":
                self.fail("enough")
            self.release("10s")
        except Exception:
            story.append("swallowed")


@pytest.mark.parametrize("place", ["itself", "a task", "task groups"])
def test_fail_and_release_leave_an_async_job(place: str) -> None:
    with pytest.raises(FailNow) as failed:
        call(made(Leaving, way="fail", **{"from": place}))
    assert str(failed.value) == "enough"
    with pytest.raises(ReleaseNow) as released:
        call(made(Leaving, way="release", **{"from": place}))
    assert released.value.args == (10_000_000,)
    assert story == []


def test_other_groups_of_errors_stay_as_they_are() -> None:
    class Group(Job):
        def run(self) -> None:
            raise ExceptionGroup("both", [ValueError(1), OSError(2)])

    with pytest.raises(ExceptionGroup, match="both"):
        call(made(Group))


def test_an_async_job_runs_inside_a_running_loop() -> None:
    async def outer() -> Any:
        return Async.dispatch_sync({"n": 1})

    assert asyncio.run(outer()) == {"n": 1}
    assert story[0].payload == {"n": 1}
    assert story[1] == "done"


# dispatch_sync


def test_dispatch_sync_returns_the_result_of_run() -> None:
    assert Plain.dispatch_sync({"n": 1}) == {"n": 1}
    assert Plain().dispatch_sync() == {}
    assert Plain.set(queue="bulk").dispatch_sync({"n": 2}) == {"n": 2}
    assert story[1::2] == [("done", True)] * 3
    assert [job.queue for job in story[::2]] == ["default", "default", "bulk"]
    assert len({job.id for job in story[::2]}) == 3


def test_the_payload_is_a_copy_that_went_through_json() -> None:
    payload = {"list": [1]}
    assert Plain.dispatch_sync(payload) == payload
    assert Plain.dispatch_sync(payload)["list"] is not payload["list"]
    with pytest.raises(poolq.PayloadError, match=r"payload\['t'\] is a tuple"):
        Plain.dispatch_sync({"t": ()})


class Fails(Plain):
    attempts = 3

    def run(self) -> Any:
        story.append((self.attempt, dict(self.payload)))
        self.payload["left"] = "over"
        self.end()
        return self.attempt

    def end(self) -> None:
        raise ValueError(self.attempt)


def test_attempts_follow_at_once_each_with_a_fresh_payload() -> None:
    with pytest.raises(ValueError, match="3"):
        Fails.dispatch_sync({"n": 1})
    assert story == [(n, {"n": 1}) for n in (1, 2, 3)] + [("failed", "ValueError(3)", True)]


def test_a_later_attempt_may_succeed() -> None:
    class Recovers(Fails):
        def end(self) -> None:
            if self.attempt < 2:
                raise ValueError(self.attempt)

    assert Recovers.dispatch_sync() == 2
    assert story == [(1, {}), (2, {}), ("done", True)]


@pytest.mark.parametrize(
    ("end", "error", "attempts", "cause"),
    [
        (lambda job: job.fail("bad address"), JobFailed("bad address"), 1, type(None)),
        (lambda job: job.release("1 hour"), JobReleased("called release"), 3, type(None)),
        (lambda job: sys.exit(3), JobFailed("SystemExit: 3"), 3, SystemExit),
    ],
)
def test_fail_ends_it_and_other_ends_count_an_attempt(
    end: Any, error: Exception, attempts: int, cause: type
) -> None:
    cls = type("Ends", (Fails,), {"end": end})
    with pytest.raises(type(error), match=str(error)) as caught:
        cls.dispatch_sync()
    assert isinstance(caught.value.__cause__, cause)
    tries = [(number, {}) for number in range(1, attempts + 1)]
    assert story == [*tries, ("failed", repr(caught.value), True)]


def test_an_init_that_raises_counts_like_an_error_in_run() -> None:
    class Broken(Fails):
        def __init__(self) -> None:
            story.append("init")
            raise SystemExit(3)

    job = made(Broken, n=1)
    assert (job.id, job.payload) == ("01", {"n": 1})
    for method in ("run", "on_failure"):
        with pytest.raises(SystemExit):
            call(job, method)
    story.clear()
    with pytest.raises(JobFailed, match="SystemExit: 3"):
        Broken.dispatch_sync()
    assert story == ["init"] * 3


def test_a_class_may_guard_its_attributes() -> None:
    class Frozen(Plain):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{name} is frozen")

        def run(self) -> Any:
            return self.payload["n"]

    class Parsed(Job):
        @property
        def payload(self) -> Any:  # type: ignore[override]  # what a user may try
            return vars(self)["payload"]["n"] + 1

        def run(self) -> Any:
            return self.payload

    assert Frozen.dispatch_sync({"n": 1}) == 1
    with pytest.raises(KeyError):
        Frozen.dispatch_sync()
    assert story[-1] == ("failed", "KeyError('n')", True)
    assert Parsed.dispatch_sync({"n": 1}) == 2


def test_a_keyboard_interrupt_ends_it_at_once() -> None:
    class Interrupted(Fails):
        def end(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted.dispatch_sync()
    assert story == [(1, {})]


@pytest.mark.parametrize("hook", ["on_success", "on_failure"])
@pytest.mark.parametrize("how", [lambda job: job.fail("x"), lambda job: 1 / 0])
def test_a_hook_that_raises_is_logged_and_changes_nothing(
    hook: str, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = (lambda _: 5) if hook == "on_success" else (lambda job: job.payload["x"])
    cls = type("Hooked", (Job,), {"__module__": "jobs", "run": run, hook: how})
    if hook == "on_success":
        assert cls.dispatch_sync() == 5
    else:
        with pytest.raises(KeyError):
            cls.dispatch_sync()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{hook} of job ")
    assert record.exc_info is not None


def test_a_class_of_the_run_script_can_run_in_place() -> None:
    cls = type("Local", (Job,), {"__module__": "__main__", "run": lambda _: 7})
    assert cls.dispatch_sync() == 7


def test_a_job_may_run_others() -> None:
    class Outer(Job):
        def run(self) -> None:
            Plain.dispatch_sync()
            Async.dispatch_sync()
            story.append(poolq.current() is self)

    Outer.dispatch_sync()
    assert story[-1] is True


def test_progress_is_told_in_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    row = SimpleNamespace(set_progress=lambda *what: told.append(what))
    monkeypatch.setattr("poolq.jobs.running.worker_rows", [row])
    job = made(Plain)
    job.progress(1)
    job.progress(2.9, 10, "rows")
    job.progress(True, 2**70, 7)  # type: ignore[arg-type]  # text is made of it
    assert told == [(1, 0, ""), (2, 10, "rows"), (1, 2**70, "7")]
    for nonsense in ("x", None, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give it two numbers"):
            job.progress(nonsense)  # type: ignore[arg-type]
    assert len(told) == 3


def test_progress_without_a_worker_is_nobodys_business() -> None:
    made(Plain).progress(1, 2, "x")

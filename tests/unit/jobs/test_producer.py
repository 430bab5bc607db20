"""From a payload to a stored job: what is pushed, where to, and what happens when it cannot be."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import poolq
from poolq import EngineUnavailable, Job, OptionError, PayloadError
from poolq.engines.base import Push
from poolq.engines.storeless import NullEngine, SyncEngine
from poolq.jobs.message import Message
from poolq.jobs.producer import engine, settings
from tests.support.producing import MODULE, Kept, gone, produce_to
from tests.unit.refusals import refusal

ROOT = Path(__file__).parents[3]
SECOND = 1_000_000


class SendMail(Job):
    queue = "emails"
    delay = "+30 seconds"
    attempts = 3
    retry_after = ["1s", "10s"]  # noqa: RUF012  # as users write it
    max_crashes = 2
    on_limit = "park"
    timeout = "1m"

    def run(self) -> Any:
        return self.payload


NAME = f"{__name__}:SendMail"


@poolq.job(queue="sums")
def add(a: int, b: int = 2) -> int:
    return a + b


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The engine that everything in this test is dispatched to."""
    made = Kept()
    monkeypatch.setattr(MODULE, "_chosen", produce_to(made, timeout=0.2))
    return made


@pytest.fixture
def unchosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A project folder, and a process that has not dispatched yet."""
    monkeypatch.setattr(MODULE, "_chosen", {})
    monkeypatch.chdir(tmp_path)
    for name in ("POOLQ_ENGINE", "POOLQ_NAMESPACE", "POOLQ_MAX_PAYLOAD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


# What is pushed


def test_the_options_of_the_class_travel_with_the_job(kept: Kept) -> None:
    id_ = SendMail().dispatch({"to": "bob"})
    (push,), (message,) = kept.pushes, kept.messages
    assert message == Message(
        v=1,
        id=id_,
        job=NAME,
        queue="emails",
        payload={"to": "bob"},
        attempts=3,
        retry_after=(SECOND, 10 * SECOND),
        max_crashes=2,
        on_limit="park",
        timeout=60 * SECOND,
    )
    assert (push.id, push.queue, push.delay, push.at) == (id_, "emails", 30 * SECOND, 0)


def test_options_given_win(kept: Kept) -> None:
    SendMail.dispatch({}, delay="+1 hour", queue="bulk", attempts=5, retry_after="1m")
    (push,), (message,) = kept.pushes, kept.messages
    assert (push.queue, push.delay) == ("bulk", 3600 * SECOND)
    assert (message.queue, message.attempts, message.retry_after) == ("bulk", 5, (60 * SECOND,))
    assert (message.max_crashes, message.on_limit) == (2, "park")


def test_a_point_in_time_is_sent_as_one(kept: Kept) -> None:
    SendMail.dispatch(delay=datetime(2100, 1, 1, tzinfo=UTC))
    assert kept.pushes[0].delay == 0
    assert kept.pushes[0].at == round(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * SECOND


def test_a_function_job_sends_its_arguments(kept: Kept) -> None:
    add.dispatch(1)
    add.set(delay="1s", queue="bulk").dispatch(b=3, a=2)
    assert [message.payload for message in kept.messages] == [{"a": 1}, {"a": 2, "b": 3}]
    assert [message.job for message in kept.messages] == [f"{__name__}:add"] * 2
    assert [(push.queue, push.delay) for push in kept.pushes] == [("sums", 0), ("bulk", SECOND)]


# Many


def test_many_go_in_one_push(kept: Kept) -> None:
    ids = poolq.dispatch_many(SendMail, ({"n": n} for n in range(1000)))
    assert kept.tried == [ids]
    assert [message.payload["n"] for message in kept.messages] == list(range(1000))
    assert ids == sorted(ids)


def test_an_item_may_have_options_of_its_own(kept: Kept) -> None:
    poolq.dispatch_many(
        SendMail, [{"n": 1}, ({"n": 2}, {"delay": "1s", "queue": "bulk"})], attempts=7, delay=None
    )
    assert [(push.queue, push.delay) for push in kept.pushes] == [("emails", 0), ("bulk", SECOND)]
    assert [message.attempts for message in kept.messages] == [7, 7]


@pytest.mark.parametrize(
    ("job", "queue"),
    [
        (NAME, "emails"),
        (SendMail, "emails"),
        (SendMail(), "emails"),
        (SendMail.set(queue="bulk"), "bulk"),
    ],
)
def test_many_of_anything_that_can_be_dispatched(kept: Kept, job: Any, queue: str) -> None:
    poolq.dispatch_many(job, [{"n": 1}])
    (message,) = kept.messages
    assert (message.job, message.queue, message.payload) == (NAME, queue, {"n": 1})


@pytest.mark.parametrize(("job", "queue"), [(add, "sums"), (add.set(queue="bulk"), "bulk")])
def test_many_of_a_function_job(kept: Kept, job: Any, queue: str) -> None:
    poolq.dispatch_many(job, [{"a": 1}, ({"a": 2, "b": 3}, {"delay": "1s"})])
    assert [message.payload for message in kept.messages] == [{"a": 1}, {"a": 2, "b": 3}]
    assert [push.queue for push in kept.pushes] == [queue] * 2
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        poolq.dispatch_many(job, [{"b": 1}])


def test_none_of_many_is_no_push(kept: Kept) -> None:
    assert poolq.dispatch_many(SendMail, []) == []
    assert kept.tried == []


# Bad input


@pytest.mark.parametrize(
    ("dispatch", "text"),
    [
        (lambda: SendMail.dispatch([]), f"job {NAME}: payload is a list; it must"),
        (lambda: SendMail.dispatch({}, dealy="1s"),  # type: ignore[call-arg]
         f"job {NAME}: unknown option dealy; did you mean delay?"),
        (lambda: poolq.dispatch("jobs:A", {"a": {1}}),
         "job jobs:A: payload['a'] is a set, which JSON cannot hold unchanged; use a list"),
        (lambda: poolq.dispatch(""), "the job's name is empty; give it a name"),
        (lambda: poolq.dispatch("a b"), "the job's name is 'a b'; it must have no spaces"),
        (lambda: poolq.dispatch(SendMail),  # type: ignore[arg-type]
         "a job is dispatched by its name, not by <class "),
        (lambda: poolq.dispatch_many(SendMail, [{}, {"a": b""}]),
         f"job {NAME}: payloads[1]['a'] is a bytes, which JSON cannot hold"),
        (lambda: poolq.dispatch_many(SendMail, [{}, "x"]),  # type: ignore[list-item]
         f"job {NAME}: payloads[1] is a str; it must be a dict"),
        (lambda: poolq.dispatch_many(SendMail, [({}, {"queu": "x"})]),  # type: ignore[list-item,typeddict-unknown-key]
         f"job {NAME}, payloads[0]: unknown option queu; did you mean queue?"),
        (lambda: poolq.dispatch_many(SendMail, [({}, {}, {})]),  # type: ignore[list-item]
         f"job {NAME}: payloads[0] is a tuple; write a payload, or (payload, {{option: value}})"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_sent(kept: Kept, dispatch: Any, text: str) -> None:
    """Type checkers see some of it."""
    assert refusal((OptionError, PayloadError), dispatch).startswith(text)
    assert kept.tried == []


def test_many_that_are_no_list_are_a_type_error(kept: Kept) -> None:
    with pytest.raises(TypeError):
        poolq.dispatch_many(SendMail, 3)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(PayloadError, match=r"payloads is {'to': 'bob'}; give a list"):
        poolq.dispatch_many(SendMail, {"to": "bob"})  # type: ignore[arg-type]  # on purpose
    assert kept.tried == []


# An engine that cannot be reached


class Moved:
    """A clock that moves by what is slept."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at

    def sleep(self, pause: float) -> None:
        self.at += pause


def install(monkeypatch: pytest.MonkeyPatch, *errors: EngineUnavailable) -> Kept:
    made = Kept(*errors)
    monkeypatch.setattr(MODULE, "time", Moved())
    monkeypatch.setattr(MODULE, "_chosen", produce_to(made, timeout=0.2))
    return made


def test_what_is_surely_not_stored_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = install(monkeypatch, gone(), gone())
    id_ = SendMail.dispatch()
    assert kept.tried == [[id_]] * 3
    assert [push.id for push in kept.pushes] == [id_]


def test_only_what_is_missing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class HalfStored(Kept):
        def push(self, pushes: Sequence[Push]) -> list[str]:
            if not self.tried:
                self.errors.append(gone(*[push.id for push in pushes[2:]]))
            return super().push(pushes)

    kept = HalfStored()
    monkeypatch.setattr(MODULE, "_chosen", produce_to(kept))
    ids = poolq.dispatch_many(SendMail, [{"n": n} for n in range(4)])
    assert kept.tried == [ids, ids[2:]]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = install(monkeypatch, *[gone() for _ in range(100)])
    with pytest.raises(EngineUnavailable, match="redis://h: refused") as caught:
        SendMail.dispatch()
    assert len(kept.tried) > 1
    assert caught.value.ids == tuple(kept.tried[0])
    assert not caught.value.maybe_stored
    assert kept.pushes == []


def test_what_may_be_stored_is_never_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = install(monkeypatch, gone(), gone("x", maybe_stored=True))
    with pytest.raises(EngineUnavailable) as caught:
        SendMail.dispatch()
    assert len(kept.tried) == 2
    assert (caught.value.ids, caught.value.maybe_stored) == (("x",), True)


# Which engine


def test_the_engine_comes_from_the_settings(
    unchosen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unchosen / "poolq.toml").write_text('engine = "null"\nnamespace = "shop"\nmax_payload = 20\n')
    monkeypatch.delenv("POOLQ_ENGINE", raising=False)
    assert settings().max_payload == 20
    chosen = engine()
    assert isinstance(chosen, NullEngine)
    assert chosen.namespace == "shop"
    assert engine() is chosen
    assert SendMail.dispatch()
    with pytest.raises(PayloadError, match="over the limit of 20"):
        SendMail.dispatch({"text": "x" * 10})


@pytest.mark.usefixtures("unchosen")
def test_connect_names_one_for_the_whole_process() -> None:
    first = poolq.connect("null://", namespace="one")
    assert engine() is first
    assert first.namespace == "one"
    second = poolq.connect("sync://")
    assert isinstance(second, SyncEngine)
    assert second.namespace == "poolq"
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(engine).result() is second


@pytest.mark.usefixtures("unchosen")
def test_a_bad_url_leaves_the_choice_as_it_was() -> None:
    first = poolq.connect("null://")
    with pytest.raises(poolq.ConfigError, match=r"^engine \(connect\(\)\): 'http://localhost' "):
        poolq.connect("http://localhost")
    assert engine() is first


@pytest.mark.usefixtures("unchosen")
def test_threads_that_come_first_together_get_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOLQ_ENGINE", "null")
    together = threading.Barrier(8)

    def first() -> Any:
        together.wait()
        return engine()

    with ThreadPoolExecutor(8) as pool:
        found = {id(made) for made in pool.map(lambda _: first(), range(8))}
    assert len(found) == 1


# by name


def test_a_dispatch_by_name_takes_the_options_of_a_class_that_is_imported(kept: Kept) -> None:
    poolq.dispatch(NAME, {"to": "ann"})
    poolq.dispatch(NAME, {"to": "bob"}, attempts=5)
    poolq.dispatch_many(NAME, [{"to": "eve"}])
    poolq.dispatch(f"{__name__}:add", {"a": 1})
    poolq.dispatch("elsewhere:SendMail", {})
    found = [(one.queue, one.attempts, one.timeout) for one in kept.messages]
    assert found == [
        ("emails", 3, 60 * SECOND), ("emails", 5, 60 * SECOND), ("emails", 3, 60 * SECOND),
        ("sums", 1, 0), ("default", 1, 0),
    ]  # fmt: skip
    assert kept.pushes[0].delay == 30 * SECOND


@pytest.mark.parametrize("beside", ["", "poolq.toml", ".env", "jobs.py", "poolq.db"])
def test_a_new_file_in_a_folder_that_is_no_project_is_named_once(
    unchosen: Path, capfd: pytest.CaptureFixture[str], beside: str
) -> None:
    if beside:
        (unchosen / beside).write_text("")
    code = "import poolq; poolq.dispatch('a:B', {}); poolq.dispatch('a:B', {})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=unchosen)
    said = capfd.readouterr().err
    text = f"poolq: jobs go into the new file {unchosen}/poolq.db, as no folder here or above has"
    assert said.count(text) == (not beside)
    assert (beside != "") or "poolq.toml, pyproject.toml or .env; put one beside your jobs" in said


class Silent(Moved, NullEngine):
    """Does not answer: each attempt takes 5 s on the clock that it is itself."""

    def push(self, pushes: Sequence[Push]) -> list[str]:
        self.at += 5.0
        raise gone(*(one.id for one in pushes))


@pytest.mark.parametrize(("timeout", "most"), [(10.0, 10.2), (11.0, 15.4), (0.0, 5.0)])
def test_a_dispatch_takes_its_time_and_at_most_one_attempt(
    monkeypatch: pytest.MonkeyPatch, timeout: float, most: float
) -> None:
    silent = Silent("null://", "poolq")
    monkeypatch.setattr(MODULE, "time", silent)
    monkeypatch.setattr(MODULE, "_chosen", produce_to(silent, timeout=timeout))
    with pytest.raises(EngineUnavailable):
        poolq.dispatch("jobs:A")
    assert most - 0.4 < silent.at <= most

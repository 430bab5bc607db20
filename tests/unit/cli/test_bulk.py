"""Many jobs at once, in pages, on a real SQLite."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

import click
import pytest

from poolq.acts import on_jobs
from poolq.acts.filters import Filters
from poolq.acts.on_jobs import CANCEL, Act, move
from poolq.cli.stored import bulk
from poolq.cli.stored.filters import Selection
from poolq.engines.base import Engine
from poolq.errors import Refused
from poolq.monitor.job_history import NOT_STORED
from tests.contract.helpers import push_jobs

HOUR = 3_600_000_000


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_jobs, "PAGE_SIZE", 2)


def chosen(*ids: str, **options: str) -> Selection:
    return Selection(ids, Filters(**options), False, True)  # type: ignore[arg-type]


def with_run(act: Act, run: Callable[[Sequence[str]], list[str]]) -> Act:
    return act._replace(run=lambda _, ids, __: run(ids))


def test_batches_are_changed_until_none_is_left(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    delayed, ready = push_jobs(engine, 3, queue="a", delay=HOUR), push_jobs(engine, 5, queue="a")
    others = push_jobs(engine, 1, queue="b")
    batches = []

    def cancel(ids: Sequence[str]) -> list[str]:
        batches.append(list(ids))
        return engine.cancel(ids)

    assert bulk.run(engine, chosen(queue="a"), with_run(CANCEL, cancel)) == 0
    assert capsys.readouterr().out == "cancelled 8 jobs\n"
    assert [id for batch in batches for id in batch] == [*delayed, *ready]
    assert max(map(len, batches)) == 2
    assert [engine.find(id) is not None for id in others] == [True]


def test_jobs_that_keep_coming_are_not_among_them(engine: Engine) -> None:
    first = push_jobs(engine, 3, queue="a")
    seen: list[str] = []

    def take(ids: Sequence[str]) -> list[str]:
        seen.extend(ids)
        push_jobs(engine, 2, queue="a")  # a producer that is as fast as the command
        return list(ids)

    assert bulk.run(engine, chosen(queue="a"), with_run(move("b"), take)) == 0
    assert seen == first


def test_an_interrupt_tells_how_many_were_changed(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = push_jobs(engine, 7, queue="a")

    def cancel(ids: Sequence[str]) -> list[str]:
        if len(engine.page("ready").jobs) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return engine.cancel(ids)

    with pytest.raises(click.Abort):
        bulk.run(engine, chosen(queue="a"), with_run(CANCEL, cancel))
    assert capsys.readouterr().err == "\npoolq: interrupted; 4 jobs cancelled\n"
    assert [engine.find(id) is not None for id in ids] == [False] * 4 + [True] * 3


@pytest.mark.parametrize("exact", [None, 100, 5])
def test_jobs_are_counted_before_the_question(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, exact: int | None
) -> None:
    push_jobs(engine, 5, queue="a")
    monkeypatch.setattr(engine, "exact_counts", exact)
    if exact != 5:  # the counts of the queues are exact, so no page is read
        monkeypatch.setattr(on_jobs, "pages", None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda text, **_: bool(asked.append(text)))
    asked: list[str] = []
    with pytest.raises(Refused, match="nothing was changed"):
        bulk.run(engine, chosen(queue="a")._replace(yes=False), CANCEL, asks=True)
    assert asked == ["Cancel 5 waiting jobs in queue a permanently?"]


def test_ids_are_reported_in_their_order(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = push_jobs(engine, 3, queue="a")
    missing = [str(digit) * 32 for digit in range(9)]
    assert bulk.run(engine, chosen(ids[2], *missing, ids[0]), CANCEL) == 1
    said = capsys.readouterr()
    assert said.out == f"cancelled {ids[2]}\ncancelled {ids[0]}\n"
    assert said.err.splitlines() == [f"poolq: job {id} {NOT_STORED}" for id in missing]

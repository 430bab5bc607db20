"""What a worker restores after a job, in a process of its own, and what that costs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context

import pytest

from poolq.worker.signals import WorkerSignals

TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM, signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}  # fmt: skip


def leave(*_: object) -> None:
    raise AssertionError("a signal of an earlier job")


def in_a_worker(check: Callable[[WorkerSignals], None]) -> None:
    """Run `check` in a forked process, which must end well."""

    def main() -> None:
        for number in TIMERS.values():  # pytest has its own
            signal.signal(number, signal.SIG_DFL)
        life, _ = os.pipe()
        signals = WorkerSignals(life)
        signals.install(os.getppid(), lambda: None)
        signals.keep_timers()
        check(signals)

    process = get_context("fork").Process(target=main)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_timers_handlers_and_masks_are_restored() -> None:
    def check(signals: WorkerSignals) -> None:
        for timer, number in TIMERS.items():
            signal.signal(number, leave)
            signal.setitimer(timer, 100)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGALRM])
        signals.restore()
        assert [signal.getitimer(one)[0] for one in TIMERS] == [0, 0, 0]
        assert [signal.getsignal(one) for one in TIMERS.values()] == [signal.SIG_DFL] * 3
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGTERM, signal.SIGALRM}

    in_a_worker(check)


def test_an_alarm_that_was_blocked_when_it_came_is_forgotten() -> None:
    def check(signals: WorkerSignals) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        signal.raise_signal(signal.SIGALRM)
        signals.restore()

    in_a_worker(check)


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGTERM])
def test_a_handler_that_a_job_leaves_is_found_at_once_with_its_timer(number: int) -> None:
    def check(signals: WorkerSignals) -> None:
        before = signal.getsignal(number)
        signal.signal(number, leave)
        signal.setitimer(signal.ITIMER_REAL, 100)
        signals.after_user_code()
        assert (signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(number)) == (0, before)

    in_a_worker(check)


def test_what_the_application_has_set_before_its_first_job_stays() -> None:
    def check(signals: WorkerSignals) -> None:
        for timer, number in TIMERS.items():
            signal.signal(number, leave)
            signal.setitimer(timer, 100)
        signals.keep_timers()
        signals.after_user_code()
        signals.restore()
        assert [signal.getsignal(one) for one in TIMERS.values()] == [leave] * 3
        assert [signal.getitimer(one)[0] > 0 for one in TIMERS] == [False, True, True], "profilers"

    in_a_worker(check)


def test_a_job_that_leaves_nothing_costs_no_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(signals: WorkerSignals) -> None:
        for name in ("setitimer", "signal", "pthread_sigmask", "sigpending", "set_wakeup_fd"):
            monkeypatch.setattr(signal, name, leave)
        for _ in range(100):
            signals.after_user_code()

    in_a_worker(check)

"""Runs actions in two threads, so that a broker or a pool that does not answer never blocks the
drawing. One thread fetches what the screen shows, and the other one carries out all other actions,
so that an act on many jobs blocks no list. Each thread carries out one action at a time. The loop
collects the results.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from poolq.dashboard.screen_state import FETCHES, Action
from poolq.errors import PoolqError
from poolq.system.wakeups import drain

MAX_WAITING = 8  # acts that wait for the one that runs; further ones are refused
#: The level of a result that says how far its action is.
PROGRESS = "progress"


class ActionResult(NamedTuple):
    """The outcome of an action or, at the level PROGRESS, how far it is. `found`: what the action
    has fetched."""

    action: Action
    level: str
    text: str
    found: Any = None


#: Reports how far an action is. Returns False if the user wants it to stop.
Report = Callable[[str], bool]


class ActionRunner:
    """Runs actions. `perform` carries out one action and returns a message and what it has fetched;
    it may raise PoolqError or OSError. `fd` is readable when there are results."""

    def __init__(self, perform: Callable[[Action, Report], tuple[str, Any]]) -> None:
        self._perform = perform
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._acts: SimpleQueue[Action] = SimpleQueue()
        self._fetches: SimpleQueue[Action] = SimpleQueue()
        self._results: deque[ActionResult] = deque()
        self._stopped = threading.Event()
        self._kind = ""  # of the act that runs now or ran last
        for name, pending in (("acts", self._acts), ("fetches", self._fetches)):
            threading.Thread(target=self._run, args=[pending], name=name, daemon=True).start()

    def submit(self, action: Action) -> bool:
        """Queue an action. Returns False if too many acts wait, for example because the broker
        hangs: all of them would be carried out at once when the broker is back."""
        fetches = action.kind in FETCHES
        if not fetches and self._acts.qsize() >= MAX_WAITING:
            return False
        (self._fetches if fetches else self._acts).put(action)
        return True

    def stop(self, kind: str = "") -> None:
        """Ask the running act to stop if it is of this kind ("": any). Most acts do not stop."""
        if kind in ("", self._kind):
            self._stopped.set()

    def results(self) -> list[ActionResult]:
        """Return the results since the last call."""
        drain(self.fd)
        found = []
        while self._results:
            found.append(self._results.popleft())
        return found

    def _run(self, pending: "SimpleQueue[Action]") -> None:
        while True:
            action = pending.get()
            if pending is self._acts:
                self._kind = action.kind
                self._stopped.clear()
            try:
                text, found = self._perform(action, partial(self._report, action))
                result = ActionResult(action, "info", text, found)
            except (PoolqError, OSError) as error:
                result = ActionResult(action, "error", str(error))
            except Exception as error:  # noqa: BLE001  # whatever the store holds, the thread survives
                result = ActionResult(action, "error", f"{type(error).__name__}: {error}")
            self._add(result)

    def _report(self, action: Action, text: str) -> bool:
        self._add(ActionResult(action, PROGRESS, text))
        return not self._stopped.is_set()

    def _add(self, result: ActionResult) -> None:
        self._results.append(result)
        with suppress(BlockingIOError):  # the pipe is full, so the loop wakes up anyway
            os.write(self._write, b"!")

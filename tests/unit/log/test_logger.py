"""The logger's class, without its process."""

from __future__ import annotations

import signal
from functools import partial
from itertools import count

from poolq.log.formats import FORMATS
from poolq.log.logger import Logger, LoggerSetup
from poolq.log.pipes import Pipes
from tests.contract.interrupts import handled


def test_usr1_may_come_while_the_sink_is_woken() -> None:
    """The thread in which the handler runs holds the sink's lock at that moment."""
    logger = Logger(LoggerSetup(Pipes(1), FORMATS["text"](), lambda _: (1, ""), lambda: None))
    usr1 = partial(logger._request_reopen, signal.SIGUSR1, None)
    for number in count(1):
        if not handled(logger._sink.wake, usr1, number, "threading"):
            break
    assert number > 3

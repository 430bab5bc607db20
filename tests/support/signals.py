"""The signals of the tests' own process. Whoever starts the suite may ignore or block some, as
nohup, a script's `&` and many CI runners do, and all that a test starts would inherit it."""

from __future__ import annotations

import signal

#: Python ignores these itself, and subprocess takes that back for its children.
PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)


def unblock_and_reset() -> None:
    """Ignore and block nothing. A hang-up that was ignored is not noticed here, as nohup wants it,
    but a program that is started from here has the default."""
    for number in set(signal.Signals) - set(PYTHONS_OWN):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _notice_nothing if number == signal.SIGHUP else signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _notice_nothing(*_: object) -> None:
    """A handler, which unlike SIG_IGN is not inherited by a program."""

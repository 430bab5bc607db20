"""The scripts: which there are, and of which parts each is made.

A script's text is its first line (`#!lua` and its flags), then its parts in order, then the rest;
nothing is formatted in. Its name on the server is the SHA-1 of that text, so that nodes with
different versions of poolq never run each other's scripts.
"""

from hashlib import sha1
from importlib.resources import files
from typing import Final

_FOLDER = files(__package__) / "lua"


class Script:
    """A script as the server knows it. `text` is only sent when the server does not know `sha`."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, *parts: str) -> None:
        shebang, _, rest = (_FOLDER / f"{name}.lua").read_text("utf-8").partition("\n")
        library = [(_FOLDER / "lib" / f"{part}.lua").read_text("utf-8") for part in parts]
        self.name = name
        self.text = "\n".join([shebang, *library, rest]).encode()
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest().encode()


_LINES: Final = ("ready", "later", "bodies", "limits", "lines")
_SETTLING: Final = (*_LINES, "holding", "settling")

PUSH: Final = Script("push", "base", "tokens", "ready")
REGISTER: Final = Script("register", "base")
STEP: Final = Script("step", "base", "done", "tokens", "queues", "quick", "many", *_SETTLING)
SETTLE: Final = Script("settle", "base", "done", "tokens", *_SETTLING)
ADMIT: Final = Script("admit", "base", "limits", "holding")
ASKED: Final = Script("asked", "base", "tokens", *_LINES, "holding")
REVIEW: Final = Script("review", "base", "tokens", "queues", *_LINES, "holding")
LOOK: Final = Script("look", "base", "tokens", "queues", "open", *_LINES)
WAKE: Final = Script("wake", "base", "tokens", "ready", "later", "queues", "open")
BEAT: Final = Script("beat", "base", "tokens", *_LINES)
SWEEP: Final = Script("sweep", "base", "tokens", "known", *_LINES)
UPGRADE: Final = Script("upgrade", "base", "tokens", "known", *_LINES)
LEAVE: Final = Script("leave", "base")
RECOVER: Final = Script("recover", "base", "done", "tokens", *_SETTLING, "recovery")
REAP: Final = Script("reap", "base", "done", "tokens", *_SETTLING, "recovery")
REGISTERED: Final = Script("registered", "base")
NODES: Final = Script("nodes", "base")
COUNTS: Final = Script("counts", "base", "bodies", "known")
TOTALS: Final = Script("totals", "base", "known")
LIMITS: Final = Script("limits", "base", "tokens", *_LINES)
FIND: Final = Script("find", "base", "tokens", *_LINES)
FAILED: Final = Script("failed", "base")
RETRY: Final = Script("retry", "base", "bodies", "tokens", "ready")
FORGET: Final = Script("forget", "base", "bodies")
CANCEL: Final = Script("cancel", "base", "tokens", *_LINES)
PAUSE: Final = Script("pause", "base", "tokens", "ready", "later")
PURGE: Final = Script("purge", "base", "tokens", *_LINES)

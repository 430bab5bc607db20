"""The Lua scripts, and the library parts that each consists of.

A script's text is its first line (`#!lua` and its flags), then its parts in order, then the rest;
nothing is formatted into it. Its name on the server is the SHA-1 of that text, so nodes with
different versions of poolq never run each other's scripts.
"""

from hashlib import sha1
from importlib.resources import files
from typing import Final

_FOLDER = files(__package__) / "lua"


class Script:
    """`text` is sent only if the server does not know `sha`."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, parts: str) -> None:
        shebang, _, rest = (_FOLDER / f"{name}.lua").read_text("utf-8").partition("\n")
        library = [(_FOLDER / "lib" / f"{part}.lua").read_text("utf-8") for part in parts.split()]
        self.name = name
        self.text = "\n".join([shebang, *library, rest]).encode()
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest().encode()


_LINES: Final = "ready later bodies windows lines"
_SETTLING: Final = f"{_LINES} claims settling"

PUSH: Final = Script("push", "base tokens ready")
REGISTER: Final = Script("register", "base")
STEP: Final = Script("step", f"base done tokens queues fast_path unpaused many_queues {_SETTLING}")
SETTLE: Final = Script("settle", f"base done tokens {_SETTLING}")
ADMIT: Final = Script("admit", "base windows claims")
ADMIT_REVIEWED: Final = Script("admit_reviewed", f"base tokens {_LINES} claims")
REVIEW: Final = Script("review", f"base tokens queues {_LINES} claims")
POLL: Final = Script("poll", f"base tokens queues unpaused {_LINES}")
WAKE: Final = Script("wake", "base tokens ready later queues unpaused")
BEAT: Final = Script("beat", f"base tokens {_LINES}")
SWEEP: Final = Script("sweep", f"base tokens known_queues {_LINES}")
UPGRADE: Final = Script("upgrade", f"base tokens known_queues {_LINES}")
REMOVE_NODE: Final = Script("remove_node", "base")
RECOVER: Final = Script("recover", f"base done tokens {_SETTLING} recovery")
REAP: Final = Script("reap", f"base done tokens {_SETTLING} recovery")
REGISTERED: Final = Script("registered", "base")
NODES: Final = Script("nodes", "base")
COUNTS: Final = Script("counts", "base bodies known_queues")
TOTALS: Final = Script("totals", "base known_queues")
LIMITS: Final = Script("limits", f"base tokens {_LINES}")
FIND: Final = Script("find", f"base tokens {_LINES}")
FAILED: Final = Script("failed", "base")
RETRY: Final = Script("retry", "base bodies tokens ready")
FORGET: Final = Script("forget", "base bodies")
CANCEL: Final = Script("cancel", f"base tokens {_LINES}")
PAUSE: Final = Script("pause", "base tokens ready later")
PURGE: Final = Script("purge", f"base tokens {_LINES}")

"""The Lua scripts.

A script's text is its first line (`#!lua` and its flags), then the library parts that its head
names, in that order, then the rest of its file. Nothing is formatted into the text. Its SHA-1
names the script on the server, so nodes with different versions of poolq never share a script.
"""

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

_FOLDER = files(__package__) / "lua"


@cache
def _part(name: str) -> bytes:
    return (_FOLDER / "lib" / f"{name}.lua").read_bytes()


class Script:
    """`text` is sent only if the server does not know `sha`."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str) -> None:
        shebang, _, rest = (_FOLDER / f"{name}.lua").read_bytes().partition(b"\n")
        parts = rest.partition(b"-- Parts: ")[2].partition(b".")[0].replace(b"--", b"").split(b",")
        library = [_part(one.strip().decode()) for one in parts]
        self.name = name
        self.text = b"\n".join([shebang, *library, rest])
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest().encode()


PUSH: Final = Script("push")
REGISTER: Final = Script("register")
STEP: Final = Script("step")
SETTLE: Final = Script("settle")
ADMIT: Final = Script("admit")
ACCEPT: Final = Script("accept")
SET_LIMIT: Final = Script("set_limit")
POLL: Final = Script("poll")
WAKE: Final = Script("wake")
BEAT: Final = Script("beat")
SWEEP: Final = Script("sweep")
VERSION: Final = Script("version")
REMOVE_NODE: Final = Script("remove_node")
RECOVER: Final = Script("recover")
REAP: Final = Script("reap")
REGISTERED: Final = Script("registered")
NODES: Final = Script("nodes")
COUNTS: Final = Script("counts")
TOTALS: Final = Script("totals")
LIMITS: Final = Script("limits")
HOLD: Final = Script("hold")
LIFT: Final = Script("lift")
FIND: Final = Script("find")
PAGE: Final = Script("page")
IDS: Final = Script("ids")
RETRY: Final = Script("retry")
FORGET: Final = Script("forget")
CANCEL: Final = Script("cancel")
MOVE: Final = Script("move")
REQUEST_CANCEL: Final = Script("request_cancel")
CANCEL_REQUESTS: Final = Script("cancel_requests")
PAUSE: Final = Script("pause")
PURGE: Final = Script("purge")
SCHEDULE_DECLARE: Final = Script("schedule_declare")
SCHEDULE_LOOK: Final = Script("schedule_look")
SCHEDULE_TICK: Final = Script("schedule_tick")
SCHEDULE_CHANGE: Final = Script("schedule_change")
SCHEDULES: Final = Script("schedules")
VOID_KEYS: Final = Script("void_keys")

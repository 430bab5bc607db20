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


#: By name: one for each file in the folder.
SCRIPTS: Final = {
    name: Script(name)
    for name, dot, kind in (file.name.partition(".") for file in _FOLDER.iterdir())
    if kind == "lua"
}

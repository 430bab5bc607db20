"""The Lua scripts.

A script's text is its first line (`#!lua` and its flags), the library part `base`, the parts that
its head names, and the rest of its file. The parts are in the order of the head, but each part
comes after the parts that it needs. Nothing is formatted into the text. The text's SHA-1 names the
script on the server, so nodes with different versions of poolq never share a script.
"""

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

_FOLDER = files(__package__) / "lua"
_PARTS, _NEEDS = re.compile(rb"-- Parts: ([^.]*)\."), re.compile(rb"\(needs ([^)]*)\)")


@cache
def _part(name: str) -> bytes:
    return (_FOLDER / "lib" / f"{name}.lua").read_bytes()


def _add_parts(parts: dict[str, bytes], pattern: re.Pattern[bytes], text: bytes) -> None:
    """Add the parts that this text names, and those that they need."""
    named = pattern.search(text)
    for name in re.findall(r"\w+", named[1].decode()) if named else ():
        if name not in parts:
            _add_parts(parts, _NEEDS, _part(name))
            parts[name] = _part(name)


class Script:
    """`text` is sent only if the server does not know `sha`."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str) -> None:
        shebang, _, rest = (_FOLDER / f"{name}.lua").read_bytes().partition(b"\n")
        parts = {"base": _part("base")}
        _add_parts(parts, _PARTS, rest)
        self.name = name
        self.text = b"\n".join([shebang, *parts.values(), rest])
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest().encode()


#: By name: one for each file in the folder.
SCRIPTS: Final = {
    name: Script(name)
    for name, dot, kind in (file.name.partition(".") for file in _FOLDER.iterdir())
    if kind == "lua"
}

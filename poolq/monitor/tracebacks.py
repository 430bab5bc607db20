"""Shortens a traceback to the user's own frames (pure).

A run of frames of poolq, of installed packages or of Python becomes one line, such as
`… 5 frames of requests and urllib3`. Frames are recognised by their paths, because the traceback
may come from another host.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_FRAME = re.compile(r'([\s|]*)File "(.+)", line (\d+)(?:, in (.*))?$')
_REPEATED = re.compile(r"[\s|]*\[Previous line repeated (\d+) more times?\]")
_OWN = re.compile(r"/poolq/(?:worker|jobs|engines|scoreboard|log|system|template)/\w+\.py$")
_PACKAGE = re.compile(r"/(?:site|dist)-packages/([^/]+?)(?:\.py)?(?:/|$)")
_PYTHON = re.compile(r"^<frozen |/python3(?:\.\d+)?t?/")
MAX_NAMES = 2  # packages named in a folded line


class _Frame(NamedTuple):
    """A frame and its lines. `package`: to whom its code belongs, "" if it is the user's.
    `times`: how many frames it stands for, as Python shows repeated ones only once."""

    indent: str
    path: str
    line: str
    function: str
    package: str
    lines: list[str]
    times: int


def package_of(path: str) -> str:
    """Return to whom a source file belongs: a package, poolq or Python; "" if it is the user's."""
    if _OWN.search(path):
        return "poolq"
    found = _PACKAGE.search(path)
    if found:
        return found[1]
    return "Python" if _PYTHON.search(path) else ""


def fold(traceback: str) -> str:
    """Return the traceback with only the user's frames, and one line for each run of others."""
    shown: list[str] = []
    run: list[_Frame] = []
    for part in _parts(traceback):
        if isinstance(part, _Frame) and part.package:
            run.append(part)
            continue
        if run:
            shown.append(_folded(run))
            run = []
        shown += part.lines if isinstance(part, _Frame) else [part]
    if run:
        shown.append(_folded(run))
    return "\n".join(shown)


def location(traceback: str) -> str:
    """Return where the error was raised in the user's code, such as `/srv/shop/jobs.py:42 in
    charge`, or "" if there is no frame. If no frame is the user's, the last frame counts."""
    frames = [part for part in _parts(traceback) if isinstance(part, _Frame)]
    own = [frame for frame in frames if not frame.package] or frames
    if not own:
        return ""
    last = own[-1]
    return f"{last.path}:{last.line}" + (f" in {last.function}" if last.function else "")


def _parts(traceback: str) -> Iterable[_Frame | str]:
    """Split into frames and other lines, such as the error and the title of a chained one."""
    frame: _Frame | None = None
    for line in traceback.rstrip().split("\n"):
        found = _FRAME.match(line)
        repeated = _REPEATED.match(line)
        if found is None and frame is not None and _belongs(line, frame):
            frame.lines.append(line)
            if repeated:
                frame = frame._replace(times=frame.times + int(repeated[1]))
            continue
        if frame is not None:
            yield frame
            frame = None
        if found is None:
            yield line
        else:
            indent, path, number, function = found.groups()
            package = package_of(path)
            frame = _Frame(indent, path, number, function or "", package, [line], 1)
    if frame is not None:
        yield frame


def _belongs(line: str, frame: _Frame) -> bool:
    """Return whether a line is the source of a frame. It is indented further than the frame."""
    return (
        line.startswith(frame.indent) and line[len(frame.indent) : len(frame.indent) + 1] in " [\t"
    )


def _folded(run: list[_Frame]) -> str:
    names = list(dict.fromkeys(frame.package for frame in run))
    count = sum(frame.times for frame in run)
    text = " and ".join(names)
    if len(names) > MAX_NAMES:
        text = f"{', '.join(names[:MAX_NAMES])} and others"
    return f"{run[0].indent}… {count} frame{'s' * (count != 1)} of {text}"

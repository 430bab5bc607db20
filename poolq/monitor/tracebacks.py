"""Shortens a traceback to the user's own frames (pure).

A run of frames of poolq, of installed packages or of Python becomes one line, such as
`… 5 frames of requests and urllib3`. Frames are recognised by their paths, because the traceback
may come from another host.
"""

import re

#: A frame, and the lines that are indented further, such as its source.
_FRAME = re.compile(
    r'^(?P<indent>[ \t|]*)File "(?P<path>.+)", line (?P<line>\d+)(?:, in (?P<function>.*))?\n'
    r"(?:(?P=indent)(?:[ \t\[].*)?\n)*",
    re.MULTILINE,
)
_REPEATED = re.compile(r"\[Previous line repeated (\d+) more times?\]")
#: Lines that replace frames of others while a traceback is folded: their number and package.
_OTHERS = re.compile(r"(?:^[ \t|]*\0\d+ .*\n)+", re.MULTILINE)
_OTHER = re.compile(r"\0(\d+) (.*)\n")
_OWN = re.compile(r"/poolq/(?:worker|jobs|engines|scoreboard|log|system|template)/\w+\.py$")
_PACKAGE = re.compile(r"/(?:site|dist)-packages/([^/]+?)(?:\.py)?(?:/|$)")
_PYTHON = re.compile(r"^<frozen |/python3(?:\.\d+)?t?/")
MAX_NAMES = 2  # packages named in a folded line


def package_of(path: str) -> str:
    """Return the owner of a source file: a package, poolq or Python; "" if it is the user's."""
    if _OWN.search(path):
        return "poolq"
    package = _PACKAGE.search(path)
    if package:
        return package[1]
    return "Python" if _PYTHON.search(path) else ""


def fold(traceback: str) -> str:
    """Return the traceback with only the user's frames, and one line for each run of others."""
    marked = _FRAME.sub(_marked, f"{traceback.rstrip()}\n")
    return _OTHERS.sub(_folded, marked).removesuffix("\n")


def location(traceback: str) -> str:
    """Return where the error was raised in the user's code, such as `/srv/shop/jobs.py:42 in
    charge`, or "" if there is no frame. If no frame is the user's, the last frame counts."""
    frames = list(_FRAME.finditer(f"{traceback}\n"))
    user_frames = [frame for frame in frames if not package_of(frame["path"])] or frames
    if not user_frames:
        return ""
    last = user_frames[-1]
    return f"{last['path']}:{last['line']}" + (
        f" in {last['function']}" if last["function"] else ""
    )


def _marked(frame: re.Match[str]) -> str:
    package = package_of(frame["path"])
    if not package:
        return frame[0]
    times = 1 + sum(map(int, _REPEATED.findall(frame[0])))  # plus the repeats that Python counts
    return f"{frame['indent']}\0{times} {package}\n"


def _folded(run: re.Match[str]) -> str:
    folded = _OTHER.findall(run[0])
    names = list(dict.fromkeys(package for _, package in folded))
    count = sum(int(times) for times, _ in folded)
    text = " and ".join(names)
    if len(names) > MAX_NAMES:
        text = f"{', '.join(names[:MAX_NAMES])} and others"
    indent = run[0].partition("\0")[0]
    return f"{indent}… {count} frame{'s' * (count != 1)} of {text}\n"

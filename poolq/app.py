"""Loading the application: its job modules are imported, the jobs they define are listed.

Whatever goes wrong in the user's code becomes an AppError of one line with file and line; the
original error is its `__cause__`. When and how often to load is the worker's business.
"""

import gc
import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from poolq.checks import check_class
from poolq.errors import AppError, OptionError
from poolq.jobs import Job, full_name, is_job
from poolq.trust import distrust

POOLQ = Path(__file__).parent
LONGEST_TEXT = 300  # characters of somebody else's error in ours
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Registry:
    """The jobs by name: what a message can mean."""

    def __init__(self, jobs: Mapping[str, type[Job]]) -> None:
        self._jobs = dict(jobs)
        self.get = self._jobs.get

    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._jobs)

    def jobs(self) -> list[type[Job]]:
        """In the order of their names."""
        return [self._jobs[name] for name in self.names()]


def load(modules: Sequence[str], folder: Path) -> Registry:
    """Import the modules and list the jobs there are then. Raises AppError."""
    import_all(modules, folder)
    return _registry()


def import_all(modules: Sequence[str], folder: Path) -> None:
    """Import the modules, packages with all their submodules.

    `folder` is put first on `sys.path`, unless others may write to it. Raises AppError.
    """
    path = str(folder)
    if sys.path[:1] != [path] and not distrust(folder, current=True):
        sys.path.insert(0, path)
    importlib.invalidate_caches()
    for name in modules:
        _check_name(name, folder)
        _import_tree(name, folder)


def known() -> Registry:
    """The jobs whose classes this process has now; of equal names the newest counts."""
    return Registry({full_name(cls): cls for cls in _jobs()})


def _jobs() -> Iterator[type[Job]]:
    """Older ones first, those of a run script left out."""
    seen = set()
    rest = [Job]
    while rest:
        for cls in rest.pop().__subclasses__():
            if cls not in seen:
                seen.add(cls)
                rest.append(cls)
                if is_job(cls) and not full_name(cls).startswith("__main__:"):
                    yield cls


def _registry() -> Registry:
    gc.collect()  # a class that was replaced while its module was imported is still listed
    jobs: dict[str, type[Job]] = {}
    for cls in _jobs():
        name = full_name(cls)
        other = jobs.setdefault(name, cls)
        if other is not cls:
            raise AppError(
                f"two jobs have the name {name!r}: {other.__qualname__} of {other.__module__} and "
                f"{cls.__qualname__} of {cls.__module__}; give one of them another name"
            )
        _check_again(cls)
    return Registry(jobs)


def _check_again(cls: type[Job]) -> None:
    """A decorator may have given the class a constructor since it was made."""
    try:
        check_class(cls, full_name(cls))
    except OptionError as error:
        raise AppError(str(error)) from error


def _check_name(name: str, folder: Path) -> None:
    if name.endswith(".py"):
        module = name.removesuffix(".py").strip("./").replace("/", ".")
        raise AppError(f"{name!r} is a file; name its module: --app {module}")
    if not _MODULE.fullmatch(name):
        raise AppError(f"{name!r} is no module name; write --app myapp.jobs")
    top = name.partition(".")[0]
    mine, loaded = PathFinder.find_spec(top, [str(folder)]), sys.modules.get(top)
    if mine is None or loaded is None or mine.origin is None:
        return
    there = getattr(loaded, "__file__", None) or "the interpreter"
    if Path(there).resolve() != Path(mine.origin).resolve():
        raise AppError(
            f"module {top!r} in {folder} cannot be loaded: another one of that name is in use "
            f"already ({there}); rename it"
        )


def _import_tree(name: str, folder: Path) -> None:
    module = _import(name, folder)
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if found.name != "__main__":  # a script: importing it would run it
            _import_tree(f"{name}.{found.name}", folder)


def _import(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too, would end the worker in its boot
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            text = _missing(name, folder)
        else:
            text = f"module {name!r} cannot be loaded: {_worded(error, folder)}"
        raise AppError(text) from error


def _missing(name: str, folder: Path) -> str:
    why = distrust(folder, current=True)
    if why and PathFinder.find_spec(name.partition(".")[0], [str(folder)]):
        return f"module {name!r} in {folder} is not loaded: {why}"
    advice = "name the module with --app"
    if name == "jobs":
        advice = f"write jobs.py (poolq make job NAME), or {advice}"
    return f"no module {name!r} in {folder}: {advice}"


def _worded(error: BaseException, folder: Path) -> str:
    """`file:line: Kind: text` on one line."""
    if isinstance(error, SyntaxError) and error.filename:
        place, text = f"{_shown(error.filename, folder)}:{error.lineno}", error.msg
    else:
        place, text = _place(error, folder), str(error)
    text = " ".join(text.split())
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}…"
    return f"{place}: {type(error).__name__}: {text}".removesuffix(": ")


def _place(error: BaseException, folder: Path) -> str:
    """The innermost line of the application, or of whatever raised it without one."""
    frames = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [at for at in frames if _shown(at[0], folder) != at[0]]
    file, line = (own or frames)[-1]
    return f"{_shown(file, folder)}:{line}"


def _shown(file: str, folder: Path) -> str:
    """Relative to the folder if the file is the application's own."""
    path = Path(file)
    if "site-packages" in path.parts or path.is_relative_to(POOLQ):
        return file
    if not path.is_relative_to(folder):
        return file
    return str(path.relative_to(folder))

"""The registry of jobs: imports the application's modules and lists what they define.

Any error in the user's code becomes an AppError. Its message is one line with file and line number,
and its `__cause__` is the original error. The worker decides when and how often to load.
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
from types import MappingProxyType, ModuleType

from poolq.config.trusted_folders import Untrusted, guard, reason_for_distrust
from poolq.errors import AppError, OptionError, PoolqError
from poolq.jobs.class_checks import check_class
from poolq.jobs.job import Job, full_name, is_job

POOLQ_FOLDER = Path(__file__).parents[1]
MAX_ERROR_LENGTH = 300  # characters of the original error's text in an AppError
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Registry:
    """The jobs that a message can refer to, by name. `schedules`: the encoded specs of the declared
    schedules, by name."""

    def __init__(
        self, jobs: Mapping[str, type[Job]], schedules: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        self.schedules = schedules
        self._jobs = dict(jobs)
        self.get = self._jobs.get

    def names(self) -> list[str]:
        return sorted(self._jobs)

    def jobs(self) -> list[type[Job]]:
        """Return all classes, in the order of their names."""
        return [self._jobs[name] for name in self.names()]


def load(modules: Sequence[str], folder: Path) -> Registry:
    """Import the modules, then list all jobs that are defined. Raises AppError."""
    import_all(modules, folder)
    gc.collect()  # otherwise, a class that its module has replaced might still be listed
    jobs: dict[str, type[Job]] = {}
    for cls in _jobs():
        name = full_name(cls)
        other = jobs.setdefault(name, cls)
        if other is not cls:
            raise AppError(
                f"two jobs have the name {name!r}: {other.__qualname__} of {other.__module__} and "
                f"{cls.__qualname__} of {cls.__module__}; give one of them another name"
            )
        try:
            check_class(cls, name)  # again: a decorator may have added a constructor to the class
        except OptionError as error:
            raise AppError(str(error)) from error
    try:
        return Registry(jobs, _schedules())
    except PoolqError as error:
        raise AppError(str(error)) from error


def import_all(modules: Sequence[str], folder: Path) -> None:
    """Import the modules, and all submodules of packages. `folder` becomes the first entry of
    `sys.path`, unless other users can write to it. If they can change a module in it, this module
    is not imported. Raises AppError."""
    path = str(folder)
    guard(folder)
    if sys.path[:1] != [path] and not reason_for_distrust(folder, current=True):
        sys.path.insert(0, path)
    importlib.invalidate_caches()
    for name in modules:
        _check_name(name, folder)
        _import_tree(name, folder)


def known() -> Registry:
    """Return the jobs that this process has defined. Of two with the same name, keep the newer."""
    return Registry({full_name(cls): cls for cls in _jobs()})


def _jobs() -> Iterator[type[Job]]:
    """Yield all job classes, older ones first, without those of the script being run."""
    seen = set()
    rest = [Job]
    while rest:
        for cls in rest.pop().__subclasses__():
            if cls not in seen:
                seen.add(cls)
                rest.append(cls)
                if is_job(cls) and not full_name(cls).startswith("__main__:"):
                    yield cls


def _schedules() -> Mapping[str, bytes]:
    periodic = sys.modules.get("poolq.jobs.periodic")  # None: nobody has declared a schedule
    return periodic.collect() if periodic else {}


def _check_name(name: str, folder: Path) -> None:
    if name.endswith(".py"):
        module = name.removesuffix(".py").strip("./").replace("/", ".")
        raise AppError(f"{name!r} is a file; name its module: --app {module}")
    if not _MODULE.fullmatch(name):
        raise AppError(f"{name!r} is not a module name; write --app myapp.jobs")
    _check_twice(name, folder)
    top = name.partition(".")[0]
    mine, loaded = PathFinder.find_spec(top, [str(folder)]), sys.modules.get(top)
    if mine is None or loaded is None or mine.origin is None:
        return
    there = getattr(loaded, "__file__", None) or "the interpreter"
    if Path(there).resolve() != Path(mine.origin).resolve():
        raise AppError(
            f"module {top!r} in {folder} cannot be loaded: another module of that name is "
            f"already loaded ({there}); rename it"
        )


def _check_twice(name: str, folder: Path) -> None:
    """Reject a module that is a file and a folder, as Python would load only one of them."""
    place = folder.joinpath(*name.split("."))
    file = place.with_name(f"{place.name}.py")
    if file.is_file() and place.is_dir() and any(place.glob("*.py")):
        raise AppError(
            f"module {name!r} is both {file} and the folder {place}, of which Python loads only "
            "one: move the jobs of one into the other"
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
    except BaseException as error:  # even SystemExit, which would end the worker
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            text = _missing(name, folder)
        elif isinstance(error, Untrusted):
            text = f"module {error.name!r} is not loaded: {error}"
        else:
            text = f"module {name!r} cannot be loaded: {_describe(error, folder)}"
        raise AppError(text) from error


def _missing(name: str, folder: Path) -> str:
    why = reason_for_distrust(folder, current=True)
    if why and PathFinder.find_spec(name.partition(".")[0], [str(folder)]):
        return f"module {name!r} in {folder} is not loaded: {why}"
    advice = "name another one with --app"
    if name == "jobs":
        advice = "write jobs.py (poolq make job NAME), or name the module with --app"
        if (folder / "manage.py").exists():
            advice += "; for Django's tasks, python manage.py poolq"
    return f"no module {name!r} in {folder}: {advice}"


def _describe(error: BaseException, folder: Path) -> str:
    """Return the error as `file:line: Kind: text`, on one line."""
    if isinstance(error, SyntaxError) and error.filename:
        place, text = f"{_shown_path(error.filename, folder)}:{error.lineno}", error.msg
    else:
        place, text = _error_place(error, folder), str(error)
    text = " ".join(text.split())
    if len(text) > MAX_ERROR_LENGTH:
        text = f"{text[:MAX_ERROR_LENGTH]}…"
    return f"{place}: {type(error).__name__}: {text}".removesuffix(": ")


def _error_place(error: BaseException, folder: Path) -> str:
    """Return the innermost line in the application, or else the line that raised the error."""
    frames = [(at.f_code.co_filename, line) for at, line in traceback.walk_tb(error.__traceback__)]
    own = [one for one in frames if _shown_path(one[0], folder) != one[0]]
    file, line = (own or frames)[-1]
    return f"{_shown_path(file, folder)}:{line}"


def _shown_path(file: str, folder: Path) -> str:
    """Return the file's path, relative to the folder if it is part of the application."""
    path = Path(file)
    if "site-packages" in path.parts or path.is_relative_to(POOLQ_FOLDER):
        return file
    if not path.is_relative_to(folder):
        return file
    return str(path.relative_to(folder))

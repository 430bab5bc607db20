"""Loading applications, each in a process of its own, as workers do."""

import atexit
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

LOAD = """
import json, os, sys
from pathlib import Path
from poolq.jobs.registry import load
from poolq.errors import AppError

def answer(folder, modules):
    try:
        registry = load(modules, Path(folder))
    except AppError as error:
        cause = error.__cause__
        return {"error": str(error), "cause": cause and type(cause).__name__}
    jobs = [[job.__module__, job.__qualname__] for job in registry.jobs()]
    assert [registry.get(name) for name in registry.names()] == registry.jobs()
    assert registry.get("no:such") is None
    return {"names": registry.names(), "jobs": jobs, "path": sys.path[0]}

for line in sys.stdin:
    folder, modules, before = json.loads(line)
    if os.fork() == 0:
        exec(before)
        print(json.dumps(answer(folder, modules)), flush=True)
        os._exit(0)
    os.wait()
"""

JOB = "from poolq import Job\nclass {name}(Job):\n    def run(self): ...\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@cache
def loader() -> subprocess.Popen[str]:
    """A Python that forks for each request: a fork costs milliseconds, a start 150 ms."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD],
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    atexit.register(process.communicate)
    return process


def load(folder: Path, *modules: str, before: str = "") -> dict[str, Any]:
    asked, answers = loader().stdin, loader().stdout
    assert asked
    assert answers
    print(json.dumps([str(folder), modules or ["jobs"], before]), file=asked, flush=True)
    found: dict[str, Any] = json.loads(answers.readline())
    return found


def refused(folder: Path, *modules: str, before: str = "") -> str:
    """The error's text, which is one line."""
    error: str = load(folder, *modules, before=before)["error"]
    assert len(error.splitlines()) == 1
    return error


def test_a_module_of_the_folder(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "jobs.py": "import poolq\nfrom helper import Base\n"
            "class SendMail(Base):\n    def run(self): ...\n"
            "class Named(SendMail):\n    name = 'named'\n"
            "@poolq.job\ndef resize(path: str) -> None: ...\n",
            "helper.py": "from poolq import Job\nclass Base(Job):\n    queue = 'emails'\n",
        },
    )
    found = load(tmp_path)
    assert found["names"] == ["jobs:SendMail", "jobs:resize", "named"]
    assert found["jobs"] == [["jobs", "SendMail"], ["jobs", "resize"], ["jobs", "Named"]]
    assert found["path"] == str(tmp_path)


@pytest.mark.parametrize(
    ("files", "modules", "names"),
    [
        # a package, with all its submodules
        ({"jobs/__init__.py": "", "jobs/mail.py": JOB.format(name="Mail"),
          "jobs/deep/__init__.py": JOB.format(name="Deep"),
          "jobs/deep/er.py": "from jobs.mail import Mail\n" + JOB.format(name="Deeper"),
          "jobs/__main__.py": "raise SystemExit('a script is not imported')\n"},
         ["jobs"], ["jobs.deep.er:Deeper", "jobs.deep:Deep", "jobs.mail:Mail"]),
        # a package without __init__
        ({"jobs/send_mail.py": JOB.format(name="SendMail")}, ["jobs"], ["jobs.send_mail:SendMail"]),
        # several modules
        ({"shop/__init__.py": "", "shop/jobs.py": JOB.format(name="A"),
          "shop/other.py": JOB.format(name="NotLoaded"), "other.py": JOB.format(name="B")},
         ["shop.jobs", "other"], ["other:B", "shop.jobs:A"]),
        # a class that was replaced
        ({"jobs.py": JOB.format(name="A") + JOB.format(name="A")}, ["jobs"], ["jobs:A"]),
    ],
)  # fmt: skip
def test_the_jobs_that_are_found(
    tmp_path: Path, files: dict[str, str], modules: list[str], names: list[str]
) -> None:
    write(tmp_path, files)
    assert load(tmp_path, *modules)["names"] == names


def test_the_folder_comes_before_what_is_installed(tmp_path: Path) -> None:
    write(tmp_path / "installed", {"jobs.py": JOB.format(name="Wrong")})
    write(tmp_path / "app", {"jobs.py": JOB.format(name="Right")})
    before = f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n"
    assert load(tmp_path / "app", before=before)["names"] == ["jobs:Right"]


def test_what_is_no_job_is_not_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "jobs.py": "import abc\nfrom poolq import Job\n"
            "class Base(Job): ...\n"
            "class Abstract(Job, abc.ABC):\n"
            "    def run(self): ...\n"
            "    @abc.abstractmethod\n"
            "    def what(self): ...\n"
        },
    )
    before = "import poolq\nclass Script(poolq.Job):\n    def run(self): ...\n"
    assert load(tmp_path, before=before)["names"] == []


# What cannot be loaded


def test_no_module(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        f"no module 'jobs' in {tmp_path}: write jobs.py (poolq make job NAME), "
        "or name the module with --app"
    )
    assert refused(tmp_path, "shop.jobs") == (
        f"no module 'shop.jobs' in {tmp_path}: name another one with --app"
    )
    write(tmp_path, {"shop/__init__.py": ""})
    assert refused(tmp_path, "shop.jobs").startswith(f"no module 'shop.jobs' in {tmp_path}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs.py", "'jobs.py' is a file; name its module: --app jobs"),
        ("./shop/jobs.py", "'./shop/jobs.py' is a file; name its module: --app shop.jobs"),
        ("my-jobs", "'my-jobs' is not a module name; write --app myapp.jobs"),
        ("", "'' is not a module name; write --app myapp.jobs"),
        (".jobs", "'.jobs' is not a module name; write --app myapp.jobs"),
        ("jobs:SendMail", "'jobs:SendMail' is not a module name; write --app myapp.jobs"),
    ],
)
def test_no_module_name(tmp_path: Path, name: str, text: str) -> None:
    assert refused(tmp_path, name) == text


CANNOT = "module 'jobs' cannot be loaded: "


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = 1\ndef f(:\n", "jobs.py:2: SyntaxError: invalid syntax"),
        ("if 1:\nx\n", "jobs.py:2: IndentationError: expected an"),
        ("\n\nimport requsts_\n", "jobs.py:3: ModuleNotFoundError: No module named 'requsts_'"),
        ("from json import lods\n", "jobs.py:1: ImportError: cannot import name 'lods' "),
        ("[][0]\n", "jobs.py:1: IndexError: list index out of range"),
        ("import json\njson.loads('{')\n", "jobs.py:2: JSONDecodeError: Expecting"),
        ("raise ValueError\n", "jobs.py:1: ValueError"),
        ("raise ValueError('two\\nlines')\n", "jobs.py:1: ValueError: two lines"),
        ("import sys\nsys.exit('bye')\n", "jobs.py:2: SystemExit: bye"),
        ("raise BaseException('x' * 999)\n", "jobs.py:1: BaseException: " + "x" * 300 + "…"),
        ("import helper\n", "helper.py:2: RuntimeError: deep"),
        ("import bad\n", "bad.py:1: SyntaxError: invalid syntax"),
        ("from poolq import Job\nclass A(Job):\n    attempts = 0\n",
         "jobs.py:2: OptionError: job jobs:A: attempts is 0; it must be a whole number"),
        ("import poolq\n@poolq.job(quue='x')\ndef f() -> None: ...\n",
         "jobs.py:2: OptionError: job jobs:f: unknown option quue; did you mean queue?"),
        ("x = '\x00'\n", ""),
    ],
)  # fmt: skip
def test_an_error_in_the_application(tmp_path: Path, source: str, text: str) -> None:
    files = {"helper.py": "\nraise RuntimeError('deep')\n", "bad.py": "def f(:\n"}
    write(tmp_path, {"jobs.py": source, **files})
    found = load(tmp_path)
    assert found["error"].startswith(CANNOT + text)
    assert len(found["error"].splitlines()) == 1
    assert f": {found['cause']}" in found["error"]


def test_an_error_in_a_submodule_names_it(tmp_path: Path) -> None:
    write(tmp_path, {"jobs/__init__.py": "", "jobs/a.py": "", "jobs/b.py": "\n[][0]\n"})
    assert refused(tmp_path) == (
        "module 'jobs.b' cannot be loaded: jobs/b.py:2: IndexError: list index out of range"
    )


def test_two_jobs_of_one_name(tmp_path: Path) -> None:
    named = "from poolq import Job\nclass {}(Job):\n    name = 'mail'\n    def run(self): ...\n"
    write(
        tmp_path,
        {"jobs/__init__.py": "", "jobs/a.py": named.format("A"), "jobs/b.py": named.format("B")},
    )
    assert refused(tmp_path) == (
        "two jobs have the name 'mail': A of jobs.a and B of jobs.b; give one of them another name"
    )


@pytest.mark.parametrize("inside", ["__init__.py", "mail.py", "data.csv"])
def test_a_module_that_is_a_file_and_a_folder(tmp_path: Path, inside: str) -> None:
    write(tmp_path, {"jobs.py": JOB.format(name="A"), f"jobs/{inside}": ""})
    if inside == "data.csv":
        assert load(tmp_path)["names"] == ["jobs:A"]
        return
    assert refused(tmp_path) == (
        f"module 'jobs' is both {tmp_path}/jobs.py and the folder {tmp_path}/jobs, of which Python "
        "loads only one: move the jobs of one into the other"
    )


def test_a_name_that_is_in_use_already(tmp_path: Path) -> None:
    write(tmp_path, {"json.py": JOB.format(name="A")})
    error = refused(tmp_path, "json")
    assert error.startswith(
        f"module 'json' in {tmp_path} cannot be loaded: another module of that name is already"
    )
    assert error.endswith("rename it")


def test_a_decorator_that_gives_the_class_a_constructor(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "jobs.py": "import dataclasses\nfrom poolq import Job\n"
            "@dataclasses.dataclass\nclass A(Job):\n    to: str\n    def run(self): ...\n"
        },
    )
    assert refused(tmp_path) == (
        "job jobs:A: __init__ needs to; a job is created without arguments; "
        "its data comes in the payload"
    )

"""`poolq make` writes the skeleton of a job; `unit.py` writes service files."""

import keyword
import re
from pathlib import Path

import click

from poolq.cli.group import Group
from poolq.cli.options import print_line, with_settings
from poolq.cli.project.unit import unit
from poolq.config import Config
from poolq.errors import Refused

TEMPLATE = '''\
"""{name}, a background job."""

from poolq import Job


class {name}(Job):
    """Describe the job. It may run twice, for example after a crash, so make that harmless."""

    # queue = "default"
    # delay = "+30 seconds"               # starts this long after the dispatch
    # attempts = 3                        # default: 1
    # retry_after = ["1s", "10s", "1m"]   # the last delay repeats

    def run(self) -> None:
        print(self.payload)

    # def rate_limit(self):               # None: no limit
    #     return {{"limit": 10, "seconds": 1}}

    # def on_success(self): ...           # after the job is done
    # def on_failure(self): ...           # after it has failed; self.error says why
'''
PACKAGE = '"""The background jobs of this application."""\n'


@click.group(cls=Group)
def make() -> None:
    """Write a skeleton or a service file."""


make.add_command(unit)


@make.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@with_settings("app", json=False)
def job(settings: Config, name: str, force: bool) -> None:
    """Write a new job into the jobs package.

    NAME is SendMail or send_mail; the file is jobs/send_mail.py.
    """
    title, module = names(name)
    if settings.app[0].startswith("poolq."):  # that of Django's tasks
        raise Refused(f"write {title} as a task of Django, in the module tasks of one of your apps")
    package = settings.folder.joinpath(*settings.app[0].split("."))
    beside = package.with_name(f"{package.name}.py")
    if beside.exists():
        raise Refused(
            f"{_shown(beside)} is a module, so there can be no package {settings.app[0]} beside it;"
            f" write {title} there, or move the module to {_shown(package / '__init__.py')}"
        )
    path = package / f"{module}.py"
    if path.exists() and not force:
        raise Refused(f"{_shown(path)} exists already; --force overwrites it")
    try:
        package.mkdir(parents=True, exist_ok=True)
        if not (package / "__init__.py").exists():
            (package / "__init__.py").write_text(PACKAGE, "utf-8")
        path.write_text(TEMPLATE.format(name=title), "utf-8")
    except OSError as error:
        raise Refused(f"{_shown(path)} cannot be written: {error.strerror}") from None
    print_line(_shown(path))
    example = f"from {settings.app[0]}.{module} import {title}; {title}.dispatch({{}})"
    print_line(f"dispatch it: {example}", err=True)


def names(given: str) -> tuple[str, str]:
    """Return the names of class and module: SendMail, send_mail. Raises UsageError."""
    ctx = click.get_current_context(silent=True)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", given, re.ASCII):
        raise click.UsageError(f"{given!r} is not a class name such as SendMail", ctx)
    title = "".join(part[:1].upper() + part[1:] for part in given.split("_"))
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", title)
    module = split.lower()
    if keyword.iskeyword(title) or keyword.iskeyword(module) or title == "Job":
        raise click.UsageError(f"{given!r} is already taken; choose another name", ctx)
    return title, module


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

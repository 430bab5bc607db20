"""What there is, is documented: commands, options, settings, exit codes, signals, and stored forms.

The code is the list; a name that a page lacks fails here, and so does a code or signal that a page
has and the program does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import findall
from signal import Signals

import click
import msgspec
import pytest

import poolq
from poolq import errors
from poolq.cli.main import INTERRUPTED, USAGE
from poolq.cli.main import poolq as root
from poolq.cli.stored import records
from poolq.config import Config, engine_urls, open_engine, settings
from poolq.engines.base import StoredJob
from poolq.engines.mysql.schema import MySQLSchema
from poolq.engines.postgresql.schema import PostgreSQLSchema
from poolq.jobs import limits, message
from poolq.jobs.message import State
from poolq.jobs.options import OPTIONS
from poolq.monitor.prometheus import METRICS
from poolq.scoreboard.pool_status import EXIT_REASONS
from poolq.system import child_signals, stack_dump
from poolq.system import signal_queue as master_signals
from tests.docs.markdown import PAGES, ROOT, read, rows, sections

FLAGS = {setting.option for setting in settings.SETTINGS}


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below
            yield from leaves(below, f"{path} {name}")
    else:
        yield path, command


COMMANDS = dict(leaves(root, "poolq"))


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_a_section_with_its_options(path: str) -> None:
    found = [
        body
        for title, body in sections(read("commands.md")).items()
        if f"`{path}`" in title or f"`{path} " in title
    ]
    assert len(found) == 1
    for option in COMMANDS[path].params:
        if isinstance(option, click.Option) and not set(option.opts) & FLAGS:
            assert any(f"`{name}" in found[0] for name in option.opts), option.opts


def test_run_names_all_its_flags() -> None:
    body = sections(read("commands.md"))["`poolq run`"]
    for setting in settings.SETTINGS:
        assert (f"`{setting.option}`" in body) == setting.flag


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_its_row(setting: settings.Setting) -> None:
    found = [row for row in rows(read("settings.md")) if row[0] == f"`{setting.name}`"]
    assert len(found) == 1
    _, flag, env, default, _ = found[0]
    assert flag == (f"`{setting.option}`" if setting.flag else "")
    assert env == f"`{setting.env}`"
    assert default.strip("`") == setting.shown


def exit_codes() -> set[int]:
    found = {0, USAGE, INTERRUPTED}
    found |= {errors.BOOT_FAILED, errors.CRASH_STORM, errors.KILLED, *errors.CANNOT_START}
    kinds = [errors.PoolqError]
    while kinds:
        kind = kinds.pop()
        found.add(kind.exit_code)
        kinds += kind.__subclasses__()
    return found


def test_exit_codes_are_exactly_those() -> None:
    table = rows(sections(read("commands.md"))["Exit codes"])
    assert {int(row[0]) for row in table[1:]} == exit_codes()


def test_signals_are_exactly_those() -> None:
    text = sections(read("commands.md"))["Signals"]
    master, worker = text.split("To a worker")
    assert _signals(master) - {"SIGKILL"} == set(master_signals.QUEUED_SIGNALS)
    handled = {
        "SIGTERM",
        "SIGQUIT",
        "SIGPIPE",
        "SIGUSR2",
        stack_dump.DUMP_SIGNAL.name,
        *child_signals.IGNORED_SIGNALS,
    }
    assert _signals(worker) - {"SIGKILL"} == handled


def _signals(text: str) -> set[str]:
    names = {name.strip() for row in rows(text) for name in row[0].split(",")}
    return names & {one.name for one in Signals}


def test_the_readme_tells_no_other_codes_and_signals() -> None:
    text = sections((ROOT / "README.md").read_text("utf-8"))["Signals and exit codes"]
    codes = {int(word) for word in text.replace(",", " ").split() if word.isdigit()}
    assert codes - {10} <= exit_codes()  # 10 s
    named = {f"SIG{name}" for row in rows(text)[1:] for name in findall("[A-Z0-9]{3,}", row[0])}
    assert named <= set(master_signals.QUEUED_SIGNALS)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_jobs_option_has_its_row(option: str) -> None:
    assert [row for row in rows(read("reference.md")) if row[0] == f"`{option}`"]


@pytest.mark.parametrize("field", limits.LIMIT_FIELDS)
def test_a_limits_field_is_explained(field: str) -> None:
    assert f"`{field}`" in sections(read("reference.md"))["Rate limits"]


@pytest.mark.parametrize("name", poolq.__all__)
def test_a_public_name_is_written_about(name: str) -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert any(f"{before}{name}" in text for before in ("`", "poolq.", "import "))


@pytest.mark.parametrize("scheme", engine_urls.SCHEMES)
def test_an_engine_and_its_options_are_named(scheme: str) -> None:
    text = read("engines.md")
    assert f"`{scheme}://" in text
    assert all(f"`{word}`" in text for word in engine_urls.SHORTHANDS)
    place = {"sqlite": "/file", "unix": "/socket", "redis+sentinel": "host/service"}
    url = f"{scheme}://{place.get(scheme, 'host')}/0?nonsense=1"
    if scheme in ("sync", "null"):
        return
    with pytest.raises(errors.ConfigError) as refused:
        open_engine(Config(engine=url, folder=ROOT))
    known = str(refused.value).rpartition("; use ")[2]
    assert known
    for option in known.split(", "):
        assert f"`{option}`" in text or f"`{option}=" in text or f"`?{option}=" in text


def test_the_stored_form_is_described() -> None:
    text = read("message.md")
    for kind in (message.Message, message.Entry):
        for field in msgspec.structs.fields(kind):
            assert f"`{field.name}`" in text
    assert {f"`{cause}`" for cause in message.HISTORY_CAUSES} <= {row[0] for row in rows(text)}
    assert {f"`{field}`" for field in State._fields} <= {row[0] for row in rows(text)}


def test_a_job_as_json_is_described() -> None:
    text = sections(read("commands.md"))["A job as JSON"]
    for status in ("ready", "delayed", "parked", "running", "failed"):
        for key in records.job(StoredJob("1", "default", status, 0, b"{}", State())):
            assert f"`{key}`" in text
        assert f"`{status}`" in text


def test_metrics_are_exactly_those() -> None:
    table = rows(sections(read("monitoring.md"))["Metrics"])[1:]
    told = {row[0].strip("`"): row[1:3] for row in table}
    known = {
        f"{name}_total" if kind == "counter" else name: [
            kind,
            ", ".join(f"`{label}`" for label in labels),
        ]
        for name, (kind, labels, _) in METRICS.items()
    }
    assert told == known


def test_causes_of_a_workers_end_are_exactly_those() -> None:
    table = rows(sections(read("monitoring.md"))["Why workers end"])[1:]
    told = {name.strip(" `") for row in table for name in row[0].split(",")}
    assert told == set(EXIT_REASONS)


def test_the_grafana_dashboard_asks_for_all_there_is() -> None:
    text = (ROOT / "contrib" / "grafana" / "poolq.json").read_text("utf-8")
    board = msgspec.json.decode(text)
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    used = set(findall(r"poolq_[a-z_]+", " ".join(asked)))
    ends = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
    there = {f"{name}{ends[kind]}" for name, (kind, *_) in METRICS.items()}
    assert used == there
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_versions_of_tables_are_those_of_the_engines() -> None:
    made = [MySQLSchema.number, PostgreSQLSchema.number]
    assert findall(r"schema version (\d+): tables made", read("engines.md")) == [*map(str, made)]
    assert findall(r"schema version (\d+): tables made", read("django.md")) == [str(made[1])]

"""Rules for all commands."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from poolq.cli.main import poolq

#: Commands without --json, each with the reason.
WITHOUT_JSON = {
    "run": "its output is the log, which has --log-format=json",
    "dev": "its output is the log, which has --log-format=json",
    "log": "its output is the log, which has --log-format=json",
    "health": "the exit code is the answer",
    "db sql": "its output is SQL",
    "make job": "it writes a file",
    "make unit": "its output is a file",
}


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    for name in command.list_commands(click.Context(command)):
        below = command.get_command(click.Context(command), name)
        assert below
        yield from leaves(below, (*path, name))


COMMANDS = dict(leaves(poolq, ()))


@pytest.mark.parametrize("path", COMMANDS)
def test_prints_json(path: str) -> None:
    options = [name for one in COMMANDS[path].params for name in one.opts]
    assert ("--json" in options) != (path in WITHOUT_JSON)


def test_every_reason_is_of_a_command() -> None:
    assert set(WITHOUT_JSON) <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_an_option_has_a_help_that_ends_with_a_full_stop(path: str) -> None:
    for option in COMMANDS[path].params:
        if isinstance(option, click.Option):
            assert option.help
            assert option.help.endswith("."), option.opts


FILTERS = {"--queue", "--job", "--error", "--since", "--older-than"}
CHANGES = {"--all", "--dry-run", "--yes"}


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("job ls", {"--state", "--limit-key", "--limit"}),
        ("job cancel", {"--state", "--limit-key", "--running", "--grace", *CHANGES}),
        ("job move", {"--state", "--limit-key", "--to", *CHANGES}),
        ("failed ls", {"--limit"}),
        ("failed retry", {"--all", "--dry-run", "--attempts", "--fresh-options"}),
        ("failed forget", CHANGES),
    ],
)
def test_jobs_are_selected_by_the_same_options(path: str, others: set[str]) -> None:
    options = {name for one in COMMANDS[path].params for name in one.opts}
    others |= {"ids"} if "--all" in others else set()
    assert options - {"--engine", "--namespace", "--app", "--json"} == FILTERS | others

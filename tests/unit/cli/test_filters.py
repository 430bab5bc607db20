"""What the options that select jobs mean."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

from poolq.acts.filters import Filters
from poolq.cli.stored import filters
from poolq.engines.search import JobFilter

NOW = round(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()) * 1_000_000
HOUR = 3_600_000_000


def test_ages_count_from_the_engines_clock() -> None:
    given = Filters("a", "jobs:Mail", "failed", "boom", "2h", "1h", "api")
    assert given.at(NOW) == JobFilter(
        queue="a", job="jobs:Mail", status="failed", error="boom", since=NOW - 2 * HOUR,
        until=NOW - HOUR, limit="api",
    )  # fmt: skip
    assert Filters().at(NOW) == JobFilter()
    assert Filters(since="2026-11-25T11:00:00Z").at(NOW).since == NOW - HOUR


@click.command()
@filters.selection_options("ready", "failed")
def change(chosen: filters.Selection) -> None:
    click.echo(repr(tuple(chosen)))


@click.command()
@filters.selection_options("failed")
def retry(chosen: filters.Selection) -> None:
    click.echo(repr(tuple(chosen.filters)))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("", "give either job ids, or options"),
        ("--all 0192f0c0", "give either job ids, or options"),
        ("--queue=a 0192f0c0", "give either job ids, or options"),
        ("--state=running", "'running' is not one of 'ready', 'failed'"),
        ("--since=soon", "--since is 'soon'; write how long ago, such as '2h'"),
        ("--since=25:00", "--since is '25:00'"),
        ("--older-than=tomorrow", "--older-than is 'tomorrow'"),
        ("--error=", "--error is ''; give it a text"),
    ],
)
def test_refused(args: str, said: str) -> None:
    found = CliRunner().invoke(change, args.split(" ") if args else [])
    assert found.exit_code == 2
    assert said in found.output


def test_read() -> None:
    found = CliRunner().invoke(change, ["--older-than=0s", "--dry-run"])
    assert found.output == f"{((), Filters(older_than='0s'), True, False)!r}\n"
    found = CliRunner().invoke(change, ["--all", "--yes"])
    assert found.output == f"{((), Filters(), False, True)!r}\n"
    found = CliRunner().invoke(change, ["0192f0c0"])
    assert found.output == f"{(('0192f0c0',), Filters(), False, False)!r}\n"


def test_failed_jobs_have_one_state_and_wait_for_no_limit() -> None:
    for option in ("--state=failed", "--limit-key=a"):
        assert "No such option" in CliRunner().invoke(retry, [option]).output
    found = CliRunner().invoke(retry, ["--queue=a", "--job=j", "--error=e", "--since=1h"])
    assert found.output == f"{('a', 'j', None, 'e', '1h', None, None)!r}\n"

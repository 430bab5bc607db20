"""Where and with what a run was made: the page's first and last words."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.catalog import ALL, NAMES, Contender
from benchmarks.environments import ROOT, CannotInstall, versions
from benchmarks.killed.catalog import PEERS as KILLED
from benchmarks.others import Meanwhile
from benchmarks.tables import table
from benchmarks.work import BYTES

HEAD = """# Benchmarks

Made by `make bench` on {when}, in {minutes:.0f} minutes, with poolq {commit}. On this page,
only the explanations of missed goals are written by hand.{busy}

![A plot of the rates](images/benchmarks.svg)

Every contender has 2 workers on this machine's {cores} cores, which it shares with its server and
the benchmark's own process, the driver. The jobs have a payload of {bytes} bytes and do nothing but
count themselves in shared memory, where the driver sees when all of them are done. The contenders
take turns; each number is the median of {rounds}{scaled}. Compare rows of one table, not numbers of
different machines.

{facts}"""


def facts(bench: Bench) -> list[tuple[str, str]]:
    """Machine and servers."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    found = [
        ("machine", f"{os.cpu_count()} cores, {model}; Linux {platform.release()}"),
        ("Python", platform.python_version()),
    ]
    return found + [(bench.place(name).version(), bench.place(name).settings) for name in NAMES]


def head(
    facts: list[tuple[str, str]], rounds: int, scale: float, seconds: float, meanwhile: Meanwhile
) -> str:
    busy = " **The machine was busy with other work: only ratios mean anything.**"
    return HEAD.format(
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        minutes=seconds / 60,
        commit=_commit(),
        busy=busy if meanwhile.busy else "",
        cores=os.cpu_count(),
        bytes=BYTES,
        rounds=f"{rounds} rounds" if rounds > 1 else "one round",
        scaled="" if scale == 1 else f", with {scale:g} of the usual number of jobs",
        facts=table(("", ""), [*facts, ("CPU that went elsewhere", f"{meanwhile}")]),
    )


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "of an unknown commit"


def tail(bench: Bench) -> str:
    """Versions and settings of all that took part."""
    return "## Set-ups\n\n" + table(
        ("", "packages", "set-up", "by"), [_set_up(bench, one) for one in _once((*ALL, *KILLED))]
    )


def _once(contenders: Iterable[Contender]) -> list[Contender]:
    return list({one.key: one for one in contenders}.values())


def _set_up(bench: Bench, one: Contender) -> list[str]:
    try:
        found = versions(bench.python(one))
    except CannotInstall:
        found = {}
    names = [package.partition("==")[0].partition("[")[0] for package in one.packages]
    names = names or ["redis", "hiredis", "pymysql", "psycopg", "msgspec"]
    told = ", ".join(f"{name} {found[name]}" for name in names if name in found)
    commands = " & ".join(dict.fromkeys(one.workers)).replace("{bin}/", "")
    page = f"[documentation]({one.docs})" if one.docs else ""
    return [one.key, told, f"{one.setup}: `{commands}`", page]

"""`make bench`: measure everything, and write docs/benchmarks.md and its plot.

A run of a part (`--only`), or one scaled down, writes to .venvs-bench/ unless `--out` names a
folder: the page in docs/ is that of one whole run.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from time import monotonic
from traceback import format_exc

from benchmarks import machine, others
from benchmarks.bench import Bench, CannotRun, say
from benchmarks.environments import FOLDER, ROOT
from benchmarks.plot import svg
from benchmarks.report import Outcome, page, unfitting

SCENARIOS = (
    "drain-redis",
    "drain-delayed",
    "drain-sqlite",
    "drain-mariadb",
    "drain-postgresql",
    "dispatch",
    "within",
    "unique",
    "unique-kills",
    "concurrency",
    "idle",
    "busy",
    "million",
    "growth",
    "queues",
    "turns",
    "idle-workers",
    "many-workers",
    "overload",
    "limit",
    "held-snapshot",
    "bloat",
    "mixed",
    "scoreboard",
    "memory",
    "dashboard",
    "health",
    "reloads",
    "schedules",
    "ticks-kills",
)


def main() -> int:
    """The exit code: 0 when all was run and reported, whatever it says; 1 when a scenario broke."""
    options = _options()
    chosen = [name for name in SCENARIOS if not options.only or name in options.only]
    before, outcomes = others.spent(), list[Outcome]()
    with ExitStack() as stack:
        bench = Bench(stack, options.rounds, options.scale)
        facts = machine.facts(bench)
        for name in chosen:
            say(f"{name}:")
            outcomes += _measured(bench, name)
        seconds, meanwhile = monotonic() - before.at, others.since(before)
        head = machine.head(facts, options.rounds, options.scale, seconds, meanwhile)
        tail = machine.tail(bench)
    whole = chosen == list(SCENARIOS) and options.scale == 1
    out = options.out or (ROOT / "docs" if whole else FOLDER)
    _write(out, head, outcomes, tail)
    if whole:
        _untold(outcomes)
    return 1 if bench.broken else 0


def _measured(bench: Bench, name: str) -> list[Outcome]:
    """A scenario's outcomes; one that breaks is reported as such, and the others go on."""
    scenario = import_module(f"benchmarks.scenarios.{name.replace('-', '_')}")
    try:
        return scenario.measure(bench)  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001  # it is on the page, and the exit code tells
        bench.broken.append(name)
        said = str(error) if isinstance(error, CannotRun) else format_exc().strip()
        text = f"It broke:\n\n```text\n{said}\n```"
        return [Outcome(name, (), (), text=text)]


def _untold(outcomes: list[Outcome]) -> None:
    """Say which reasons are missing, and which files are of no use: it is no error."""
    missing, unused = unfitting([goal for outcome in outcomes for goal in outcome.goals])
    if missing:
        say(f"no reason is written in benchmarks/reasons for: {', '.join(missing)}")
    if unused:
        say(f"reasons that are not shown, as nothing is missed there: {', '.join(unused)}")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the jobs")
    parser.add_argument("--only", type=_names, default=[], metavar="NAMES")
    parser.add_argument("--out", type=Path, help="the folder to write to")
    options = parser.parse_args()
    unknown = set(options.only) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return options


def _write(out: Path, head: str, outcomes: list[Outcome], tail: str) -> None:
    (out / "images").mkdir(parents=True, exist_ok=True)
    charts = [outcome.chart for outcome in outcomes if outcome.chart]
    (out / "images" / "benchmarks.svg").write_text(svg(charts), "utf-8")
    text = page(head, outcomes, tail)
    (out / "benchmarks.md").write_text(text, "utf-8")
    sys.stdout.write(text)
    say(f"written to {out / 'benchmarks.md'}")


if __name__ == "__main__":
    sys.exit(main())

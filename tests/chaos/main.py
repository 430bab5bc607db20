"""`make chaos`: run on these engines, and write the numbers into docs; exits with 1 on a violation.

python -m tests.chaos.main --seconds 180 --seed 7 --engines redis,sqlite
"""

from __future__ import annotations

import argparse
import secrets
import sys
import traceback
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tests.chaos.brokers import BROKERS
from tests.chaos.publish import publish, shown
from tests.chaos.run import Report, run

ENGINES = "sqlite,redis,valkey,mariadb,postgresql,standby,sentinel,cluster"
KEPT = Path("build") / "chaos"


def main() -> int:
    """Run all, then publish; the exit code."""
    args = _arguments()
    reports: list[Report] = []
    bad = 0
    for engine in args.engines.split(","):
        keep = KEPT / f"{engine}-{args.seed}"
        again = f"make chaos SEED={args.seed} SECONDS={args.seconds:g} ENGINES={engine}"
        print(f"chaos on {engine}: seed {args.seed}, {args.seconds:g} s", flush=True)
        try:
            with redirect_stdout(StringIO()):  # the pools' logs, which are kept where it matters
                report = run(engine, args.seed, args.seconds, keep)
        except Exception:  # the other runs are worth having
            traceback.print_exc()
            print(f"  {engine}: its logs are in {keep}; again: {again}", flush=True)
            bad += 1
            continue
        reports.append(report)
        print(shown(report), flush=True)
        for violation in report.verdict.violations:
            print(f"  VIOLATION {violation}")
        if report.verdict.violations:
            print(f"  its logs are in {keep}; again: {again}", flush=True)
            bad += 1
    if not bad and not args.dry:
        publish(reports)
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--engines", default=ENGINES)
    parser.add_argument("--dry", action="store_true", help="leave docs/guarantees.md alone")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = secrets.randbelow(1_000_000)
    unknown = set(args.engines.split(",")) - set(BROKERS)
    if unknown:
        parser.error(f"unknown engine {', '.join(unknown)}; there are {', '.join(BROKERS)}")
    return args


if __name__ == "__main__":
    sys.exit(main())

"""Words a job's history for people; `records.py` prepares it for programs."""

from poolq.common.escaping import clean
from poolq.jobs.message import Entry
from poolq.monitor.times import local


def line(entry: Entry) -> str:
    """One entry on one line, without its traceback."""
    facts = [local(entry.at) if entry.at else "-", entry.cause]
    if entry.attempt:
        facts.append(f"attempt {entry.attempt}")
    if entry.signal:
        facts.append(f"signal {entry.signal}")
    if entry.exit_code:
        facts.append(f"exit code {entry.exit_code}")
    if entry.worker:
        facts.append(f"on {entry.worker}")
    return "  ".join(facts) + (f"  {clean(entry.error)}" if entry.error else "")

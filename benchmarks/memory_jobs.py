"""Jobs for the workers whose memory is measured: `python -m benchmarks.memory_jobs JOB MANY INDEX`
dispatches so many, by the job's name, each with the path of one of Python's own sources.
"""

import json
import sys
import sysconfig
from itertools import islice
from pathlib import Path

import poolq


def main(job: str, many: int, index: str) -> None:
    sources = islice(Path(sysconfig.get_path("stdlib")).glob("*.py"), many)
    found = [{"path": str(path), "index": index} for path in sources]
    poolq.dispatch_many(job, (found * (many // len(found) + 1))[:many])


if __name__ == "__main__":
    name, wanted, place = sys.argv[1:]
    main(name, int(wanted), place)
    sys.stdout.write(json.dumps({"jobs": int(wanted)}) + "\n")

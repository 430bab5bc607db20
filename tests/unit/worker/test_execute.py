"""What a worker makes of a claim before it runs the job."""

from __future__ import annotations

from poolq import Job
from poolq.engines.base import Claim
from poolq.jobs.message import INITIAL
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from poolq.jobs.registry import Registry
from poolq.worker.execute import Executor, ReadyJob


class Report(Job):
    name = "jobs:Report"
    queue = "reports"
    attempts = 3
    timeout = "1m"

    def run(self) -> None: ...


class Plain(Job):
    name = "jobs:Plain"

    def run(self) -> None: ...


def read(executor: Executor, job: str, **options: object) -> str:
    """Let it read a job that was dispatched by its name, where its class is not known."""
    push = MessageTemplate(job, DEFAULTS.changed(options, job)).push({}, 1000)
    ready = executor.read(Claim(push.id, 1, 0, push.queue, push.body, INITIAL))
    assert isinstance(ready, ReadyJob)
    return push.id


def test_options_that_a_dispatch_by_name_has_left_out_are_named_once() -> None:
    said: dict[str, str] = {}
    registry = Registry({"jobs:Report": Report, "jobs:Plain": Plain})

    def warn(text: str, of: str) -> None:
        said[of] = text

    executor = Executor(registry, "worker 1", 9, warn)
    read(executor, "jobs:Plain")
    read(executor, "jobs:Report", queue="reports", attempts=1, timeout="1m")
    assert not said, "one of them may have been meant so"
    id_ = read(executor, "jobs:Report", max_crashes=2)
    read(executor, "jobs:Report")
    ((of, text),) = said.items()
    assert id_ not in of, "other workers of the pool read other jobs"
    assert text.startswith(
        f"jobs:Report {id_} lacks the options of its class (queue='reports', attempts=3, "
        "timeout='1m'): it was dispatched by its name where the class is not imported"
    )

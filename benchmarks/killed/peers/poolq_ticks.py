"""poolq's periodic jobs, for the pools that are killed."""

import poolq
from benchmarks.killed.jobs import SCHEDULES, ticked


class Ticked(poolq.Job):
    def run(self) -> None:
        assert self.scheduled_at
        ticked(self.payload["schedule"], self.id, self.scheduled_at.timestamp())


for number in SCHEDULES:
    name = f"schedule-{number}"
    poolq.every("1s", Ticked, {"schedule": number}, name=name)

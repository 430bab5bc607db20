"""Tells the engine about a worker's code once the worker can take jobs: the number of its deploy,
and the schedules of periodic jobs. The keepers of all nodes read the schedules there.

A generation is accepted when its first worker is ready. So refused code declares nothing.
"""

from functools import partial
from typing import TYPE_CHECKING

from poolq.engines.base import Engine
from poolq.engines.schedule_store import NewSchedule
from poolq.jobs import schedule_plan
from poolq.jobs.registry import Registry
from poolq.log.events import Note
from poolq.worker.step_client import StepClient

if TYPE_CHECKING:
    from poolq.worker.process import WorkerSetup


def declare(setup: "WorkerSetup", registry: Registry, engine: Engine, client: StepClient) -> None:
    """Record the deploy of this worker's code, then declare its schedules. The engine applies the
    limits of the newest deploy's code to parked jobs. The first worker of a generation begins a
    deploy. Raises Leaving and EngineError."""
    recorded = setup.row.deploy(setup.generation)
    deploy = client.retry(partial(engine.accept, setup.worker, recorded), urgent=False)
    if not recorded:
        setup.row.set_deploy(setup.generation, deploy)
    _declare_schedules(setup, registry, engine, client)


def _declare_schedules(
    setup: "WorkerSetup", registry: Registry, engine: Engine, client: StepClient
) -> None:
    """Declare the schedules of this worker's generation, unless a worker of this or of a later
    generation has done so. Raises Leaving and EngineError."""
    row, node, store = setup.row, setup.node, engine.schedules
    before, deploy = row.declared_generation(), row.deploy(setup.generation)
    if before > setup.generation or not (before or registry.schedules):
        return
    if client.retry(partial(store.declared, node), urgent=False) != deploy:
        now = client.retry(engine.now, urgent=False)
        schedules = [
            NewSchedule(name, schedule_plan.hash_of(spec), spec, _first_tick(spec, now))
            for name, spec in registry.schedules.items()
        ]
        act = partial(store.declare, node, deploy, schedules)
        names = client.retry(act, urgent=False)
        for name in names:
            text = (
                f"schedule {name} of the code does not count, as somebody has added another one of "
                f"this name: poolq schedule rm {name}"
            )
            setup.reporter.report(Note("warning", text))
    row.set_declared(setup.generation)


def _first_tick(spec: bytes, now: int) -> int:
    return schedule_plan.first_tick(schedule_plan.decode(spec), now)

"""The process of a worker: load the application, register with the engine, run the loop.

`system/fork.py` handles forking, descriptors and process groups.
"""

import os
import random
import socket
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic

import msgspec

from poolq.config import Config, open_engine
from poolq.engines.base import Engine
from poolq.errors import EngineError, PoolqError
from poolq.jobs import callbacks, event_loop
from poolq.jobs.class_checks import misspelled
from poolq.jobs.job import job_name
from poolq.jobs.message import worker_title
from poolq.jobs.options import OPTIONS
from poolq.jobs.producer import dispatch_by
from poolq.jobs.registry import Registry
from poolq.jobs.registry import load as load_jobs
from poolq.jobs.running import worker_rows
from poolq.log.events import Note
from poolq.log.reporting import Log
from poolq.scoreboard.layout import Phase
from poolq.scoreboard.start_order import StartOrder
from poolq.scoreboard.worker_row import WorkerRow
from poolq.system import stack_dump
from poolq.system.child_signals import use_large_stack
from poolq.system.identity import registration
from poolq.system.wakeups import WorkerWakeUps
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.declaring import declare
from poolq.worker.execute import Executor
from poolq.worker.loop import EXITING, Loop
from poolq.worker.settling import warn_once
from poolq.worker.signals import WorkerSignals
from poolq.worker.starts import Starts
from poolq.worker.step_client import Leaving, StepClient
from poolq.worker.title import Title


class WorkerSetup(msgspec.Struct, frozen=True):
    """What a worker gets from its pool. `ready` is called once, when the worker can take jobs.
    `first`: whether the worker's generation is on trial."""

    config: Config
    worker: str
    node: str
    slot: int
    generation: int
    master: int
    life: int
    first: bool
    row: WorkerRow
    order: StartOrder
    wakeups: WorkerWakeUps
    reporter: Log
    ready: Callable[[], None]
    failed: Callable[[PoolqError], None] | None = None


def main(setup: WorkerSetup, registry: Registry | None = None) -> int:
    """Run the worker; return its exit code. If `registry` is None, load the application here. If
    the worker cannot start, pass the error to `setup.failed`. If that is None, log the error."""
    title = Title(f"poolq: worker {setup.slot} g{setup.generation}")
    title.show_state("boot")
    signals = WorkerSignals(setup.life, setup.row.stop_requested)
    signals.install(setup.master, partial(setup.row.set_phase, Phase.LEAVING))
    setup.row.set_stack_file(stack_dump.enable())
    use_large_stack()
    setup.reporter.rename(f"worker {setup.slot}")
    dispatch_by(setup.config)
    worker_rows[:] = [setup.row]
    event_loop.share()
    try:
        if registry is None:
            registry = load_jobs(setup.config.app, setup.config.folder)
            callbacks.on.loaded.call()
        signals.restore()
        engine = open_engine(setup.config)
    except PoolqError as error:
        if setup.failed is not None:
            setup.failed(error)
        else:
            setup.reporter.report(Note("error", str(error)))
            setup.reporter.flush()
        return error.exit_code
    if setup.first:
        _warn(registry, setup)
    code = _live(setup, signals, registry, engine, title)
    setup.reporter.flush()
    _end_children()
    return code


def _end_children() -> None:
    """Terminate the processes of multiprocessing pools that jobs left behind. Python would do this
    when the interpreter exits, but this process ends with `os._exit`."""
    used = sys.modules.get("multiprocessing")
    children = used.active_children() if used else ()
    if children:
        # A thread of multiprocessing.Pool replaces ended processes. Make the new ones exit at once.
        os.register_at_fork(after_in_child=partial(os._exit, 0))
    for child in children:
        child.terminate()


def _live(
    setup: WorkerSetup, signals: WorkerSignals, registry: Registry, engine: Engine, title: Title
) -> int:
    config = setup.config
    limit = max(config.node_ttl, config.sleep)
    orphaned_at: float | None = None

    def pause(seconds: float, urgent: bool) -> bool:
        """Wait; return True to give up, at the latest `limit` seconds after the master's death."""
        nonlocal orphaned_at
        setup.row.beat()
        if not signals.attributes.restore():
            raise EngineError(signals.attributes.damage)
        signals.wait(seconds)
        if signals.orphaned:
            orphaned_at = monotonic() if orphaned_at is None else orphaned_at
            return not urgent or monotonic() - orphaned_at > limit
        return signals.stopping and not urgent

    client = StepClient(engine, setup.worker, config.queue, setup.reporter, pause)
    loop = _make_loop(setup, signals, registry, engine, title, client)
    setup.row.beat()  # waiting for the engine does not count as a slow boot
    try:
        me = registration(setup.worker, setup.node, config.name)
        client.retry(lambda: engine.register(me), urgent=False)
    except Leaving:
        return 0
    except EngineError as error:
        setup.reporter.report(Note("error", str(error)))
        return error.exit_code
    random.seed()
    setup.row.set_phase(Phase.IDLE)
    title.show_state("idle")
    generation, notes = setup.generation, setup.row.notes
    callbacks.on.started.is_news = lambda text: notes.first_warning(f"g{generation} {text}")
    callbacks.on.started.call()
    signals.keep_timers()
    signals.attributes.remember()
    signals.restore()
    setup.ready()
    code = loop.run()
    if code == 0 and signals.attributes.damage:
        setup.reporter.report(Note("warning", f"{signals.attributes.damage}; {EXITING}"))
    callbacks.call_stopping()
    return code


def _make_loop(
    setup: WorkerSetup,
    signals: WorkerSignals,
    registry: Registry,
    engine: Engine,
    title: Title,
    client: StepClient,
) -> Loop:
    buffer = ClaimBuffer(client, setup.row, setup.reporter, title)
    executor = Executor(
        registry,
        worker_title(setup.slot, setup.config.name, socket.gethostname()),
        setup.config.unknown_job_for,
        partial(warn_once, setup.row, setup.reporter),
    )
    starts = Starts(engine, client, setup.worker, executor, buffer, setup.order)
    declaring = partial(declare, setup, registry, engine, client)
    return Loop(setup, signals, buffer, executor, starts, title, declaring)


def _warn(registry: Registry, setup: WorkerSetup) -> None:
    """Warn about likely mistakes: no job at all, or a misspelled option."""
    warn = partial(warn_once, setup.row, setup.reporter)
    if not registry.names():
        warn("the application defines no job; name its modules with --app")
    for kind in registry.jobs():
        for attribute, meant in misspelled(kind, OPTIONS):
            text = f"job {job_name(kind)} has an attribute {attribute}; did you mean {meant}?"
            warn(text)

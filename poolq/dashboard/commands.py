"""The commands of the command line (pure): their words and options, and what they do.

They have the names and options of the commands of `poolq`. `command_line.py` edits and completes a
command.
"""

import getopt
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from poolq.acts import job_ids, on_pools, on_queues
from poolq.acts.filters import Filters
from poolq.common.names import check_name, suggestion
from poolq.dashboard import questions
from poolq.dashboard.screen_state import Action, Bulk, Question, Result
from poolq.errors import PoolqError
from poolq.monitor.snapshot import Snapshot

MAX_QUEUES = 200  # queues of a snapshot; if there are so many, there may be more


class Mistake(PoolqError):
    """What is wrong with a command, in one sentence."""


class Given(NamedTuple):
    """The words of a command after its name, its options, how it is used, and the pool."""

    words: list[str]
    options: dict[str, str]
    usage: str
    snapshot: Snapshot

    def word(self, at: int = 0) -> str:
        if len(self.words) <= at:
            raise Mistake(self.usage)
        return self.words[at]

    def queue(self) -> str:
        """Return the name of a queue. Raises Mistake if the screen knows all others, but not it."""
        name, known = self.word(), self.queues()
        if name in known or len(known) >= MAX_QUEUES:
            return name
        otherwise = f"known are {', '.join(sorted(known)[:5])}" if known else ""
        raise Mistake(on_queues.unknown(name, known, otherwise))

    def queues(self) -> set[str]:
        return {one.queue for one in self.snapshot.queues}


class CommandSpec(NamedTuple):
    """A command. `words` names the kinds of its words, which tab completes, as `options` does for
    the values of options ("": a switch)."""

    name: str
    usage: str
    what: str
    run: Callable[[Given], Result]
    words: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})


def run(text: str, snapshot: Snapshot) -> Result:
    """Carry out a command line. Raises PoolqError, which says what is wrong with it."""
    try:
        name, *words = shlex.split(text)
    except ValueError:
        raise Mistake("a quotation mark is not closed") from None
    command = COMMANDS.get(name)
    if command is None:
        hint = suggestion(name, COMMANDS, "the key ? lists all commands")
        raise Mistake(f"there is no command {name!r}; {hint}")
    usage = _usage(command)
    options: dict[str, str] = {}
    if command.options:  # without any, -1 is a word
        known = [option[2:] + "=" * bool(kind) for option, kind in command.options.items()]
        try:
            found, words = getopt.gnu_getopt(words, "", known)
        except getopt.GetoptError as error:
            raise Mistake(f"{error}; {usage}") from None
        options = dict(found)
    empty = [name for name, value in options.items() if command.options[name] and not value]
    if empty:
        raise Mistake(f"{empty[0]} is empty; {usage}")
    if len(words) > len(command.words):
        raise Mistake(f"{words[len(command.words)]!r} is too much; {usage}")
    return command.run(Given(words, options, usage, snapshot))


def _usage(command: CommandSpec) -> str:
    filters = [one for one in command.options if one != "--to"]
    end = f"; FILTERS: {' '.join(filters)}" if filters else ""
    return f"usage: {command.name} {command.usage}".rstrip() + end


def _scale(given: Given) -> Result:
    on_pools.scaling(given.word())
    return Action("scale", given.word())


def _of_queue(kind: str) -> Callable[[Given], Result]:
    """Return a command on a queue or, without its name, on the pool."""
    return lambda given: Action(kind, given.queue() if given.words else "")


def _purge(given: Given) -> Result:
    name = given.queue()
    known = (one for one in given.snapshot.queues if one.queue == name)
    return questions.purge(name, next(known, None))


def _named(given: Given) -> str:
    """Return the beginning of an id, or "" if options select jobs."""
    if not given.words:
        return ""
    if given.options.keys() - {"--to"}:
        raise Mistake(f"give either an id or options; {given.usage}")
    return job_ids.long_enough(given.word())


def _filtered(given: Given, verb: str, to: str = "") -> Question:
    """Return the question about the jobs that the options select."""
    names = {name: f"--{name.replace('_', '-')}" for name in Filters._fields}
    chosen = Filters(**{name: given.options.get(option) for name, option in names.items()})
    if chosen == Filters() and "--all" not in given.options:
        raise Mistake(given.usage)
    return questions.on_many(Bulk(verb, chosen.at(int(given.snapshot.at * 1e6)), to))


def _on_jobs(verb: str) -> Callable[[Given], Result]:
    """Return a command on one job or many. What cannot be undone asks."""

    def run(given: Given) -> Result:
        id = _named(given)
        if not id:
            return _filtered(given, verb)
        return Action(verb, id) if verb == "retry" else questions.on_job(verb, id)

    return run


def _move(given: Given) -> Result:
    places = [*given.words[1:], *filter(None, [given.options.get("--to")])]
    if len(places) != 1:
        raise Mistake(given.usage)
    to = check_name(places[0], "the queue")
    id = _named(given)
    if not id:
        return _filtered(given, "move", to)
    action = Action("move", id, to=to)
    return action if to in given.queues() else questions.new_queue(action, given.queues())


def _kill(given: Given) -> Result:
    workers = list(map(questions.busy, given.snapshot.workers))
    return questions.kill(on_pools.find_worker(workers, given.word()))


_FAILED = {
    "--queue": "queue", "--job": "job", "--error": "error", "--since": "time",
    "--older-than": "age", "--all": "",
}  # fmt: skip
_WAITING = {**_FAILED, "--limit-key": "limit"}
#: What FILTERS stands for in the usage of commands.
FILTERS_HELP = (
    "FILTERS: --queue QUEUE, --job JOB, --error TEXT, --since TIME, --older-than AGE, or --all",
    "TEXT is in the last error; TIME is such as '2h' or 'yesterday 09:00', and AGE such as '30d'",
    "cancel and move also take --limit-key KEY: jobs that wait for this rate limit",
)
COMMANDS = {
    one.name: one
    for one in (
        CommandSpec("scale", "N | +N | -N", "sets the number of workers", _scale, ("number",)),
        CommandSpec(
            "pause", "[QUEUE]", "pauses a queue, or this pool", _of_queue("pause"), ("queue",)
        ),
        CommandSpec(
            "resume", "[QUEUE]", "resumes a queue, or this pool", _of_queue("resume"), ("queue",)
        ),
        CommandSpec("purge", "QUEUE", "deletes the jobs that wait in a queue", _purge, ("queue",)),
        CommandSpec(
            "cancel", "ID | FILTERS", "cancels a job, or jobs that wait", _on_jobs("cancel"),
            ("id",), _WAITING,
        ),
        CommandSpec(
            "move", "ID QUEUE | FILTERS --to QUEUE", "moves jobs that wait to another queue",
            _move, ("id", "queue"), {**_WAITING, "--to": "queue"},
        ),
        CommandSpec(
            "retry", "ID | FILTERS", "puts failed jobs back into their queues", _on_jobs("retry"),
            ("id",), _FAILED,
        ),
        CommandSpec(
            "forget", "ID | FILTERS", "deletes failed jobs", _on_jobs("forget"), ("id",),
            _FAILED,
        ),
        CommandSpec(
            "kill", "WORKER | ID", "kills a worker; asks what becomes of its job", _kill,
            ("worker",),
        ),
        CommandSpec(
            "reload", "", "reloads the application's code", lambda _: questions.RELOAD
        ),
        CommandSpec("drain", "", "ends the pool after its running jobs", lambda _: questions.DRAIN),
    )
}  # fmt: skip

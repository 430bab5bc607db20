"""The commands of the command line (pure): their words and options, and what they do.

They have the names and options of the commands of `poolq`. `command_line.py` edits and completes a
command.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from poolq.acts import job_ids, on_pools, on_queues
from poolq.acts.filters import Filters
from poolq.common.names import check_name, suggestion
from poolq.dashboard import questions
from poolq.dashboard.screen_state import Action, Bulk, Question, Result, ScreenState
from poolq.errors import PoolqError
from poolq.monitor.snapshot import Snapshot

MAX_QUEUES = 200  # queues of a snapshot; if there are so many, there may be more


class Mistake(PoolqError):
    """What is wrong with a command, in one sentence."""


class Given(NamedTuple):
    """The words of a command after its name, its options, the state of the screen and the pool."""

    words: list[str]
    options: dict[str, str]
    state: ScreenState
    snapshot: Snapshot


class CommandSpec(NamedTuple):
    """A command. `words` names the kinds of its words, which tab completes, as `options` does for
    the values of options ("": a switch)."""

    name: str
    usage: str
    what: str
    run: Callable[[Given], Result]
    words: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})


def run(text: str, state: ScreenState, snapshot: Snapshot) -> Result:
    """Carry out a command line. Raises PoolqError, which says what is wrong with it."""
    try:
        name, *words = shlex.split(text)
    except ValueError:
        raise Mistake("a quotation mark is not closed") from None
    command = COMMANDS.get(name)
    if command is None:
        hint = suggestion(name, COMMANDS, "the key ? lists all commands")
        raise Mistake(f"there is no command {name!r}; {hint}")
    rest, options = _split(command, words)
    if len(rest) > len(command.words):
        raise Mistake(f"{rest[len(command.words)]!r} is too much; {_usage(command)}")
    return command.run(Given(rest, options, state, snapshot))


def _split(command: CommandSpec, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate a command's words from its options."""
    rest: list[str] = []
    options: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            rest.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in command.options:
            hint = suggestion(name, command.options, _usage(command))
            raise Mistake(f"{command.name} has no option {name}; {hint}")
        if command.options[name] and not equals:
            if not left:
                raise Mistake(f"{name} needs a value; {_usage(command)}")
            value = left.pop(0)
        if command.options[name] and not value:
            raise Mistake(f"{name} is empty; {_usage(command)}")
        options[name] = value
    return rest, options


def _usage(command: CommandSpec) -> str:
    filters = [one for one in command.options if one != "--to"]
    end = f"; FILTERS: {' '.join(filters)}" if filters else ""
    return f"usage: {command.name} {command.usage}".rstrip() + end


def _word(given: Given, at: int, name: str) -> str:
    if len(given.words) <= at:
        raise Mistake(_usage(COMMANDS[name]))
    return given.words[at]


def _queue(given: Given, name: str) -> str:
    """Return the name of a queue. Raises Mistake if the screen knows all others, but not it."""
    known = {one.queue for one in given.snapshot.queues}
    if name in known or len(known) >= MAX_QUEUES:
        return name
    otherwise = f"known are {', '.join(sorted(known)[:5])}" if known else ""
    raise Mistake(on_queues.unknown(name, known, otherwise))


def _scale(given: Given) -> Result:
    text = _word(given, 0, "scale")
    on_pools.scaling(text)
    return Action("scale", text)


def _of_queue(kind: str) -> Callable[[Given], Result]:
    """Return a command on a queue or, without its name, on the pool."""
    return lambda given: Action(kind, _queue(given, given.words[0]) if given.words else "")


def _purge(given: Given) -> Result:
    name = _queue(given, _word(given, 0, "purge"))
    known = (one for one in given.snapshot.queues if one.queue == name)
    return questions.purge(name, next(known, None))


def _named(given: Given, verb: str) -> str:
    """Return the beginning of an id, or "" if options select jobs."""
    if not given.words:
        return ""
    if given.options.keys() - {"--to"}:
        raise Mistake(f"give either an id or options; {_usage(COMMANDS[verb])}")
    return job_ids.long_enough(given.words[0])


def _filtered(given: Given, verb: str, to: str = "") -> Question:
    """Return the question about the jobs that the options select."""
    names = {name: f"--{name.replace('_', '-')}" for name in Filters._fields}
    chosen = Filters(**{name: given.options.get(option) for name, option in names.items()})
    if chosen == Filters() and "--all" not in given.options:
        raise Mistake(_usage(COMMANDS[verb]))
    return questions.on_many(Bulk(verb, chosen.at(int(given.snapshot.at * 1e6)), to))


def _on_jobs(verb: str) -> Callable[[Given], Result]:
    """Return a command on one job or many. What cannot be undone asks."""

    def run(given: Given) -> Result:
        id = _named(given, verb)
        if not id:
            return _filtered(given, verb)
        return Action(verb, id) if verb == "retry" else questions.on_id(verb, id)

    return run


def _move(given: Given) -> Result:
    words = given.words
    places = [*words[1:], *(value for name, value in given.options.items() if name == "--to")]
    if len(places) != 1:
        raise Mistake(_usage(COMMANDS["move"]))
    to = check_name(places[0], "the queue")
    id = _named(given, "move")
    if not id:
        return _filtered(given, "move", to)
    action = Action("move", id, to=to)
    known = {one.queue for one in given.snapshot.queues}
    return action if to in known else questions.new_queue(action, known)


def _kill(given: Given) -> Result:
    workers = list(map(questions.busy, given.snapshot.workers))
    return questions.kill(on_pools.find_worker(workers, _word(given, 0, "kill")))


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
            ("waiting id",), _WAITING,
        ),
        CommandSpec(
            "move", "ID QUEUE | FILTERS --to QUEUE", "moves jobs that wait to another queue",
            _move, ("id", "queue"), {**_WAITING, "--to": "queue"},
        ),
        CommandSpec(
            "retry", "ID | FILTERS", "puts failed jobs back into their queues", _on_jobs("retry"),
            ("failed id",), _FAILED,
        ),
        CommandSpec(
            "forget", "ID | FILTERS", "deletes failed jobs", _on_jobs("forget"), ("failed id",),
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
